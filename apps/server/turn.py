"""One request's place: in line, then running, then over; in words for who waits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apps.server.admission import Admission

REPLY, STUDY = "reply", "study"
PATIENCE = 10.0
"""Seconds that a request which has to stop may take to do so; then it is left behind, within one long step."""


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
class Line:
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


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, 21st."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
