"""One question to one or two models at once: a worker thread each, one queue, a generator that ticks meanwhile."""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextvars import copy_context

import workbench as wb
from apps.server.admission import PATIENCE, Admission, Turn, Visitor
from apps.server.behind import behind
from apps.server.faults import HUNG
from apps.studio.entering import UNHEARD, Entering, fail, live_name
from apps.studio.orders import Job, Order, prepare
from apps.studio.runs import RunStore
from apps.studio.session import Column, Session
from apps.studio.shelf import Shelf
from apps.studio.talk import BROKEN, Reply
from apps.studio.visiting import Visits
from apps.studio.writing import ENDS, Broken, Event, Writer

TICK = 0.1
"""Seconds between two updates of the page: 10 a second."""


def ask(
    session: Session, shelf: Shelf, runs: RunStore, order: Order, sampling: wb.Sampling,
    admission: Admission | None = None, client: str = "",
) -> Iterator[None]:  # fmt: skip
    """Have ``order`` answered by the models it is for, when it is the turn of the tab and its address ``client``.

    Yields whenever the session's columns have changed, at most once a TICK. When the caller stops iterating, so do the
    models; what they wrote until then is kept. Raises BusyError while another reply is being written, RefusedError when
    a limit of ``admission`` is reached, WorkbenchError when there is nothing to ask or to repeat.
    """
    admission = admission or Admission()
    stop = session.claim()
    exchange: Exchange | None = None
    turn: Turn | None = None
    jobs: list[Job] = []
    try:
        admission.check_reply(sampling.max_new_tokens)
        turn = admission.enter(Visitor(session.owner, client), chat=True)
        jobs = _prepared(session, runs, order)
        yield  # the question shows before any model has read it
        for sentence in turn.waiting(stop, TICK):
            _note(jobs, sentence)
            yield
        if stop.is_set() and not turn.running:
            with session.lock:
                for job in jobs:
                    fail(job.column, runs, UNHEARD)
            yield
            return
        _note(jobs, "")
        exchange = Exchange(session, runs, jobs, turn, stop, sampling, admission)
        exchange.begin(shelf)
        last = time.monotonic()
        while exchange.open:
            exchange.hear(TICK)
            if not exchange.open or (exchange.heard and time.monotonic() - last >= TICK):
                last, exchange.heard = time.monotonic(), False
                yield
    finally:
        stop.set()
        if exchange is None:
            with session.lock:
                for job in jobs:
                    if job.column.live is not None:  # the listener went while it was in line
                        fail(job.column, runs, UNHEARD)
            if turn is not None:
                turn.leave()
            session.release()
        elif exchange.open:  # the listener has gone, perhaps for the moment that a reload takes
            threading.Thread(target=exchange.settle, daemon=True).start()


class Exchange:
    """The workers of one exchange, heard by one thread. ``open`` are the jobs that have not ended; with the last one
    the turn is left and the tab is free. ``heard`` is set when a column has changed."""

    def __init__(
        self, session: Session, runs: RunStore, jobs: list[Job], turn: Turn, stop: threading.Event,
        sampling: wb.Sampling, admission: Admission,
    ) -> None:  # fmt: skip
        self._session, self._runs, self._jobs, self._turn, self._stop = session, runs, jobs, turn, stop
        self._sampling, self._admission = sampling, admission
        again = {job.column.model: job.again for job in jobs}
        self._entering = Entering(session, runs, again, sampling, admission.faults)
        self._events: queue.Queue[Event] = queue.Queue()
        self._steps: Counter[str] = Counter()
        self._late, self._since = "", 0.0
        self.open = {job.column.model: job for job in jobs}
        self.heard = False

    def begin(self, shelf: Shelf) -> None:
        """Start a worker for each job, or one for all that are done elsewhere; what cannot be started has failed."""
        given = (shelf, self._session.prefixes, self._session.guards)
        shared = (self._sampling, self._stop, self._events, self._admission)
        works: list[tuple[list[Job], Writer | Visits]] = [([job], Writer(job, *shared)) for job in self._jobs]
        if shelf.visiting is not None:
            works = [(self._jobs, Visits(shelf.visiting, self._jobs, *shared))]
        for jobs, worker in works:
            request = copy_context()  # a GPU is lent to whoever asks
            try:
                threading.Thread(target=request.run, args=(behind, worker.work, *given), daemon=True).start()
            except (RuntimeError, MemoryError) as error:  # no more threads
                told = Broken(self._admission.faults.told(error))
                for job in jobs:
                    self._events.put(Event(job.column.model, "broken", told))

    def hear(self, seconds: float) -> None:
        """Enter what is reported within ``seconds``, and look at the time."""
        self._look()
        try:
            event = self._events.get(timeout=seconds)
        except queue.Empty:
            return
        if event.model not in self.open:
            return
        self.heard = True
        self._steps[event.model] += event.kind == "step"
        try:
            ended = self._entering.enter(event)
        except Exception as error:  # a worker that is not counted as ended would leave the tab busy for ever
            column, ended = self._session.columns[event.model], event.kind in ENDS
            self._stop.set()
            column.live, column.note = None if ended else column.live, self._admission.faults.told(error)
        if ended:
            self._ended(event.model)

    def settle(self) -> None:
        """Hear the rest of workers that were told to stop, when nobody listens any longer."""
        while self.open:
            self.hear(TICK)

    def _look(self) -> None:
        """A reply that takes too long is stopped; one that does not stop, within one long step, is left behind."""
        if not self._late and (late := self._turn.overdue):
            self._late, self._since = late, self._admission.clock()
            self._admission.metrics.refused("seconds")
            self._stop.set()
        if self._late and self._admission.clock() - self._since > PATIENCE:
            for model in list(self.open):
                self._leave_behind(self.open[model].column)
                self._ended(model)

    def _leave_behind(self, column: Column) -> None:
        self._admission.faults.count(HUNG)
        text, reply = column.live or "", None
        if text.strip():
            steps = self._steps[column.model]
            reply = Reply(column.model, sampling=self._sampling, tokens=steps, used=column.used, finish=BROKEN)
        self._entering.broken(column, Broken("The model did not come to the end of a step.", text, reply))
        self.heard = True

    def _ended(self, model: str) -> None:
        del self.open[model]
        if self.open:
            return
        if self._late:
            for job in self._jobs:
                if _cut(job.column):
                    job.column.note = f"{self._late} {job.column.note}".strip()
        self._turn.leave()  # a click may follow the last state at once
        self._session.release()


def _prepared(session: Session, runs: RunStore, order: Order) -> list[Job]:
    """The jobs of an order; what the page has of the earlier turns is not sent again."""
    goes_on = order.kind == "ask" and not session.recorded
    with session.lock:
        before = {name: column.strip for name, column in session.columns.items()}
        jobs = prepare(session, runs, order)
        for job in jobs:
            if goes_on and (earlier := before[job.column.model]) is not None:
                job.column.strip = earlier.waiting(live_name(job.column))
        return jobs


def _note(jobs: list[Job], sentence: str) -> None:
    for job in jobs:
        job.column.note = sentence


def _cut(column: Column) -> bool:
    """Whether its reply did not come to its own end."""
    return column.reply is None or column.reply.finish == "stopped"
