"""Clicks that reach the server at once, in any order: no Stop is lost, nobody sees a half state, and what cannot be
done is one sentence. Gradio's page sends every click (`chat_page.EVERY`); they are answered in threads of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import combinations_with_replacement
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from apps.studio.chat_events import ChatEvents
from apps.studio.session import BusyError, Column, Session
from apps.studio.state import page_state
from apps.studio.studio import Studio
from tests.threads import WAIT, at_once, beside, until

KEY = "r" * 32
REQUEST: Any = SimpleNamespace(session_hash="page", client=None, headers={})
SHORT, LONG = (4, 0.0, 1.0, 0, 1.0, 0), (1500, 0.0, 1.0, 0, 1.0, 0)
BUSY = {str(BusyError()), "The models change when this reply has ended."}
GONE = {"There is no reply to write again yet. Ask something first.", "Only a question can be edited."}
"""What a click is told before which the conversation has gone."""


@pytest.fixture(scope="module")
def studio(names: list[str]) -> Studio:
    return Studio.of(names)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sentences that pages were told."""
    found: list[str] = []
    monkeypatch.setattr(gr, "Info", found.append)
    monkeypatch.setattr(gr, "Warning", found.append)
    return found


@pytest.fixture
def events(studio: Studio, said: list[str]) -> ChatEvents:
    return ChatEvents(studio)


@pytest.fixture
def tab(events: ChatEvents) -> Session:
    """A tab in which both models have answered two questions."""
    session = events.studio.sessions.of(KEY, "page")
    events.clear(KEY, REQUEST)
    for text in ("Hello", "Go on"):
        list(events.send(KEY, text, *SHORT, request=REQUEST))
    assert not session.busy
    return session


def whole(session: Session, studio: Studio) -> None:
    """Nothing is being written, and every column is of one piece."""
    assert session.rest.wait(WAIT)
    state = page_state(session, studio.shelf)
    assert [column["model"] for column in state["columns"]] == session.shown
    assert studio.admission.counts("reply") == (0, 0)
    for column in session.columns.values():
        assert column.live is None
        assert column.place is None or column.reply is not None
        assert column.strip is None or not column.strip.live


def test_any_two_clicks_at_once(events: ChatEvents, tab: Session, said: list[str], studio: Studio) -> None:
    """Every pair of clicks, a click with itself among them, while another thread looks all the time."""
    model = tab.shown[0]
    edit = gr.EventData(None, {"kind": "edit", "text": "Other", "model": model, "index": 0})
    one = next(name for name, shown in studio.choices.items() if len(shown) == 1)
    clicks: dict[str, Callable[[], Any]] = {
        "ask": lambda: events.send(KEY, "Hi", *SHORT, request=REQUEST),
        "again": lambda: events.again(KEY, *SHORT, request=REQUEST),
        "order": lambda: events.ordered(KEY, *SHORT, request=REQUEST, event=edit),
        "stop": lambda: events.stop(KEY, REQUEST),
        "clear": lambda: events.clear(KEY, REQUEST),
        "show": lambda: events.show(KEY, one, REQUEST),
        "restore": lambda: events.restore(KEY, REQUEST),
        "undo": lambda: events.act({"key": KEY, "kind": "undo"}),
    }
    over, faults = threading.Event(), []

    def look() -> None:
        while not over.wait(0.001):
            try:
                page_state(tab, studio.shelf)
            except Exception as error:
                faults.append(error)

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        for a, b in combinations_with_replacement(clicks, 2):
            tab.shown = list(tab.columns)
            if not all(len(column.talk) for column in tab.columns.values()):
                list(events.send(KEY, "Hello", *SHORT, request=REQUEST))
            del said[:]
            answers = at_once(clicks[a], clicks[b])
            whole(tab, studio)
            writes = {a, b} <= {"ask", "again", "order"}
            assert set(said) <= BUSY | GONE, (a, b, said)
            assert len(said) == 1 if writes else len(said) <= 1, (a, b, said)
            for told in (one for one in answers if isinstance(one, dict) and "error" in one):
                assert told["error"] in BUSY | {"There is nothing to undo."}, (a, b, told)
            assert faults == [], (a, b)
    finally:
        over.set()
        looking.join(WAIT)
        tab.shown = list(tab.columns)


def test_a_stop_is_never_lost(events: ChatEvents, tab: Session, said: list[str], studio: Studio) -> None:
    """As soon as the tab is busy, whatever its models do by then; several at once; and none stays for the next."""
    for clicks in (1, 3):
        writing = beside(lambda: list(events.send(KEY, "Count", *LONG, request=REQUEST)))
        until(lambda: tab.busy)
        at_once(*[lambda: events.stop(KEY, REQUEST)] * clicks)
        writing()
        whole(tab, studio)
        for column in tab.columns.values():
            assert column.note == "Stopped before the first word." or column.reply.finish in ("stopped", "eos")
    events.stop(KEY, REQUEST)
    list(events.send(KEY, "Hi", *SHORT, request=REQUEST))
    assert all(column.reply.finish in ("length", "eos") for column in tab.columns.values())
    assert said == []


def test_who_comes_second_leaves_the_first_its_stop(
    events: ChatEvents, tab: Session, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused click has an end as well, and that frees no button; a New that another question overtakes says so."""
    stop = tab.claim()
    refused = list(events.again(KEY, *SHORT, request=REQUEST))
    assert all(change == gr.skip() for told in refused for change in told[1:])
    assert events.idle(KEY, *SHORT, request=REQUEST) == (gr.skip(),) * 5
    assert not stop.is_set()
    tab.release()
    _, send, stopper, again, _ = events.idle(KEY, *SHORT, request=REQUEST)
    assert (send["interactive"], stopper["interactive"], again["interactive"]) == (True, False, True)
    monkeypatch.setattr(tab.rest, "wait", lambda seconds: tab.claim() is not None)
    number = tab.number
    events.clear(KEY, REQUEST)
    tab.release()
    assert (said, tab.number) == ([str(BusyError())] * 2, number)


def test_new_twice_while_a_reply_is_written(events: ChatEvents, tab: Session, said: list[str], studio: Studio) -> None:
    before = tab.number
    writing = beside(lambda: list(events.send(KEY, "Count", *LONG, request=REQUEST)))
    until(lambda: tab.busy)
    states = at_once(*[lambda: events.clear(KEY, REQUEST)] * 2)
    writing()
    whole(tab, studio)
    assert tab.number == before + 1 and before in tab.threads
    assert [state["number"] for state in states] == [before + 1] * 2
    assert all(not column["messages"] for state in states for column in state["columns"])
    assert said == []


def test_nobody_sees_or_changes_half_a_step(
    events: ChatEvents, tab: Session, said: list[str], studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look in the middle of an order waits for its end, and so does a click on other models."""
    edit = gr.EventData(None, {"kind": "edit", "text": "Other", "model": tab.shown[0], "index": 0})
    looks: list[Callable[[], Any]] = []
    blank = Column.blank

    def slow(column: Column) -> None:
        looks.append(beside(lambda: page_state(tab, studio.shelf)))
        blank(column)

    with monkeypatch.context() as patch:
        patch.setattr(Column, "blank", slow)
        list(events.ordered(KEY, *SHORT, request=REQUEST, event=edit))
    assert looks
    for look in looks:
        assert all(column["messages"] for column in look()["columns"])
    one = next(name for name, shown in studio.choices.items() if len(shown) == 1)
    with tab.lock:
        shown = beside(lambda: events.show(KEY, one, REQUEST))
        tab.claim()
    assert shown()[2]["value"] != one
    tab.release()
    assert said == ["The models change when this reply has ended."]
    assert len(tab.shown) == 2
    with pytest.raises(gr.Error, match="Reload the page"):
        events.show(KEY, None, REQUEST)  # type: ignore[arg-type]
