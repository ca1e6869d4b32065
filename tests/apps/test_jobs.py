"""Long work that pages start: in order, one at a time, seen by its owner alone, stopped, abandoned, failed."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Generator
from typing import Any

import pytest

from apps.server.admission import PATIENCE, STUDY, Admission
from apps.server.faults import DISK, HUNG, MEMORY, SENTENCES
from apps.server.faults import OTHER as ANY
from apps.server.metrics import Metrics
from apps.server.settings import Settings
from apps.studio.jobs import ABANDONED, Jobs, Told, Work
from apps.studio.sections import sentences
from workbench.errors import WorkbenchError

ME, OTHER = "me", "another"


def until(true: Callable[[], bool]) -> None:
    """Waits until ``true()``; fails after a minute."""
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def counting(go: threading.Event, upto: int = 3) -> Work:
    """Work that tells 0, waits for ``go``, counts on and returns how far it came."""

    def work(stop: threading.Event) -> Generator[Told, None, int]:
        for n in range(upto):
            yield {"share": n / upto, "said": str(n), "partial": None}
            while not (go.is_set() or stop.is_set()):
                time.sleep(0.005)
            if stop.is_set():
                return n
        return upto

    return work


def test_jobs_run_one_after_the_other_and_say_who_comes_first() -> None:
    jobs, go = Jobs(), threading.Event()
    first, second = (jobs.start(ME, counting(go)) for _ in range(2))
    until(lambda: jobs.status(ME, first).get("said") == "0")
    assert jobs.status(ME, first)["state"] == "running"
    waiting = jobs.status(ME, second)
    assert (waiting["state"], waiting["before"]) == ("waiting", 1)
    assert "result" not in waiting
    go.set()
    until(lambda: jobs.status(ME, second)["state"] == "done")
    assert [jobs.status(ME, job)["result"] for job in (first, second)] == [3, 3]


def test_a_job_is_its_owners_alone() -> None:
    jobs, go = Jobs(), threading.Event()
    job = jobs.start(ME, counting(go))
    assert jobs.status(OTHER, job)["state"] == "failed"
    assert "no longer known" in jobs.status(ME, "nonsense")["error"]
    assert jobs.status(ME, ["nonsense"])["state"] == "failed"
    jobs.halt(OTHER, job)
    go.set()
    until(lambda: jobs.status(ME, job)["state"] == "done")


def test_who_has_no_key_begins_nothing() -> None:
    """Nobody could ask after it or stop it: it would hold the line until it counts as abandoned."""
    jobs = Jobs()
    start = sentences(lambda request: {"job": jobs.start(request["tab"], counting(threading.Event()))})
    for request in ({}, {"tab": ""}, {"tab": 3}, {"tab": "short"}):
        assert start(request) == {"error": "This tab has no key. Reload the page."}
    assert len(jobs) == 0
    assert jobs.admission.counts(STUDY) == (0, 0)
    job = start({"tab": "t" * 24})["job"]
    jobs.halt("t" * 24, job)
    until(lambda: jobs.status("t" * 24, job)["state"] == "stopped")


def test_a_stopped_job_keeps_what_it_has_and_a_waiting_one_never_begins() -> None:
    jobs, go = Jobs(), threading.Event()
    first, second = (jobs.start(ME, counting(go)) for _ in range(2))
    until(lambda: jobs.status(ME, first).get("said") == "0")
    jobs.halt(ME, second)
    assert jobs.status(ME, second)["state"] == "stopped"
    jobs.halt(ME, first)
    until(lambda: jobs.status(ME, first)["state"] == "stopped")
    assert jobs.status(ME, first)["result"] == 0
    assert jobs.status(ME, second)["result"] is None


def test_what_fails_is_a_sentence_and_the_next_job_runs(capsys: pytest.CaptureFixture[str]) -> None:
    def wrong(error: Exception) -> Work:
        def work(stop: threading.Event) -> Generator[Told, None, Any]:
            yield {"share": 0.5, "said": "half"}
            raise error

        return work

    jobs, go = Jobs(), threading.Event()
    go.set()
    known, unknown = jobs.start(ME, wrong(WorkbenchError("The text is empty"))), jobs.start(ME, wrong(KeyError("x")))
    last = jobs.start(ME, counting(go))
    until(lambda: jobs.status(ME, last)["state"] == "done")
    assert jobs.status(ME, known)["error"] == "The text is empty."
    assert "log" in jobs.status(ME, unknown)["error"]
    assert "KeyError" in capsys.readouterr().err


def test_a_job_nobody_asks_after_is_stopped() -> None:
    now = [0.0]
    jobs, go = Jobs(clock=lambda: now[0]), threading.Event()

    def endless(stop: threading.Event) -> Generator[Told, None, str]:
        while not stop.is_set():
            yield {"share": None, "said": ""}
            time.sleep(0.005)
        return "stopped"

    left, next_one = jobs.start(ME, endless), jobs.start(ME, counting(go))
    now[0] = ABANDONED + 1
    go.set()
    until(lambda: jobs.status(ME, next_one)["state"] == "done")
    assert jobs.status(ME, left) | {"said": "", "share": None} == {
        "state": "stopped", "error": "", "share": None, "said": "", "result": "stopped",
    }  # fmt: skip


def test_too_many_that_wait_are_turned_away() -> None:
    jobs, go = Jobs(admission=Admission(Settings(queue_length=2))), threading.Event()
    for _ in range(3):
        jobs.start(ME, counting(go))
    with pytest.raises(WorkbenchError, match="waiting already"):
        jobs.start(ME, counting(go))
    go.set()


def test_one_computation_a_visitor_where_the_server_is_shared() -> None:
    jobs, go = Jobs(admission=Admission(Settings(per_visitor=1))), threading.Event()
    first = jobs.start(ME, counting(go))
    with pytest.raises(WorkbenchError, match="A request of yours"):
        jobs.start(ME, counting(go))
    second = jobs.start(OTHER, counting(go))
    assert jobs.status(OTHER, second)["before"] == 1
    jobs.halt(OTHER, second)
    assert jobs.start(OTHER, counting(go)), "a stopped one is in nobody's way"
    go.set()
    until(lambda: jobs.status(ME, first)["state"] == "done")
    assert jobs.start(ME, counting(go)), "whoever knows that it is over can ask for the next"


def test_a_long_one_is_cut_with_a_sentence_that_names_what_has_no_limit() -> None:
    now = [0.0]
    metrics = Metrics()
    admission = Admission(Settings(study_seconds=60), metrics, clock=lambda: now[0])
    jobs = Jobs(admission=admission)

    def long(stop: threading.Event) -> Generator[Told, None, str]:
        while not stop.is_set():
            yield {"share": 0.5, "said": "half", "partial": "half"}
            now[0] += 20
        return "what there is"

    job = jobs.start(ME, long, "workbench needle")
    until(lambda: jobs.status(ME, job)["state"] == "stopped")
    found = jobs.status(ME, job)
    assert found["result"] == "what there is"
    assert "60 seconds" in found["notice"] and "workbench needle" in found["notice"]
    assert metrics.refusals() == {"seconds": 1}


@pytest.mark.parametrize(
    ("error", "sentence"),
    [(MemoryError(), MEMORY), (OSError(errno.ENOSPC, "No space left on device", "/secret"), DISK),
     (SystemExit(), ANY), (KeyError("secret"), ANY)],
)  # fmt: skip
def test_whatever_ends_a_job_is_a_sentence_and_what_was_shown_stays(error: BaseException, sentence: str) -> None:
    """Also what ends a thread without a word, as a worker that is killed."""
    jobs, go = Jobs(), threading.Event()
    go.set()

    def dying(stop: threading.Event) -> Generator[Told, None, None]:
        yield {"share": 0.5, "said": "half", "partial": [1, 2]}
        raise error

    job, after = jobs.start(ME, dying), jobs.start(OTHER, counting(go))
    until(lambda: jobs.status(OTHER, after)["state"] == "done")
    found = jobs.status(ME, job)
    assert (found["state"], found["error"], found["partial"]) == ("failed", SENTENCES[sentence], [1, 2])
    assert jobs.admission.metrics.faults() == {sentence: 1} and jobs.admission.counts(STUDY) == (0, 0)


def test_a_step_that_hangs_is_left_behind_and_the_line_goes_on() -> None:
    now, hangs, go = [0.0], threading.Event(), threading.Event()
    jobs = Jobs(admission=Admission(Settings(study_seconds=60), clock=lambda: now[0]))

    def hanging(stop: threading.Event) -> Generator[Told, None, str]:
        yield {"share": 0.5, "said": "half", "partial": "half"}
        hangs.set()
        assert go.wait(60)
        return "too late"

    job = jobs.start(ME, hanging, "workbench needle")
    assert hangs.wait(60)
    now[0] = 61
    assert "60 seconds" in jobs.status(ME, job)["notice"]
    assert jobs.status(ME, job)["state"] == "running", "it may still come to the end of its step"
    following = jobs.start(OTHER, counting(go))
    now[0] += PATIENCE + 1
    until(lambda: jobs.status(OTHER, following)["state"] == "running")
    found = jobs.status(ME, job)
    assert (found["state"], found["result"]) == ("stopped", "half")
    assert jobs.admission.metrics.faults() == {HUNG: 1}
    go.set()
    until(lambda: jobs.status(OTHER, following)["state"] == "done")
    assert jobs.status(ME, job)["result"] == "half"


def test_no_thread_for_a_job_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = Jobs()

    def none(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none)
    job = jobs.start(ME, counting(threading.Event()))
    monkeypatch.undo()
    assert jobs.status(ME, job)["error"] == SENTENCES[ANY]
    assert jobs.admission.counts(STUDY) == (0, 0)


def test_a_server_that_ends_stops_all_of_them() -> None:
    jobs, go = Jobs(), threading.Event()
    running, waiting = (jobs.start(who, counting(go, 10**6)) for who in (ME, OTHER))
    until(lambda: jobs.status(ME, running)["state"] == "running")
    jobs.stop()
    assert jobs.admission.settle(60)
    until(lambda: jobs.status(OTHER, waiting)["state"] == "stopped")
    assert jobs.status(ME, running)["state"] == "stopped"


def test_jobs_of_who_has_gone_are_stopped_and_dropped() -> None:
    jobs, go = Jobs(), threading.Event()
    mine, yours = jobs.start(ME, counting(go, 10**6)), jobs.start(OTHER, counting(go))
    until(lambda: jobs.status(ME, mine)["state"] == "running")
    jobs.forget(ME)
    go.set()
    until(lambda: jobs.status(OTHER, yours)["state"] == "done")
    assert jobs.status(ME, mine)["state"] == "failed"
    assert len(jobs) == 1
