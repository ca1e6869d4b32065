"""The open tabs, by the key that each keeps: bounded, and found again after a reload."""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from apps.studio.session import Session
from workbench.errors import WorkbenchError

MOST_PREFIX_BYTES = 2 * 2**30
"""Of all tabs' caches of earlier turns."""
GRACE = 6 * 3600.0
"""Seconds that a closed tab's conversations are kept."""
_KEY = re.compile(r"[A-Za-z0-9_-]{20,64}")


class Sessions:
    """At most ``most`` tabs. Those closed for longer than ``grace`` seconds go, then the one idle for longest; a tab
    that writes stays. Runs are not theirs: they go by the bounds of their own store."""

    def __init__(
        self, make: Callable[[str], Session], most: int = 64, grace: float = GRACE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """``make(owner)`` gives a new `Session`."""
        self._make, self._most, self._grace, self._clock = make, most, grace, clock
        self._open: OrderedDict[str, Session] = OrderedDict()
        self._left: dict[str, float] = {}
        self._lock = threading.Lock()

    def of(self, owner: Any, page: str | None = None) -> Session:
        """The tab of a key, a new one for a key that nobody knows; ``page`` is the connection it is seen on now.
        WorkbenchError for what is no key."""
        if not isinstance(owner, str) or not _KEY.fullmatch(owner):
            raise WorkbenchError("This tab has no key", remedy="Reload the page")
        with self._lock:
            if owner not in self._open:
                self._open[owner] = self._make(owner)
            session = self._open[owner]
            self._open.move_to_end(owner)
            if page:
                session.page = page
                self._left.pop(owner, None)
            self._shed(owner)
            return session

    def knows(self, owner: Any) -> bool:
        """Whether the tab has been here before."""
        return isinstance(owner, str) and owner in self._open

    def leave(self, page: str | None) -> None:
        """A connection has closed: the models of the tab seen on it last stop; what was said stays for a while."""
        with self._lock:
            for owner, session in self._open.items():
                if page and session.page == page:
                    session.stop()
                    session.prefixes.clear()  # reading again after a reload is cheaper than memory for who is gone
                    self._left[owner] = self._clock()

    def _shed(self, present: str) -> None:
        now = self._clock()
        free = [old for old, session in self._open.items() if old != present and not session.busy]
        gone = [old for old in free if now - self._left.get(old, now) > self._grace]
        rest = [old for old in free if old not in gone]
        rest.sort(key=lambda old: old not in self._left)  # closed ones first, each by the time they were seen last
        gone += rest[: max(0, len(self._open) - len(gone) - self._most)]
        for old in gone:
            self._open.pop(old)
            self._left.pop(old, None)
        held = sum(session.prefixes.nbytes for session in self._open.values())
        for old, session in self._open.items():  # the tab seen last keeps its own
            if held > MOST_PREFIX_BYTES and old != present:
                held -= session.prefixes.nbytes
                session.prefixes.clear()

    def __len__(self) -> int:
        return len(self._open)
