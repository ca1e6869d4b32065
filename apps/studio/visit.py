"""What is asked of the models and what they answer, as values that can cross to another process and back.

A GPU that is lent for one request has processes of its own: nothing that is set there survives, and what goes in and
comes out is pickled. So one visit does it all: `visit` has every model that is asked write its reply and capture it, by
the `Writer` that answers where no border is crossed, and yields plain values, each model's arrays last of all.
"""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
from pydantic import SecretStr

import workbench as wb
from apps.server.admission import Admission
from apps.server.settings import Settings
from apps.studio.guards import Guards
from apps.studio.orders import Job
from apps.studio.session import Column
from apps.studio.shelf import Shelf
from apps.studio.writing import ENDS, Event, Made, Writer
from workbench.errors import DeviceError
from workbench.inspection.inspection import Inspection, Record

MOST_MIB = 256
"""Of a tab's runs, of which a reply may bring back a quarter."""


class LentError(DeviceError):
    """No GPU was lent for a visit, or it was taken back (``why`` is TAKEN); ``why`` names it for the operator."""

    def __init__(self, why: str, what: str, *, remedy: str = "") -> None:
        super().__init__(what, remedy=remedy)
        self.why = why


@dataclass(frozen=True)
class Asked:
    """What one model is to do: answer ``messages`` ({"role", "content"}), which are ``tokens`` long, with a reply that
    begins with the ids ``begin``, under its ``switches`` and ``cache`` policy."""

    model: str
    messages: tuple[dict[str, str], ...]
    tokens: int
    begin: tuple[int, ...] = ()
    switches: tuple[tuple[str, Any], ...] = ()
    cache: str = ""

    @classmethod
    def of(cls, job: Job, tokens: int) -> Asked:
        column = job.column
        messages = tuple({"role": one.role, "content": one.content} for one in job.said.messages)
        return cls(column.model, messages, tokens, job.begin, tuple(column.switches.items()), column.cache)

    def job(self) -> Job:
        column = Column(self.model, switches=dict(self.switches), cache=self.cache)
        return Job(column, wb.Conversation.of(self.messages), begin=self.begin)


@dataclass(frozen=True)
class Request:
    """One visit. ``settings`` are the server's without what is secret. ``stop`` is the path of a file: once it is
    there, the replies end with what they have."""

    asked: tuple[Asked, ...]
    sampling: wb.Sampling
    guards: Guards
    settings: Settings
    stop: str


def plain(settings: Settings) -> Settings:
    """``settings`` for a visit: no secrets, and results of a bounded size."""
    most = min(settings.session_mib or MOST_MIB, MOST_MIB)
    secret = {name: None for name, value in settings if isinstance(value, SecretStr)}
    return settings.model_copy(update=secret | {"session_mib": most})


@dataclass(frozen=True)
class Ended:
    """What is asked of a run that has ended."""

    text: str
    finish_reason: str | None
    inspection: wb.Inspection


@dataclass(frozen=True)
class Packed:
    """A `Made` in plain values: the inspection's record as JSON and its arrays, as a saved one has them."""

    record: str
    arrays: dict[str, np.ndarray]
    text: str
    finish_reason: str | None
    switched: str
    moderated: str

    @classmethod
    def of(cls, made: Made) -> Packed:
        found, run = made.run.inspection, made.run
        record, arrays = found.record.model_dump_json(), dict(found.arrays)
        return cls(record, arrays, run.text, run.finish_reason, made.switched, made.moderated)

    def made(self) -> Made:
        inspection = Inspection(Record.model_validate_json(self.record), self.arrays)
        run = cast("wb.Run", Ended(self.text, self.finish_reason, inspection))
        return Made(run, self.switched, self.moderated)


Visiting = Callable[[Request], Iterator[Event]]
"""`visit` with its models, wherever it runs. LentError where nobody lends it what it needs."""


class StopFile:
    """Asked and set like a threading.Event, from whichever process."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def is_set(self) -> bool:
        return self._path.exists()

    def set(self) -> None:
        with suppress(OSError):
            self._path.touch()


def visit(models: Mapping[str, wb.Model], request: Request) -> Iterator[Event]:
    """What all that are ``asked`` report, in plain values ("done" with a `Packed`); one "done" or "broken" ends each,
    and "faults" before it are what has broken by then, to be counted where the metrics are. Whoever stops iterating
    waits for the end of the step under way."""
    stop = cast(threading.Event, StopFile(request.stop))
    events: queue.Queue[Event] = queue.Queue()
    admission = Admission(request.settings)
    shelf = Shelf([models[one.model] for one in request.asked])  # of its own: a lock may be held where this was forked
    threads = []
    for asked in request.asked:
        writer = Writer(asked.job(), request.sampling, stop, events, admission)
        given = (shelf, wb.PrefixStore(), request.guards)
        threads.append(threading.Thread(target=writer.work, args=given, daemon=True))
    try:
        for thread in threads:
            thread.start()
        left, faults = len(threads), Counter[str]()
        while left:
            event = events.get()
            if event.kind in ENDS:
                left -= 1
                faults, known = Counter(admission.metrics.faults()), faults
                if faults != known:
                    yield Event(event.model, "faults", dict(faults - known))
            yield _plain(event)
    finally:
        stop.set()
        for thread in threads:
            if thread.ident is not None:
                thread.join()


def _plain(event: Event) -> Event:
    if event.kind == "step":
        return replace(event, value=replace(event.value, _look=_nothing))
    return replace(event, value=Packed.of(event.value)) if event.kind == "done" else event


def _nothing() -> None:
    """What a step that has crossed a border still has of its capture: that is in the inspection."""


@contextmanager
def stop_file(stop: threading.Event) -> Iterator[str]:
    """The path of a file that is there once ``stop`` is set, which has to be at last."""
    with TemporaryDirectory(prefix="workbench-", ignore_cleanup_errors=True) as folder:
        path = str(Path(folder) / "stop")
        threading.Thread(target=_hand_on, args=(stop, path), daemon=True).start()
        yield path


def _hand_on(stop: threading.Event, path: str) -> None:
    stop.wait()
    StopFile(path).set()
