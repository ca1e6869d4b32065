"""Turns at the models: in fair order, each with its place in words, every limit a sentence, nothing left behind."""

from __future__ import annotations

import itertools
import random
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.server.admission import REPLY, STUDY, Admission, RefusedError, Turn, Visitor, ordinal
from apps.server.metrics import Metrics, quantile
from apps.server.rates import Rates
from apps.server.settings import SHARED, Settings

A, B, C = (Visitor(letter * 24, f"10.0.0.{i}") for i, letter in enumerate("abc"))
LONG = 30.0
"""Seconds after which a wait that should have ended is a failure."""


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_one_at_a_time_each_with_its_place_in_words() -> None:
    admission = Admission()
    first, second, third = (admission.enter(one) for one in (A, B, C))
    assert [turn.place for turn in (first, second, third)] == [0, 1, 2]
    assert [turn.ahead for turn in (first, second, third)] == [0, 1, 2]
    assert first.running and first.sentence == ""
    assert second.sentence.startswith("Next in line")
    assert third.sentence == "2nd in line: 1 other comes before this one."
    assert admission.enter(Visitor("d" * 24, "x")).sentence == "3rd in line: 2 others come before this one."
    second.leave()
    assert third.sentence.startswith("Next in line")
    first.leave()
    first.leave()
    assert third.wait(0) and third.running
    assert admission.counts(REPLY) == (1, 1)
    assert admission.enter(A, STUDY).running, "studies have a line of their own"


def test_a_turn_wakes_who_waits_for_it() -> None:
    """A thread that waits sees each place once, and goes on when it is its turn."""
    admission, said, served = Admission(), [], threading.Event()
    first, second = admission.enter(A), admission.enter(B)

    def wait(turn: Turn) -> None:
        said.extend(turn.waiting(threading.Event(), LONG))
        served.set()

    third = admission.enter(C)
    thread = threading.Thread(target=wait, args=(third,), daemon=True)
    seen = threading.Event()
    original = third.wait

    def waiting(seconds: float) -> bool:  # the thread is about to wait
        seen.set()
        return original(seconds)

    third.wait = waiting  # type: ignore[method-assign]
    thread.start()
    assert seen.wait(LONG)
    second.leave()
    first.leave()
    assert served.wait(LONG)
    thread.join(LONG)
    assert set(said) <= {third.sentence, "Next in line: this begins when what is being computed for another visitor "
                         "has ended.", "2nd in line: 1 other comes before this one."}  # fmt: skip


def test_stopped_while_it_waits_it_gives_up_its_place() -> None:
    admission, stop = Admission(), threading.Event()
    with admission.turn(A):
        with admission.turn(B) as turn:
            heard = turn.waiting(stop, 0.01)
            assert next(heard).startswith("Next in line")
            stop.set()
            assert list(heard) == []
            assert not turn.running
        assert admission.counts(REPLY) == (1, 0)
        with pytest.raises(KeyError), admission.turn(C):
            raise KeyError
    assert admission.counts(REPLY) == (0, 0)


def test_who_asks_again_comes_after_who_asks_for_the_first_time() -> None:
    """And in the end everybody is served, whoever keeps on coming."""
    admission = Admission(Settings(queue_length=100))
    running = admission.enter(A)
    many = [admission.enter(Visitor(f"tab {i}" * 5, A.client)) for i in range(4)]
    late = admission.enter(B)
    assert late.place == 1, "one address with many tabs is one visitor"
    order, turns = [], [*many, late]
    newcomers = itertools.count()
    while many[0] not in order and len(order) < 20:  # somebody new comes before every change
        turns.append(admission.enter(Visitor(f"new {next(newcomers)}" * 5, f"n{len(turns)}")))
        running.leave()
        (running,) = [turn for turn in turns if turn.running]
        order.append(running)
    assert many[0] in order and len(order) <= 8, "newcomers cannot keep others waiting for ever"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=60), st.integers(1, 3), st.integers(0, 6))
def test_never_more_than_allowed_and_nobody_is_lost(steps: list[tuple[int, bool]], most: int, length: int) -> None:
    admission = Admission(Settings(concurrency=most, queue_length=length))
    held: list[Turn] = []
    for who, leaves in steps:
        if leaves and held:
            held.pop(who % len(held)).leave()
        else:
            try:
                held.append(admission.enter(Visitor(str(who), str(who))))
            except RefusedError:
                assert admission.counts(REPLY)[1] >= length or sum(t.visitor.key == str(who) for t in held) >= 8
        running, waiting = admission.counts(REPLY)
        assert running == sum(turn.running for turn in held) == min(most, len(held))
        assert sorted(turn.place for turn in held if turn.place) == list(range(1, waiting + 1))
        assert waiting <= length
    for turn in held:
        turn.leave()
    assert admission.counts(REPLY) == (0, 0)
    assert len(admission._lines[REPLY].last) <= len({turn.visitor.flow for turn in held}) + 5


def test_many_threads_at_once_are_never_more_than_allowed() -> None:
    admission = Admission(Settings(concurrency=2, queue_length=64))
    lock, inside, most, done = threading.Lock(), [0], [0], []
    go = threading.Barrier(24)

    def one(number: int) -> None:
        go.wait(LONG)
        with admission.turn(Visitor(f"{number}", f"{number % 5}")) as turn:
            while not turn.wait(LONG):
                pass
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            for _ in range(random.randrange(500)):
                pass
            with lock:
                inside[0] -= 1
                done.append(number)

    threads = [threading.Thread(target=one, args=(i,), daemon=True) for i in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert sorted(done) == list(range(24))
    assert 1 <= most[0] <= 2


def test_every_limit_is_a_sentence_and_is_counted() -> None:
    clock, metrics = Clock(), Metrics()
    known = Settings(queue_length=1, per_visitor=1, requests_per_minute=3, max_new_tokens=64, max_prompt_tokens=100,
                     reply_seconds=5)  # fmt: skip
    admission = Admission(known, metrics, clock)
    with admission.turn(A) as turn:
        with pytest.raises(RefusedError, match="A request of yours is running or waiting already"):
            admission.enter(A)
        with admission.turn(B), pytest.raises(RefusedError, match=r"1 in line.*Try again in a minute"):
            admission.enter(C)
        assert turn.overdue == ""
        clock.now = 5.1
        assert turn.overdue.startswith("Stopped after 5 seconds")
    for _ in range(2):
        admission.enter(A).leave()
    with pytest.raises(RefusedError, match=r"More than 3 requests.*Ask again in 1[0-9] s"):
        admission.enter(A)
    clock.now += 20
    admission.enter(A).leave()
    for check in (lambda: admission.check_reply(65), lambda: admission.check_prompt(101, "workbench needle")):
        with pytest.raises(RefusedError, match=r"expected at most (64|100) on this server.*workbench"):
            check()
    admission.check_reply(64)
    admission.check_prompt(100)
    assert metrics.refusals() == {"per_visitor": 1, "queue": 1, "rate": 1, "tokens": 2}
    Admission().check_reply(10**9)


def test_shared_limits_bound_everything() -> None:
    shared = Settings.model_validate(SHARED)
    free = [name for name, field in Settings.model_fields.items() if field.default is None and name != "recorded"]
    unset = [name for name in free if getattr(shared, name) is None and not name.startswith("opinions")]
    assert unset == ["password", "metrics_token"]


def test_rates_fill_again_and_know_no_stranger() -> None:
    clock = Clock()
    rates = Rates(2, clock)
    assert [rates.spend("a") for _ in range(3)] == [0, 0, pytest.approx(30)]
    assert rates.spend("b") == 0
    clock.now = 30
    assert rates.spend("a") == 0
    assert Rates(None).spend("a") == 0


def test_metrics_in_the_text_format() -> None:
    clock = Clock()
    metrics = Metrics(clock)
    for i in range(100):
        metrics.done("reply", i + 1.0, waited=0.5)
    metrics.wrote(120)
    metrics.refused("queue")
    metrics.gauges["sessions"] = lambda: 3
    text = metrics.text()
    for line in (
        'workbench_requests_total{kind="reply"} 100',
        'workbench_latency_seconds{kind="reply",quantile="0.5"} 50.000000',
        'workbench_latency_seconds{kind="reply",quantile="0.95"} 95.000000', "workbench_tokens_total 120",
        'workbench_refusals_total{reason="queue"} 1', "workbench_tokens_per_second 2", "workbench_sessions 3",
    ):  # fmt: skip
        assert line in text.splitlines()
    assert "workbench_resident_bytes" in text
    clock.now = 100
    metrics.wrote(6)
    assert metrics.tokens_per_second == pytest.approx(0.1)
    assert [quantile([1.0], share) for share in (0.5, 0.95)] == [1.0, 1.0]


def test_ordinals() -> None:
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 102, 113)] == [
        *("1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "102nd", "113th")
    ]
