"""A client of the documented endpoints that hangs up: its place in line goes, its model stops before the next token."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from apps.server.admission import REPLY, Visitor
from apps.studio import endpoints
from tests.server.served import PATIENCE, Served, tab
from tests.server.test_walls import until

TOKENS = 256


@contextmanager
def asking(served: Served) -> Iterator[None]:
    """A client that has asked for a long reply and reads the stream of its answer; it hangs up at the end."""
    number, page = next(number for number, name in served.events if name == "generate"), tab()
    said = [[{"role": "user", "content": "Go on"}], "", TOKENS, 0.0, 1.0, 0, False]
    assert served.post("queue/join", {"data": said, "fn_index": number, "session_hash": page}).status_code == 200
    with (
        httpx.Client(base_url=served.address, timeout=PATIENCE) as client,
        client.stream("GET", "/gradio_api/queue/data", params={"session_hash": page}) as stream,
    ):
        told = (json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: "))
        assert next(one for one in told if one["msg"] == "process_starts")
        yield


def test_a_client_that_hangs_up_ends_its_work(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    admission = served.studio.admission
    begun, seen, written = threading.Event(), threading.Event(), 0
    wrote = admission.metrics.wrote

    def slow(tokens: int) -> None:
        """Holds the model at its third token until the server knows that its client has gone."""
        nonlocal written
        wrote(tokens)
        written += tokens
        if written == 3:
            begun.set()
            until(lambda: not endpoints.listening()())
            seen.set()

    monkeypatch.setattr(endpoints, "PAUSE", 0.02)
    with admission.turn(Visitor("another")):
        with asking(served):
            until(lambda: admission.counts(REPLY) == (1, 1))
        until(lambda: admission.counts(REPLY) == (1, 0))
        assert written == 0
    monkeypatch.setattr(admission.metrics, "wrote", slow)
    with asking(served):
        assert begun.wait(PATIENCE) and not seen.is_set()
        behind = admission.enter(Visitor("behind"))
        assert behind.place == 1
    assert behind.wait(PATIENCE), "the line moves on"
    behind.leave()
    assert seen.is_set() and written == 3
    assert served.score()[0]["0"]
