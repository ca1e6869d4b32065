"""Long work that a page starts, asks after and stops; `Admission` says when it is its turn on the models."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from apps.server.admission import HOME, PATIENCE, STUDY, Admission, Turn, Visitor
from apps.server.door import CLIENT
from apps.server.faults import HUNG
from workbench.errors import WorkbenchError

Told = dict[str, Any]
"""{"share": 0 to 1 or None, "said": a few words, "partial": what can be shown already, or nothing}"""
Work = Callable[[threading.Event], Generator[Told, None, Any]]
"""A generator that tells how far it is, ends soon after the event is set, and returns what is shown as JSON."""

NOBODY = "nobody "
"""What the owner begins with who has no key; such a one could neither ask after a job nor stop it."""
ABANDONED = 75.0
"""Seconds after which a job that nobody asks after is stopped: its tab is gone. A hidden tab asks once a minute."""
KEPT = 64
"""Jobs whose end can still be asked for."""
TICK = 0.5
"""Seconds between two looks of a waiting job at whether somebody still asks after it."""


@dataclass
class Job:
    """One job: ``state`` is "waiting", "running", "done", "stopped" or "failed"; ``home`` is the command that does the
    same without limits; ``notice`` a sentence about what was cut short, ``since`` when;
    ``left`` says that it was left behind within a step."""

    id: str
    owner: str
    work: Work
    turn: Turn
    home: str
    asked: float
    state: str = "waiting"
    told: Told = field(default_factory=dict)
    result: Any = None
    error: str = ""
    notice: str = ""
    since: float = 0.0
    left: bool = False
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def over(self) -> bool:
        return self.state in ("done", "stopped", "failed")


class Jobs:
    """The jobs of one served app; those of one owner are seen by that owner alone. ``admission`` says whose turn it
    is."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, admission: Admission | None = None) -> None:
        self._clock = clock
        self.admission = admission or Admission()
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._lock = threading.Lock()

    def start(self, owner: str, work: Work, home: str = HOME, kind: str = STUDY, visitor: Visitor | None = None) -> str:
        """Begin ``work`` when it is its turn; its id. RefusedError when a limit is reached, WorkbenchError for who has
        no key. ``visitor`` is who stands in line, by default ``owner`` at the address whose request is answered."""
        if owner.startswith(NOBODY):
            raise WorkbenchError("This tab has no key", remedy="Reload the page")
        turn = self.admission.enter(visitor or Visitor(owner, CLIENT.get()), kind)
        job = Job(secrets.token_urlsafe(12), owner, work, turn, home, self._clock())
        with self._lock:
            self._jobs[job.id] = job
            for key in [key for key, one in self._jobs.items() if one.over][: max(0, len(self._jobs) - KEPT)]:
                del self._jobs[key]
        try:
            threading.Thread(target=self._run, args=(job,), daemon=True).start()
        except (RuntimeError, MemoryError) as error:  # no more threads
            turn.leave()
            job.state, job.error = "failed", self.admission.faults.told(error)
        return job.id

    def status(self, owner: str, job_id: Any) -> dict[str, Any]:
        """{"state", "share", "said", "partial", "before", "result", "error", "notice"}: how far it is; ``before``
        are the jobs that come first. A job that nobody knows is "failed", with a sentence."""
        job = self._known(owner, job_id)
        if job is None:
            return {"state": "failed", "error": "This computation is no longer known here. Start it again."}
        job.asked = self._clock()
        self.look()
        found: dict[str, Any] = {"state": job.state, "error": job.error, **job.told}
        if job.notice:
            found["notice"] = job.notice
        if job.state == "waiting":
            found["before"] = job.turn.ahead
        if found["state"] in ("done", "stopped", "failed"):
            found["result"] = job.result
        return found

    def halt(self, owner: str, job_id: Any) -> None:
        """Stop the job after its next step; one that still waits ends at once."""
        if (job := self._known(owner, job_id)) is not None:
            job.stop.set()
            if job.state == "waiting":
                job.state = "stopped"
                job.turn.leave()

    def look(self) -> None:
        """Stop the jobs that take longer than they may. One that does not stop, within one long step, is left behind:
        the line goes on."""
        with self._lock:
            running = [job for job in self._jobs.values() if job.state == "running"]
        for job in running:
            if not job.notice and (late := job.turn.overdue):
                self.admission.metrics.refused("seconds")
                job.notice = f"{late} Without a limit: {job.home}, on your own machine."
                job.since = self.admission.clock()
                job.stop.set()
            if job.notice and not job.left and self.admission.clock() - job.since > PATIENCE:
                self.admission.faults.count(HUNG)
                job.left, job.result, job.state = True, job.told.get("partial"), "stopped"
                job.turn.leave()

    def stop(self) -> None:
        """Stop all of them: the server ends."""
        with self._lock:
            for job in self._jobs.values():
                job.stop.set()

    def forget(self, owner: str) -> None:
        """Stop and drop all jobs of a visitor who has gone."""
        with self._lock:
            own = [job for job in self._jobs.values() if job.owner == owner]
            for job in own:
                job.stop.set()
                del self._jobs[job.id]

    def __len__(self) -> int:
        return len(self._jobs)

    def _known(self, owner: str, job_id: Any) -> Job | None:
        with self._lock:
            job = self._jobs.get(job_id) if isinstance(job_id, str) else None
            return job if job is not None and job.owner == owner else None

    def _run(self, job: Job) -> None:
        try:
            while not job.stop.is_set() and not job.turn.wait(TICK):
                self._abandoned(job)
                self.look()  # the one that runs may be asked after by nobody
            if job.stop.is_set() or not job.turn.running:
                job.state = "stopped"
                return
            job.state = "running"
            self._do(job)
        finally:
            job.turn.leave()

    def _do(self, job: Job) -> None:
        steps: Generator[Told, None, Any] | None = None
        state, result, sentence = "failed", None, ""
        try:
            steps = job.work(job.stop)
            while True:
                self._abandoned(job)
                self.look()
                told = next(steps)
                if job.left:
                    break
                job.told = told
        except StopIteration as end:
            result, state = end.value, "stopped" if job.stop.is_set() else "done"
        except BaseException as error:  # also what would end a thread without a word
            sentence = self.admission.faults.told(error)
            state = "stopped" if isinstance(error, WorkbenchError) and job.stop.is_set() else "failed"
        finally:
            if steps is not None:
                with contextlib.suppress(Exception):
                    steps.close()
            job.turn.leave()  # before anybody learns that it is over and asks for the next
            if not job.left:
                job.result, job.error, job.state = result, sentence, state

    def _abandoned(self, job: Job) -> None:
        if self._clock() - job.asked > ABANDONED:
            job.stop.set()
