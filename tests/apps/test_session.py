"""What the server keeps is bounded, and one tab never sees or stops another."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import pytest

import workbench as wb
from apps.studio.runs import RunStore
from apps.studio.session import Column, Session, Sessions
from workbench.errors import CaptureError


@dataclass(frozen=True)
class Weight:
    """Stands for an inspection of some size."""

    nbytes: int


def test_a_visitor_keeps_only_so_many_runs() -> None:
    store = RunStore(each=3)
    mine = [store.add(Weight(1), "me") for _ in range(5)]
    yours = store.add(Weight(1), "you")
    assert len(store) == 4
    assert store.get(yours) == Weight(1)
    for gone in mine[:2]:
        with pytest.raises(CaptureError, match="no longer kept"):
            store.get(gone)
    assert [store.get(run) for run in mine[2:]] == [Weight(1)] * 3


def test_the_least_recently_opened_goes_when_memory_is_full() -> None:
    store = RunStore(each=99, most_bytes=100)
    first, second = store.add(Weight(40), "a"), store.add(Weight(40), "b")
    store.get(first)
    store.add(Weight(40), "c")
    assert store.get(first)
    with pytest.raises(CaptureError):
        store.get(second)
    huge = store.add(Weight(500), "d")
    assert store.get(huge), "the newest run can always be opened"
    assert len(store) == 1


def test_pinned_runs_stay_and_a_visitor_is_forgotten() -> None:
    store = RunStore(most_bytes=1)
    store.pin("recorded-x", Weight(10))
    run = store.add(Weight(10), "me")
    store.forget("me")
    assert store.get("recorded-x") == Weight(10)
    for wrong in (run, "", None, 7, ["x"], {"a": 1}):
        with pytest.raises(CaptureError):
            store.get(wrong)


def test_run_ids_cannot_be_guessed() -> None:
    store = RunStore()
    ids = {store.add(Weight(0), str(i)) for i in range(300)}
    assert len(ids) == 300
    assert all(len(run) >= 12 for run in ids)


def make(owner: str) -> Session:
    return Session(owner, {"m": Column("m")}, ["m"])


def test_tabs_are_separate_and_bounded() -> None:
    store = RunStore()
    sessions = Sessions(make, store, most=3)
    one = sessions.of("a")
    assert sessions.of("a") is one
    assert sessions.of("b") is not one
    run = store.add(Weight(1), "b")
    for owner in ("c", "d"):
        sessions.of(owner)
    assert len(sessions) == 3
    assert sessions.of("a") is not one, "the idle one went"
    with pytest.raises(CaptureError):
        store.get(run)


def test_a_tab_that_writes_is_not_dropped() -> None:
    sessions = Sessions(make, RunStore(), most=2)
    busy = sessions.of("busy")
    busy.rest.clear()
    for owner in ("b", "c", "d"):
        sessions.of(owner)
    assert sessions.of("busy") is busy


def test_closing_a_tab_stops_its_models_only() -> None:
    sessions = Sessions(make, RunStore())
    mine, yours = sessions.of("a"), sessions.of("b")
    mine.stops, yours.stops = [threading.Event(), threading.Event()], [threading.Event()]
    sessions.close("a")
    assert all(event.is_set() for event in mine.stops)
    assert not yours.stops[0].is_set()
    sessions.close("never opened")
    sessions.close(None)


def test_a_question_without_answer_is_dropped_before_the_next() -> None:
    column = Column("m", wb.Conversation().add("user", "a").add("assistant", "b").add("user", "c"))
    assert [message.content for message in column.settled()] == ["a", "b"]
    column.conversation = column.conversation.add("assistant", "")
    assert [message.content for message in column.settled()] == ["a", "b"]
    assert len(Column("m", wb.Conversation().add("user", "a")).settled()) == 0
