"""A really served app with the limits of a shared host, what went wrong in it, and how to ask it for something."""

from __future__ import annotations

import json
import logging
import secrets
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from apps.server.memory import forget_pages, give_back
from apps.server.settings import SHARED, Settings
from apps.studio.studio import Studio

PATIENCE = 60.0
"""Seconds after which an answer counts as none; a busy machine is no failure."""
TELLTALE = ("Traceback", "site-packages", '.py"', 'File \\"')
"""What no answer may hold."""


@dataclass(repr=False)
class Served:
    """``mishaps`` are traces of what failed inside, whatever the answer said."""

    address: str
    studio: Studio
    folder: Path
    functions: list[tuple[int, str]]
    events: list[tuple[int, str]]
    client: httpx.Client
    mishaps: list[str] = field(default_factory=list)
    holder: Any = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Note the traces that are printed or logged meanwhile, and only then: other tests of this process have faults
        of their own."""

        def note(trace: str) -> None:
            """Gradio's own trouble with a value that no component takes ends in its own code: it was answered."""
            if any(f"{Path.cwd()}/{ours}/" in trace for ours in ("apps/studio", "workbench")):
                self.mishaps.append(trace)

        def printed(error: Any, value: Any = None, *_: Any, **__: Any) -> None:
            found = error if isinstance(error, BaseException) else value
            note("".join(traceback.format_exception(found)))

        heard = logging.Handler()
        heard.emit = lambda record: note(logging.Formatter().format(record))  # type: ignore[method-assign]
        heard.setLevel(logging.ERROR)
        logging.getLogger("uvicorn.error").addHandler(heard)
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(traceback, "print_exception", printed)
                patch.setattr(traceback, "print_exc", lambda *_, **__: note(traceback.format_exc()))
                yield
        finally:
            logging.getLogger("uvicorn.error").removeHandler(heard)

    def forget(self) -> None:
        """What the server does of itself when every tab's time is over, and Gradio's connections' with it."""
        sessions = self.studio.sessions
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sessions, "_forget", -1.0)
            self.studio.sweep()
        assert len(sessions) == 0
        forget_pages(self.holder, -1.0)
        give_back()

    def call(self, name: str, request: Any, session: str = "hostile") -> httpx.Response:
        """What the page's script ``name`` asks of the server."""
        place = next(place for place, known in self.functions if known == name)
        return self.post("component_server", {"data": request, "component_id": place, "fn_name": name,
                                              "session_hash": session})  # fmt: skip

    def post(self, path: str, body: Any) -> httpx.Response:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        path = path if path.startswith("/") else f"/gradio_api/{path}"
        return self.client.post(path, content=raw, headers={"Content-Type": "application/json"})

    def event(self, number: Any, data: Any, session: str = "", **more: Any) -> list[dict[str, Any]]:
        """Join the queue and read until it has ended: what the page was told, nothing when it was refused."""
        session = session or secrets.token_hex(6)
        joined = self.post("queue/join", {"data": data, "fn_index": number, "session_hash": session, **more})
        self.sound(joined)
        told: list[dict[str, Any]] = []
        if joined.status_code == 200:
            with self.client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream:
                for line in stream.iter_lines():
                    if line.startswith("data: "):
                        told.append(json.loads(line[6:]))
                        if told[-1]["msg"] in ("process_completed", "close_stream", "unexpected_error"):
                            break
            self.silent(json.dumps(told))
        return told

    def score(self, text: str = "What is so great about #1?") -> Any:
        """The reply to an honest request."""
        said = [{"role": "user", "content": text}]
        body = {"input_data": {"input_string": said, "parameters": {"max_new_tokens": 4}}}
        found = self.post("/score", body)
        assert found.status_code == 200, found.text
        return found.json()

    def sound(self, answer: httpx.Response) -> httpx.Response:
        """An answer as it has to be: no 500, 503 with a reason alone, no trace, no path."""
        assert answer.status_code < 500 or answer.status_code == 503, (answer.status_code, answer.text[:300])
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        self.silent(answer.text)
        return answer

    def silent(self, text: str) -> None:
        for word in (*TELLTALE, str(Path.cwd())):
            assert word not in text, text[:600]
        found, self.mishaps[:] = list(self.mishaps), []
        assert not found, found[-1]

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text("served")  # hypothesis would print all of it


def tab() -> str:
    """The key of a new tab."""
    return secrets.token_urlsafe(24)


@contextmanager
def serving(models: list[str], folder: Path, **settings: Any) -> Iterator[Served]:
    """Serve ``models`` under the limits of a shared host and ``settings``; uploads go to ``folder``."""
    from apps.studio import launch as launching

    limits = Settings.model_validate({**SHARED, "requests_per_minute": None, "calls_per_minute": None, **settings})
    made: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        build = launching.build
        with pytest.MonkeyPatch.context() as once:
            once.setattr(launching, "build", lambda *given: made.append(build(*given)) or made[-1])
            address = launching.launch(models, port=None, browser=False, recorded=[], block=False, settings=limits)
        page = made[0]
        functions = [
            (place, one.__name__)
            for place, block in page.blocks.items()
            for one in getattr(block, "server_fns", None) or []
        ]
        events = [(number, str(one.api_name)) for number, one in page.fns.items()]
        with httpx.Client(base_url=address, timeout=PATIENCE) as client:
            try:
                yield Served(address, page.studio, folder, functions, events, client, holder=page.state_holder)
            finally:
                page.close(verbose=False)
