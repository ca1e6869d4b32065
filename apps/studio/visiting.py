"""One thread pays one visit for all models that an exchange asks, and reports what they report."""

from __future__ import annotations

import queue
import threading
from contextlib import closing
from dataclasses import replace
from typing import Any, cast

import workbench as wb
from apps.server.admission import Admission
from apps.server.faults import TAKEN
from apps.studio.guards import Guards
from apps.studio.orders import Job
from apps.studio.shelf import Shelf
from apps.studio.visit import Asked, LentError, Request, Visiting, plain, stop_file
from apps.studio.writing import ENDS, Broken, Event

GONE = "The GPU was taken away before the reply had ended. You can ask again."


class Visits:
    """A worker for several jobs: `work` is what its thread runs; every job's end is reported to ``events`` once."""

    def __init__(
        self, visiting: Visiting, jobs: list[Job], sampling: wb.Sampling, stop: threading.Event,
        events: queue.Queue[Event], admission: Admission,
    ) -> None:  # fmt: skip
        self._visiting, self._jobs, self._sampling, self._stop = visiting, jobs, sampling, stop
        self._events, self._admission = events, admission

    def work(self, shelf: Shelf, prefixes: wb.PrefixStore, guards: Guards) -> None:
        """Encode, have it computed, report. Nothing is kept between visits, so ``prefixes`` are not used."""
        asked: dict[str, Asked] = {}
        for job in self._jobs:
            try:
                asked[job.column.model] = self._asked(job, shelf, guards)
            except BaseException as error:
                told = Broken(self._admission.faults.told(error))
                self._events.put(Event(job.column.model, "broken", told))
        told = Broken(GONE)
        try:
            if asked:
                self._visit(asked, guards)
                if asked:
                    self._admission.faults.count(TAKEN)
        except LentError as error:
            told = self._not_lent(error)
        except BaseException as error:
            told = Broken(self._admission.faults.told(error))
        for name in asked:
            self._events.put(Event(name, "broken", told))

    def _asked(self, job: Job, shelf: Shelf, guards: Guards) -> Asked:
        """What ``job`` is, checked before a GPU is asked for."""
        prompt = shelf.get(job.column.model).encode(guards.said(job.said))
        self._admission.check_prompt(len(prompt))
        self._events.put(Event(job.column.model, "read", prompt))
        return Asked.of(job, len(prompt))

    def _visit(self, asked: dict[str, Asked], guards: Guards) -> None:
        """Report what comes back; who has ended is no longer among the ``asked``."""
        with stop_file(self._stop) as path:
            settings = plain(self._admission.settings)
            request = Request(tuple(asked.values()), self._sampling, guards, settings, path)
            with closing(cast(Any, self._visiting(request))) as told:
                for event in told:
                    if event.kind == "done":  # what fails here is an end that has still to be told
                        event = replace(event, value=event.value.made())
                    if event.kind == "step":
                        self._admission.metrics.wrote(1)
                    elif event.kind == "faults":
                        for kind, times in event.value.items():
                            self._admission.faults.count(kind, times)
                    elif event.kind in ENDS:
                        del asked[event.model]
                    if event.kind not in ("read", "faults"):  # what is read was shown before
                        self._events.put(event)

    def _not_lent(self, error: LentError) -> Broken:
        """What a GPU that is not lent, or was taken back, is for who asked; counted for the operator."""
        if error.why == TAKEN:
            self._admission.faults.count(TAKEN)
        else:
            self._admission.metrics.refused(error.why)
        return Broken(str(error), offers=error.why != TAKEN)
