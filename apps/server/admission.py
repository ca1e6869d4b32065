"""Turns at the models: who waits, who comes next, how long one may take, and a sentence wherever a limit is reached.

Replies and studies have a line each. Lines are fair by address (start-time fair queueing, Goyal, Vin and Cheng 1996):
a request is stamped with the latest of the line's time and one more than its visitor's last stamp, and the lowest stamp
comes next; so who asks again and again comes after who asks for the first time. The line's time also moves on a little
with every turn, so that even a stream of newcomers lets everybody else have a turn.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from apps.server.metrics import Metrics
from apps.server.rates import Rates
from apps.server.settings import Settings
from workbench.errors import WorkbenchError

REPLY, STUDY = "reply", "study"
STEP = 0.25
"""What every turn adds to the line's time, at least: about four newcomers pass a second request, then it comes."""
HOME = "workbench app"
"""What has no limits: the same page on one's own machine."""


class RefusedError(WorkbenchError):
    """A limit of this server was reached; ``why`` names it for the operator."""

    def __init__(self, why: str, what: str, *, expected: str = "", remedy: str = "") -> None:
        super().__init__(what, expected=expected, remedy=remedy)
        self.why = why


@dataclass(frozen=True)
class Visitor:
    """Who asks: the ``key`` of a tab, and the address of the ``client`` ("" unknown)."""

    key: str
    client: str = ""

    @property
    def flow(self) -> str:
        """What the line is fair by."""
        return self.client or self.key


@dataclass
class _Line:
    most: int
    time: float = 0
    running: list[Turn] = field(default_factory=list)
    waiting: list[Turn] = field(default_factory=list)
    last: dict[str, float] = field(default_factory=dict)


class Turn:
    """One request: in line, then running, then over. Only its own thread leaves it."""

    def __init__(self, admission: Admission, visitor: Visitor, kind: str, stamp: float, arrival: int) -> None:
        self.visitor, self.kind, self.stamp, self.arrival = visitor, kind, stamp, arrival
        self._admission, self._line = admission, admission._lines[kind]
        self.entered = admission.clock()
        self.began: float | None = None
        self.over = False

    @property
    def place(self) -> int:
        """0 when it is its turn, 1 when it is the next, and so on."""
        with self._admission._changed:
            return self._admission._place(self)

    @property
    def ahead(self) -> int:
        """Requests that come before this one, those that run included."""
        with self._admission._changed:
            place = self._admission._place(self)
            return place - 1 + len(self._line.running) if place else 0

    @property
    def sentence(self) -> str:
        """Its place in line, in words; "" when it is its turn."""
        place = self.place
        if not place:
            return ""
        if place == 1:
            return "Next in line: this begins when what is being computed for another visitor has ended."
        return f"{ordinal(place)} in line: {place - 1} {'others come' if place > 2 else 'other comes'} before this one."

    def wait(self, seconds: float) -> bool:
        """Whether it is its turn; waits at most ``seconds``, less when the line moves."""
        with self._admission._changed:
            if not (place := self._admission._place(self)):
                return True
            self._admission._changed.wait_for(lambda: self._admission._place(self) != place, seconds)
            return not self._admission._place(self)

    def waiting(self, stop: threading.Event, tick: float) -> Iterator[str]:
        """Its sentence each time the place changes, until it is its turn or ``stop`` is set; looks every ``tick``."""
        said = ""
        while not stop.is_set() and not self.wait(tick):
            if (now := self.sentence) not in ("", said):
                said = now
                yield said

    @property
    def running(self) -> bool:
        return not self.over and not self.place

    @property
    def overdue(self) -> str:
        """A sentence when it has taken longer than it may, else ""."""
        most = self._admission.seconds(self.kind)
        if most is None or self.began is None or self._admission.clock() - self.began <= most:
            return ""
        what = "a reply" if self.kind == REPLY else "a computation"
        return f"Stopped after {most} seconds, the longest {what} may take here. What came until then is kept."

    def leave(self) -> None:
        """It has ended, or does not want to wait any longer."""
        self._admission._leave(self)


class Admission:
    """The one place that is asked before a model works for somebody."""

    def __init__(
        self, settings: Settings | None = None, metrics: Metrics | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.settings, self.clock = settings or Settings(), clock
        self.metrics = metrics or Metrics(clock)
        self._changed = threading.Condition()
        self._arrivals = 0
        self._rates = Rates(self.settings.requests_per_minute, clock)
        self._lines = {REPLY: _Line(self.settings.concurrency), STUDY: _Line(self.settings.studies)}

    def enter(self, visitor: Visitor, kind: str = REPLY) -> Turn:
        """A place in line, which has to be left; RefusedError, counted, where a limit is reached."""
        with self._changed:
            try:
                self._check(visitor, kind)
            except RefusedError as error:
                self.metrics.refused(error.why)
                raise
            line = self._lines[kind]
            stamp = max(line.time, line.last.get(visitor.flow, -1) + 1)
            line.last[visitor.flow] = stamp
            self._arrivals += 1
            turn = Turn(self, visitor, kind, stamp, self._arrivals)
            line.waiting.append(turn)
            self._advance(line)
            return turn

    @contextmanager
    def turn(self, visitor: Visitor, kind: str = REPLY) -> Iterator[Turn]:
        """A `Turn` that is left at the end."""
        turn = self.enter(visitor, kind)
        try:
            yield turn
        finally:
            turn.leave()

    def seconds(self, kind: str) -> int | None:
        """How long a request of ``kind`` may take."""
        return self.settings.reply_seconds if kind == REPLY else self.settings.study_seconds

    def check_reply(self, tokens: int) -> None:
        """Raises RefusedError when so long a reply may not be asked for."""
        self._within("tokens", "a reply of", tokens, self.settings.max_new_tokens, HOME)

    def check_prompt(self, tokens: int, home: str = HOME) -> None:
        """Raises RefusedError for a prompt, or a text of a study, that is longer than it may be here; ``home`` is the
        command that reads it on one's own machine."""
        self._within("tokens", "a text of", tokens, self.settings.max_prompt_tokens, home)

    def _within(self, why: str, what: str, tokens: int, most: int | None, home: str) -> None:
        if most is not None and tokens > most:
            self.metrics.refused(why)
            raise RefusedError(why, f"This is {what} {tokens:,} tokens", expected=f"at most {most:,} on this server",
                               remedy=f"Longer ones run on your own machine: {home}")  # fmt: skip

    @property
    def run_bytes(self) -> int:
        """That one reply's results may take: of a tab's runs, both models' last two have room."""
        most = self.settings.session_mib
        return (self.settings.stored_mib if most is None else most) * 2**20 // 4

    def counts(self, kind: str) -> tuple[int, int]:
        """(running, waiting) of a line."""
        with self._changed:
            return len(self._lines[kind].running), len(self._lines[kind].waiting)

    def _check(self, visitor: Visitor, kind: str) -> None:
        line, most = self._lines[kind], self.settings.per_visitor
        own = [one for one in (*line.running, *line.waiting) if one.visitor.key == visitor.key]
        if len(own) >= most:
            told = "A request of yours is" if most == 1 else f"{most} requests of yours are"
            raise RefusedError(
                "per_visitor", f"{told} running or waiting already", remedy="Wait for its end, or stop it"
            )
        if len(line.running) >= line.most and len(line.waiting) >= self.settings.queue_length:
            raise RefusedError(
                "queue", f"Many visitors are waiting already ({len(line.waiting)} in line)",
                remedy=f"Try again in a minute, or run it on your own machine: {HOME}",
            )  # fmt: skip
        if seconds := self._rates.spend(visitor.flow):
            raise RefusedError(
                "rate", f"More than {self.settings.requests_per_minute} requests came from your address in a minute",
                remedy=f"Ask again in {max(1, round(seconds))} s",
            )  # fmt: skip

    def _place(self, turn: Turn) -> int:
        """Within the lock."""
        order = sorted(turn._line.waiting, key=lambda one: (one.stamp, one.arrival))
        return order.index(turn) + 1 if turn in order else 0

    def _advance(self, line: _Line) -> None:
        """Within the lock: those whose turn it is now begin."""
        while line.waiting and len(line.running) < line.most:
            turn = min(line.waiting, key=lambda one: (one.stamp, one.arrival))
            line.waiting.remove(turn)
            line.running.append(turn)
            line.time, turn.began = max(line.time + STEP, turn.stamp), self.clock()
        line.last = {
            flow: stamp for flow, stamp in line.last.items() if stamp > line.time - 1
        }  # older ones change nothing
        self._changed.notify_all()

    def _leave(self, turn: Turn) -> None:
        with self._changed:
            if turn.over:
                return
            turn.over = True
            if turn.began is not None:
                turn._line.running.remove(turn)
                self.metrics.done(turn.kind, self.clock() - turn.began, turn.began - turn.entered)
            else:
                turn._line.waiting.remove(turn)
            self._advance(turn._line)


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, 21st."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
