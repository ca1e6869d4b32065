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

from apps.server.faults import Faults
from apps.server.metrics import Metrics
from apps.server.rates import Rates
from apps.server.settings import Settings
from apps.server.turn import PATIENCE, REPLY, STUDY, Line, Turn, Visitor, ordinal
from workbench.errors import WorkbenchError

__all__ = ["HOME", "PATIENCE", "REPLY", "STUDY", "Admission", "RefusedError", "Turn", "Visitor", "ordinal"]

STEP = 0.25
"""What every turn adds to the line's time, at least: about four newcomers pass a second request, then it comes."""
HOME = "workbench app"
"""What has no limits: the same page on one's own machine."""


class RefusedError(WorkbenchError):
    """A limit of this server was reached; ``why`` names it for the operator."""

    def __init__(self, why: str, what: str, *, expected: str = "", remedy: str = "") -> None:
        super().__init__(what, expected=expected, remedy=remedy)
        self.why = why


class Admission:
    """The one place that is asked before a model works for somebody."""

    def __init__(
        self, settings: Settings | None = None, metrics: Metrics | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.settings, self.clock = settings or Settings(), clock
        self.metrics = metrics or Metrics(clock)
        self.faults = Faults(self.metrics)
        self._changed = threading.Condition()
        self._arrivals = 0
        self._rates = Rates(self.settings.requests_per_minute, clock)
        self._lines = {REPLY: Line(self.settings.concurrency), STUDY: Line(self.settings.studies)}

    def enter(self, visitor: Visitor, kind: str = REPLY, chat: bool = False) -> Turn:
        """A place in line, which has to be left; RefusedError, counted, where a limit is reached. A GPU that is lent
        for a reply at a time serves the ``chat`` only."""
        with self._changed:
            try:
                self._lent(chat)
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

    def _lent(self, chat: bool) -> None:
        if self.settings.mode == "zerogpu" and not chat:
            raise RefusedError(
                "mode", "This server has a GPU only while a reply of the chat is written",
                remedy=f"Give it hardware of its own, or run this on your own machine: {HOME}",
            )  # fmt: skip

    def settle(self, seconds: float) -> bool:
        """Whether nothing runs any longer, within ``seconds``."""
        with self._changed:
            return self._changed.wait_for(lambda: not any(line.running for line in self._lines.values()), seconds)

    def _check(self, visitor: Visitor, kind: str) -> None:
        line, most = self._lines[kind], self.settings.per_visitor
        own = [one for one in (*line.running, *line.waiting) if one.visitor.key == visitor.key]
        if len(own) >= most:
            told = "A request of yours is" if most == 1 else f"{most} requests of yours are"
            raise RefusedError(
                "per_visitor", f"{told} running or waiting already", remedy="Wait for its end, or stop it"
            )
        share = self.settings.sessions_per_client  # an address that has many tabs fills no line
        if share is not None and sum(one.visitor.flow == visitor.flow for one in line.waiting) >= share:
            raise RefusedError("per_client", f"{share} requests of your address are waiting already",
                               remedy="Wait for their end, or stop one")  # fmt: skip
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

    def _advance(self, line: Line) -> None:
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
