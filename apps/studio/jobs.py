"""Long work that a page starts, asks after and stops: one job at a time on the models, the others wait their turn."""

from __future__ import annotations

import secrets
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from workbench.errors import WorkbenchError

Told = dict[str, Any]
"""{"share": 0 to 1 or None, "said": a few words, "partial": what can be shown already, or nothing}"""
Work = Callable[[threading.Event], Generator[Told, None, Any]]
"""A generator that tells how far it is, ends soon after the event is set, and returns what is shown as JSON."""

ABANDONED = 30.0
"""Seconds after which a job that nobody asks after is stopped: its tab is gone."""
KEPT = 64
"""Jobs whose end can still be asked for."""
WAITING = 8
"""Jobs that may wait; the next is turned away with a sentence."""


@dataclass
class Job:
    """One job: ``state`` is "waiting", "running", "done", "stopped" or "failed"."""

    id: str
    owner: str
    work: Work
    asked: float
    state: str = "waiting"
    told: Told = field(default_factory=dict)
    result: Any = None
    error: str = ""
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def over(self) -> bool:
        return self.state in ("done", "stopped", "failed")


class Jobs:
    """The jobs of one served app, in order of their coming; those of one owner are seen by that owner alone."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._wake = threading.Condition()
        self._worker: threading.Thread | None = None

    def start(self, owner: str, work: Work) -> str:
        """Begin ``work`` when those before it have ended; its id. WorkbenchError when too many wait already."""
        with self._wake:
            if sum(not job.over for job in self._jobs.values()) > WAITING:
                raise WorkbenchError("Many computations are waiting already", remedy="Try again in a minute")
            job = Job(secrets.token_urlsafe(12), owner, work, self._clock())
            self._jobs[job.id] = job
            for key in [key for key, one in self._jobs.items() if one.over][: max(0, len(self._jobs) - KEPT)]:
                del self._jobs[key]
            if self._worker is None or not self._worker.is_alive():
                self._worker = threading.Thread(target=self._run, daemon=True)
                self._worker.start()
            self._wake.notify_all()
        return job.id

    def status(self, owner: str, job_id: Any) -> dict[str, Any]:
        """{"state", "share", "said", "partial", "before", "result", "error"}: how far it is; ``before`` are the jobs
        that come first. A job that nobody knows is "failed", with a sentence."""
        with self._wake:
            job = self._jobs.get(job_id) if isinstance(job_id, str) else None
            if job is None or job.owner != owner:
                return {"state": "failed", "error": "This computation is no longer known here. Start it again."}
            job.asked = self._clock()
            found: dict[str, Any] = {"state": job.state, "error": job.error, **job.told}
            if job.state == "waiting":
                unfinished = [one for one in self._jobs.values() if not one.over]
                found["before"] = next(i for i, one in enumerate(unfinished) if one is job)
            if job.over:
                found["result"] = job.result
            return found

    def halt(self, owner: str, job_id: Any) -> None:
        """Stop the job after its next step; one that still waits ends at once."""
        with self._wake:
            job = self._jobs.get(job_id) if isinstance(job_id, str) else None
            if job is not None and job.owner == owner:
                job.stop.set()
                if job.state == "waiting":
                    job.state = "stopped"

    def _run(self) -> None:
        while True:
            with self._wake:
                waiting = [job for job in self._jobs.values() if job.state == "waiting"]
                if not waiting:
                    self._wake.wait(60)
                    waiting = [job for job in self._jobs.values() if job.state == "waiting"]
                    if not waiting:
                        self._worker = None
                        return
                job = waiting[0]
                job.state = "running"
            self._do(job)

    def _do(self, job: Job) -> None:
        steps: Generator[Told, None, Any] | None = None
        try:
            steps = job.work(job.stop)
            while True:
                if self._clock() - job.asked > ABANDONED:
                    job.stop.set()
                job.told = next(steps)
        except StopIteration as end:
            job.result = end.value
            job.state = "stopped" if job.stop.is_set() else "done"
        except WorkbenchError as error:
            job.error = str(error)
            job.state = "stopped" if job.stop.is_set() else "failed"
        except Exception:
            traceback.print_exc()
            job.error = "The computation failed; the server's log has the details."
            job.state = "failed"
        finally:
            if steps is not None:
                steps.close()
