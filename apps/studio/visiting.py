"""One thread pays one visit for all models that an exchange asks, and reports what they report."""

from __future__ import annotations

import queue
import threading
from contextlib import closing
from dataclasses import replace
from typing import Any, cast

import workbench as wb
from apps.server.admission import Admission
from apps.studio.guards import Guards
from apps.studio.orders import Job
from apps.studio.shelf import Shelf
from apps.studio.visit import Asked, Request, Visiting, plain, stop_file
from apps.studio.writing import Broken, Event

TAKEN = "The GPU was taken away before the reply had ended. You can ask again."


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
                self._broken(job.column.model, self._admission.faults.told(error))
        sentence = TAKEN
        try:
            if asked:
                self._visit(asked, guards)
        except BaseException as error:
            sentence = self._admission.faults.told(error)
        for name in asked:
            self._broken(name, sentence)

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
                    if event.kind == "step":
                        self._admission.metrics.wrote(1)
                    elif event.kind != "read":  # which was shown before
                        del asked[event.model]
                    if event.kind == "done":
                        event = replace(event, value=event.value.made())
                    if event.kind != "read":
                        self._events.put(event)

    def _broken(self, model: str, sentence: str) -> None:
        self._events.put(Event(model, "broken", Broken(sentence)))
