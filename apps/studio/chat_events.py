"""What the buttons of Chat & inspect do: send, regenerate, stop, clear, the choice of models, a closed tab."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from apps.studio.exchange import ask
from apps.studio.looking import looked
from apps.studio.settings import sampling_of
from apps.studio.shelf import title
from apps.studio.state import page_state
from apps.studio.studio import Studio
from workbench.errors import WorkbenchError

STOP_SECONDS = 15.0
"""How long Clear waits for models that it has asked to stop."""

Update = tuple[Any, ...]
"""Updates of (chat, composer, send, stop, again)."""


class ChatEvents:
    """The events of one served app; each finds its tab by the request."""

    def __init__(self, studio: Studio) -> None:
        self.studio, self.shelf, self.runs = studio, studio.shelf, studio.runs
        self.opening, self.sessions = studio.opening, studio.sessions

    def respond(self, text: str | None, settings: Sequence[Any], request: gr.Request) -> Iterator[Update]:
        """Stream one exchange."""
        session = self.sessions.of(request.session_hash)
        if text is not None and not text.strip():
            gr.Info("Type a question first.")
            yield page_state(session, self.shelf), *_skipped(4)
            return
        with session.lock:
            if session.busy:
                gr.Info("A reply is still being written. Stop it, or wait for its end.")
                yield page_state(session, self.shelf), *_skipped(4)
                return
            session.rest.clear()
        try:
            if session.recorded:
                self.opening.clear(session)
            sampling = sampling_of(settings, session, text)
            for moment, _ in enumerate(ask(session, self.shelf, self.runs, text, sampling)):
                now = buttons(busy=True, clear=text is not None) if not moment else _skipped(4)
                yield page_state(session, self.shelf), *now
        except WorkbenchError as error:
            gr.Warning(str(error))
        finally:
            session.stop()
            session.rest.set()
        yield page_state(session, self.shelf), *_skipped(4)

    # Gradio finds a request among named arguments only, so the settings are named here and not starred.
    def send(
        self, text: str, longest: int, temperature: float, top_p: float, top_k: int, penalty: float, seed: int,
        request: gr.Request,
    ) -> Iterator[Update]:  # fmt: skip
        yield from self.respond(text, (longest, temperature, top_p, top_k, penalty, seed), request)

    def again(
        self, longest: int, temperature: float, top_p: float, top_k: int, penalty: float, seed: int,
        request: gr.Request,
    ) -> Iterator[Update]:  # fmt: skip
        session = self.sessions.of(request.session_hash)
        if session.recorded or not any(len(session.columns[name].settled()) for name in session.shown):
            gr.Info("There is no reply to write again yet.")
            yield page_state(session, self.shelf), *_skipped(4)
            return
        yield from self.respond(None, (longest, temperature, top_p, top_k, penalty, seed), request)

    def idle(self) -> Update:
        """The buttons after an exchange. A step of its own: a click on Send before Gradio has closed the last one would
        be dropped without a word."""
        return buttons(busy=False)

    def stop(self, request: gr.Request) -> None:
        self.sessions.of(request.session_hash).stop()

    def clear(self, request: gr.Request) -> dict[str, Any]:
        session = self.sessions.of(request.session_hash)
        session.stop()
        if session.rest.wait(STOP_SECONDS):
            self.opening.clear(session)
        else:
            gr.Info("The models are still reading. Clear again when they have stopped.")
        return page_state(session, self.shelf)

    def show(self, choice: str, request: gr.Request) -> Update:
        """Updates of (chat, send, switch)."""
        session = self.sessions.of(request.session_hash)
        choices = self.studio.choices
        if session.busy:
            gr.Info("The models change when this reply has ended.")
            kept = next(name for name, models in choices.items() if models == session.shown)
            return page_state(session, self.shelf), gr.skip(), gr.update(value=kept)
        session.shown = list(choices[choice])
        if session.selection and not any(session.columns[n].run == session.selection["run"] for n in session.shown):
            self.opening.select(session)
        return page_state(session, self.shelf), gr.update(value=ask_label(session.shown)), gr.skip()

    def leave(self, request: gr.Request) -> None:
        self.sessions.close(request.session_hash)

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """What a view asks for: a payload, or {"error": sentence}. Never runs a model."""
        try:
            run = request.get("run") if isinstance(request, dict) else None
            return looked(self.runs.get(run), str(run), request)
        except WorkbenchError as error:
            return {"error": str(error)}


def ask_label(shown: Sequence[str]) -> str:
    return "Ask both models" if len(shown) > 1 else f"Ask {title(shown[0])}"


def buttons(busy: bool, clear: bool = False) -> Update:
    """Updates of composer, send, stop and regenerate."""
    return (
        gr.update(value="") if clear else gr.skip(),
        gr.update(interactive=not busy),
        gr.update(interactive=busy),
        gr.update(interactive=not busy),
    )


def _skipped(count: int) -> Update:
    return tuple(gr.skip() for _ in range(count))
