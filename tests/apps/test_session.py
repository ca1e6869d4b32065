"""The tabs of a server are bounded, found again by their key, and never see or stop one another."""

from __future__ import annotations

import threading

import pytest

import workbench as wb
from apps.studio import tabs
from apps.studio.session import MOST_CHARACTERS, MOST_THREADS, BusyError, Column, Session
from apps.studio.tabs import Sessions
from apps.studio.talk import Talk
from workbench.errors import WorkbenchError

A, B, C, D = (letter * 32 for letter in "abcd")


def make(owner: str) -> Session:
    return Session(owner, {"m": Column("m")}, ["m"])


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_tabs_are_separate_and_bounded() -> None:
    sessions = Sessions(make, most=3)
    one = sessions.of(A)
    assert sessions.of(A) is one
    assert sessions.of(B) is not one
    for owner in (C, D):
        sessions.of(owner)
    assert len(sessions) == 3
    assert not sessions.knows(A), "the idle one went"
    assert sessions.of(A) is not one


def test_a_tab_that_writes_is_not_dropped() -> None:
    sessions = Sessions(make, most=2)
    busy = sessions.of(A)
    busy.claim()
    for owner in (B, C, D):
        sessions.of(owner)
    assert sessions.of(A) is busy
    with pytest.raises(BusyError):
        busy.claim()


def test_a_reload_finds_the_tab_again_and_stops_its_models() -> None:
    sessions = Sessions(make)
    mine, yours = sessions.of(A, "page 1"), sessions.of(B, "page 2")
    mine.stops, yours.stops = [threading.Event(), threading.Event()], [threading.Event()]
    sessions.leave("page 1")
    assert all(event.is_set() for event in mine.stops)
    assert not yours.stops[0].is_set()
    assert sessions.of(A, "page 3") is mine


def test_the_page_that_was_left_does_not_stop_the_one_that_came() -> None:
    sessions = Sessions(make)
    mine = sessions.of(A, "page 1")
    sessions.of(A, "page 2")  # the reload arrives before the old page is known to be gone
    mine.stops = [threading.Event()]
    sessions.leave("page 1")
    assert not mine.stops[0].is_set()
    for nothing in (None, "", "page 9"):
        sessions.leave(nothing)


def test_a_closed_tab_is_kept_for_a_while_and_goes_first() -> None:
    clock = Clock()
    sessions = Sessions(make, most=3, grace=60, clock=clock)
    closed, idle = sessions.of(A, "1"), sessions.of(B, "2")
    sessions.leave("1")
    clock.now = 59
    assert sessions.of(A) is closed
    sessions.of(C, "3")
    sessions.of(D, "4")
    assert not sessions.knows(A), "closed ones go before open ones"
    assert sessions.of(B) is idle
    sessions.leave("3")
    clock.now = 200
    sessions.of(B, "2")
    assert not sessions.knows(C), "its time was over"


@pytest.mark.parametrize("key", [None, "", "short", 7, ["x" * 32], "x" * 65, "a b" * 10, "ä" * 32])
def test_what_is_no_key_is_refused_in_a_sentence(key: object) -> None:
    sessions = Sessions(make)
    with pytest.raises(wb.WorkbenchError, match="Reload the page"):
        sessions.of(key)
    assert not sessions.knows(key)


def talk(*texts: str) -> Talk:
    return Talk.of(
        wb.Conversation.of([{"role": ("user", "assistant")[i % 2], "content": t} for i, t in enumerate(texts)])
    )


def test_a_question_without_answer_is_dropped_before_the_next() -> None:
    assert [message.content for message in talk("a", "b", "c").settled().said] == ["a", "b"]
    assert [message.content for message in talk("a", "b", "c", "").settled().said] == ["a", "b"]
    assert len(talk("a").settled()) == 0


def test_branching_keeps_what_was_said() -> None:
    session = make(A)
    session.branch({"m": Talk()})
    assert session.number == 1
    assert not session.threads, "an empty conversation is not worth keeping"
    session.columns["m"].talk = talk("a", "b")
    session.branch({"m": talk("a")})
    assert session.number == 2
    assert session.threads[1].talks["m"].said.as_dicts() == talk("a", "b").said.as_dicts()
    for i in range(2 * MOST_THREADS):
        session.columns["m"].talk = talk(str(i), "x")
        session.branch({"m": Talk()})
    assert len(session.threads) <= MOST_THREADS
    assert session.number > max(session.threads)
    session.columns["m"].talk = talk("x" * 1_900_000, "y")
    for _ in range(6):
        session.branch({})
    assert sum(thread.characters for thread in session.threads.values()) <= MOST_CHARACTERS
    assert session.present().characters > 1_000_000, "the present one stays"


def test_titles_are_short_and_one_line() -> None:
    session = make(A)
    session.columns["m"].talk = talk("  What\nis " + "long " * 100, "x")
    assert session.present().title.startswith("What is long")
    assert len(session.present().title) <= 44


class Kept:
    """Stands for what was read: how much is held."""

    nbytes = 5

    def clear(self) -> None:
        self.nbytes = 0


def test_what_a_tab_that_left_still_reads_is_not_kept() -> None:
    sessions = Sessions(make)
    tab = sessions.of(A, "page")
    stop = tab.claim()
    sessions.leave("page")
    assert stop.is_set()
    tab.prefixes = Kept()  # type: ignore[assignment]  # the model keeps what it has read when it stops
    tab.release()
    assert tab.prefixes.nbytes == 0
    assert not tab.busy
    sessions.of(A, "another page")
    tab.claim()
    tab.prefixes = Kept()  # type: ignore[assignment]
    tab.release()
    assert tab.prefixes.nbytes == 5, "who has come back keeps it"


def test_stop_finds_what_was_claimed() -> None:
    tab = make(A)
    stop = tab.claim()
    tab.stop()
    assert stop.is_set()
    tab.release()
    assert not tab.claim().is_set(), "an earlier Stop is for an earlier request"


def test_a_tab_is_forgotten_after_its_time_and_told_so() -> None:
    clock = Clock()
    sessions = Sessions(make, forget=60, clock=clock)
    mine, writing = sessions.of(A), sessions.of(B)
    writing.claim()
    sessions.touch(C)
    clock.now = 59
    assert sessions.sweep() == []
    sessions.of(A)
    clock.now = 100
    assert sessions.sweep() == [C], "a page of studies has no conversation, but jobs and folders"
    clock.now = 130
    assert sessions.sweep() == [A]
    again = sessions.of(A)
    assert again is not mine
    assert "forgotten what this tab held" in again.notice
    assert sessions.of(B) is writing
    assert sessions.of(D).notice == ""
    assert Sessions(make).sweep() == []


def test_one_address_cannot_take_all_places() -> None:
    clock = Clock()
    sessions = Sessions(make, most=3, each=2, clock=clock)
    first, second = sessions.of(A, "1", "x"), sessions.of(B, "2", "x")
    sessions.of(C, "3", "x")
    assert not sessions.knows(A), "its own oldest went"
    sessions.of(D, "4", "y")
    with pytest.raises(wb.WorkbenchError, match="All 3 places"):
        sessions.of("e" * 32, "5", "z")
    clock.now = 61
    assert sessions.of("e" * 32, "5", "z").owner == "e" * 32, "an idle one has made room"
    assert first is not second
    assert len(sessions) == 3


def test_a_tab_that_made_room_after_it_was_found_begins_nothing() -> None:
    """Two clicks at once, in two tabs of an address that may have one: the reply would be nobody's."""
    sessions = Sessions(make, each=1)
    first = sessions.of(A, client="1.2.3.4")
    second = sessions.of(B, client="1.2.3.4")
    with pytest.raises(WorkbenchError, match="had to make room"):
        first.claim()
    assert not first.busy
    second.claim()


def test_whoever_is_no_longer_noted_is_swept_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Studies of more strangers than are noted do not stay for ever."""
    monkeypatch.setattr(tabs, "MOST_SEEN", 2)
    sessions = Sessions(make, clock=lambda: 0.0, forget=60)
    for owner in (A, B, C):
        sessions.touch(owner)
    assert sessions.sweep() == [A]
    assert sessions.sweep() == []
