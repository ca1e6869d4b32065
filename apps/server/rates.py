"""How often an address may ask: a bucket of tokens each, filled steadily."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

MOST = 10_000
"""Addresses that are remembered; those heard of longest ago go first."""


class Rates:
    """At most ``per_minute`` requests of an address in a minute; None: as many as it likes."""

    def __init__(self, per_minute: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute, self._clock = per_minute, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def spend(self, client: str) -> float:
        """Count one request of ``client``: 0, or the seconds after which it would be let in."""
        if self.per_minute is None:
            return 0.0
        now = self._clock()
        with self._lock:
            left, at = self._left.pop(client, (float(self.per_minute), now))
            left = min(float(self.per_minute), left + (now - at) * self.per_minute / 60)
            allowed = left >= 1
            self._left[client] = (left - 1 if allowed else left, now)
            while len(self._left) > MOST:
                self._left.popitem(last=False)
            return 0.0 if allowed else (1 - left) * 60 / self.per_minute
