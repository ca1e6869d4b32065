"""One question to two models: streaming, stop, versions, errors, and that the models stop when nobody listens."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any

import pytest
import torch

import workbench as wb
from apps.server.behind import NICE
from apps.studio.exchange import TICK, ask
from apps.studio.orders import Order
from apps.studio.runs import RunStore
from apps.studio.session import Session
from apps.studio.shelf import Shelf
from apps.studio.state import page_state
from apps.studio.writing import Writer, capture_for

SHORT = wb.Sampling(max_new_tokens=8)
LONG = wb.Sampling(max_new_tokens=1500)


def test_both_models_answer_and_can_be_opened(session: Session, shelf: Shelf, runs: RunStore) -> None:
    for _ in ask(session, shelf, runs, Order("ask", "What is the capital of France?"), SHORT):
        json.dumps(page_state(session, shelf), allow_nan=False)
    for column in session.columns.values():
        alone = shelf.get(column.model).generate(
            [{"role": "user", "content": "What is the capital of France?"}], SHORT, wb.Capture.nothing()
        )
        for _ in alone:
            pass
        assert [message.role for message in column.conversation] == ["user", "assistant"]
        assert column.conversation[-1].content == alone.text, "streaming two at once changes no reply"
        inspection = runs.get(column.run)
        assert inspection.attention.row(3, 1).shape == (4, len(inspection.ids) - 1)  # type: ignore[union-attr]
        assert column.strip is not None
        assert column.strip.payload()["ids"] == inspection.ids.tolist()
        assert column.reply is not None
        assert "tokens/s" in column.reply.footer
        assert "greedy, seed 0" in column.reply.footer
    first = session.columns[session.shown[0]]
    assert session.selection == {"run": first.run, "token": runs.get(first.run).prompt_length}


def test_the_conversation_goes_on(session: Session, shelf: Shelf, runs: RunStore) -> None:
    for text in ("Tom has a hat.", "Who has the hat?"):
        for _ in ask(session, shelf, runs, Order("ask", text), SHORT):
            pass
    column = session.columns[session.shown[0]]
    assert [message.role for message in column.conversation] == ["user", "assistant"] * 2
    inspection = runs.get(column.run)
    said = column.conversation.fork(3)
    assert inspection.ids[: inspection.prompt_length].tolist() == list(shelf.get(column.model).encode(said).ids)


def test_only_shown_models_are_asked(session: Session, shelf: Shelf, runs: RunStore) -> None:
    session.shown = session.shown[1:]
    for _ in ask(session, shelf, runs, Order("ask", "Hello"), SHORT):
        pass
    assert [len(column.conversation) for column in session.columns.values()] == [0, 2]


def test_updates_are_coalesced(session: Session, shelf: Shelf, runs: RunStore) -> None:
    began = time.monotonic()
    ticks = sum(1 for _ in ask(session, shelf, runs, Order("ask", "Hello"), wb.Sampling(max_new_tokens=60)))
    seconds = time.monotonic() - began
    assert 1 <= ticks <= seconds / TICK + 2, f"{ticks} updates in {seconds:.2f} s"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a priority for each thread")
def test_models_write_behind_what_answers_clicks(
    session: Session, shelf: Shelf, runs: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def own() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def work(writer: Writer, *given: Any) -> None:
        found.append(own())
        write(writer, *given)

    before, found, write = own(), [], Writer.work
    monkeypatch.setattr(Writer, "work", work)
    for _ in ask(session, shelf, runs, Order("ask", "Hello"), SHORT):
        pass
    assert found == [max(NICE, before)] * 2
    assert own() == before, "who asks is not behind anybody"


def test_stop_keeps_the_partial_reply_inspectable(session: Session, shelf: Shelf, runs: RunStore) -> None:
    asked = False
    for _ in ask(session, shelf, runs, Order("ask", "Hello"), LONG):
        if not asked and all(len(column.live or "") > 3 for column in session.columns.values()):
            asked = True
            session.stop()
    assert asked, "both models were writing"
    for column in session.columns.values():
        inspection = runs.get(column.run)
        assert 0 < len(inspection.steps) < 1500
        assert column.reply is not None
        assert column.reply.footer.endswith("stopped")
        assert column.conversation[-1].content == inspection.reply


def test_a_listener_who_leaves_stops_the_models(session: Session, shelf: Shelf, runs: RunStore) -> None:
    stream = ask(session, shelf, runs, Order("ask", "Hello"), LONG)
    next(stream)
    stream.close()
    assert session.stops
    assert all(event.is_set() for event in session.stops)


def test_another_version_of_a_reply(session: Session, shelf: Shelf, runs: RunStore) -> None:
    for _ in ask(session, shelf, runs, Order("ask", "Hello"), SHORT):
        pass
    first = session.columns[session.shown[0]].conversation[-1].content
    states: list[dict[str, Any]] = []
    for _ in ask(session, shelf, runs, Order("again"), wb.Sampling(max_new_tokens=8, temperature=2.0, seed=5)):
        states.append(page_state(session, shelf))
    column = session.columns[session.shown[0]]
    assert len(column.conversation) == 2
    assert len(column.conversation.versions[-1]) == 2
    assert column.conversation.versions[-1][0] == first
    assert column.reply is not None
    assert "temperature 2, top-p 1, seed 5" in column.reply.footer
    before = column.talk.made[1][0]
    assert before is not None
    assert before.run != column.run
    assert runs.get(before.run).reply == first, "each version keeps its own run"
    assert all(len(state["columns"][0]["messages"]) == 2 for state in states), "the new version replaces the old one"


def test_nothing_to_write_again(session: Session, shelf: Shelf, runs: RunStore) -> None:
    with pytest.raises(wb.WorkbenchError, match="Ask something first"):
        next(ask(session, shelf, runs, Order("again"), SHORT))


def test_a_prompt_that_does_not_fit_is_a_sentence(session: Session, shelf: Shelf, runs: RunStore) -> None:
    for _ in ask(session, shelf, runs, Order("ask", "word " * 3000), SHORT):
        pass
    for column in session.columns.values():
        assert "tokens" in column.note
        assert "Traceback" not in column.note
        assert column.run is None
    for _ in ask(session, shelf, runs, Order("ask", "Hello"), SHORT):
        pass
    column = session.columns[session.shown[0]]
    assert column.conversation[0].content == "Hello", "the question that failed is gone"
    assert column.note == ""


def test_a_model_that_cannot_be_loaded_spares_the_other(
    session: Session, names: list[str], runs: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Shelf(names)
    good = shelf.get(names[1])

    def get(name: str, switches: object = None) -> wb.Model:
        if name == names[1]:
            return good
        raise RuntimeError("no")

    monkeypatch.setattr(shelf, "get", get)
    for _ in ask(session, shelf, runs, Order("ask", "Hello"), SHORT):
        pass
    broken, fine = (session.columns[name] for name in names)
    assert "server's log" in broken.note
    assert fine.run is not None


def test_state_is_a_copy(session: Session, shelf: Shelf, runs: RunStore) -> None:
    """Gradio sends differences: a state that changed in place would never be sent."""
    states = []
    for _ in ask(session, shelf, runs, Order("ask", "Hello"), wb.Sampling(max_new_tokens=60)):
        state = page_state(session, shelf)
        states.append((state, json.dumps(state)))
    assert all(json.dumps(state) == text for state, text in states)


def test_capture_shrinks_with_the_prompt(shelf: Shelf, names: list[str]) -> None:
    small = capture_for(shelf.get(names[0]), 100, 64)
    assert small.attention is not None
    assert small.attention.states
    assert small.lens == wb.LensCapture(positions="all")

    class Wide:
        layers, heads, kv_heads, head_dim, hidden, vocab_size = 32, 32, 8, 128, 4096, 32000
        device = torch.device("cuda")

    kept = []
    for tokens in (300, 1000, 30_000):
        found = capture_for(Wide(), tokens, 64)  # type: ignore[arg-type]
        found.check(Wide(), tokens, 64)
        assert found.attention is not None
        kept.append((found.attention.states, found.attention.rows))
    assert kept == [(True, None), (False, "last"), (False, None)]
    assert found.lens == wb.LensCapture(blocks=64)
    Wide.device = torch.device("cpu")
    assert capture_for(Wide(), 300, 64).lens == wb.LensCapture(positions="generated")  # type: ignore[arg-type]


def test_a_failure_when_a_reply_is_entered_frees_the_tab(
    session: Session, shelf: Shelf, runs: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    add, asked = runs.add, []

    def once(*given: Any) -> str:
        asked.append(given)
        if len(asked) == 1:
            raise MemoryError("no room")
        return add(*given)

    monkeypatch.setattr(runs, "add", once)
    for _ in ask(session, shelf, runs, Order("ask", "Hello"), SHORT):
        pass
    assert session.rest.wait(10)
    assert sorted(bool(column.note) for column in session.columns.values()) == [False, True]
