"""The open tabs, by the key that each keeps: bounded, and found again after a reload."""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from apps.server.admission import HOME, RefusedError
from apps.studio.session import Session
from workbench.errors import WorkbenchError

MOST_PREFIX_BYTES = 2 * 2**30
"""Of all tabs' caches of earlier turns."""
GRACE = 6 * 3600.0
"""Seconds that a closed tab's conversations are kept."""
IDLE = 60.0
"""Seconds without a click after which a tab may go for another one, where strangers share a server."""
MOST_SEEN = 10_000
"""Keys of which the last click is remembered."""
REMEMBERED = 1000
"""Keys of forgotten tabs that are told so when they come back."""
_KEY = re.compile(r"[A-Za-z0-9_-]{20,64}")


class Sessions:
    """At most ``most`` tabs. Those closed for longer than ``grace`` seconds go, then the one idle for longest; a tab
    that writes stays. Runs are not theirs: they go by the bounds of their own store.

    ``each`` tabs of one address are kept (None: any number): the address's own idle ones go for its new ones, and only
    tabs that have been idle for a minute go for a stranger's. ``forget`` seconds after its last click, everything of a
    tab goes (None: never); see `sweep`.
    """

    def __init__(
        self, make: Callable[[str], Session], most: int = 64, grace: float = GRACE,
        clock: Callable[[], float] = time.monotonic, each: int | None = None, forget: float | None = None,
        prefix_bytes: int = MOST_PREFIX_BYTES, refused: Callable[[str], None] = lambda why: None,
    ) -> None:  # fmt: skip
        """``make(owner)`` gives a new `Session`; ``refused`` hears why a tab was not let in."""
        self._refused = refused
        self._make, self._most, self._grace, self._clock = make, most, grace, clock
        self._each, self._forget, self._prefix_bytes = each, forget, prefix_bytes
        self._open: OrderedDict[str, Session] = OrderedDict()
        self._left: dict[str, float] = {}
        self._seen: dict[str, float] = {}
        self._surplus: list[str] = []
        self._clients: dict[str, str] = {}
        self._forgotten: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, owner: Any, page: str | None = None, client: str = "") -> Session:
        """The tab of a key, a new one for a key that nobody knows; ``page`` is the connection it is seen on now,
        ``client`` its address. WorkbenchError for what is no key, RefusedError when no tab may go for a new one."""
        if not isinstance(owner, str) or not _KEY.fullmatch(owner):
            raise WorkbenchError("This tab has no key", remedy="Reload the page")
        with self._lock:
            if owner not in self._open:
                try:
                    self._admit(client)
                except RefusedError as error:
                    self._refused(error.why)
                    raise
                session = self._open[owner] = self._make(owner)
                if owner in self._forgotten:
                    del self._forgotten[owner]
                    session.notice = (
                        f"After {self._forget or 0:.0f} seconds without a click, this server has forgotten what this "
                        "tab held. You can begin anew."
                    )
            session = self._open[owner]
            self._open.move_to_end(owner)
            self._note(owner)
            if client:
                self._clients[owner] = client
            if page:
                session.page, session.left = page, False
                self._left.pop(owner, None)
            self._shed(owner)
            return session

    def touch(self, owner: str) -> None:
        """A key was heard of that may have no conversation: a page of studies."""
        if self._forget is not None and owner:
            with self._lock:
                self._note(owner)

    def sweep(self) -> list[str]:
        """Forget the tabs whose time is over, except one that writes; their keys."""
        if self._forget is None:
            return []
        with self._lock:
            over = self._clock() - self._forget
            gone = [
                owner
                for owner, at in self._seen.items()
                if at < over and not (owner in self._open and self._open[owner].busy)
            ]
            gone += [owner for owner in self._surplus if owner not in self._open and owner not in self._seen]
            self._surplus.clear()
            for owner in gone:
                if self._open.pop(owner, None) is not None:
                    self._forgotten[owner] = None
                for known in (self._seen, self._left, self._clients):
                    known.pop(owner, None)
            while len(self._forgotten) > REMEMBERED:
                self._forgotten.popitem(last=False)
            return gone

    def _admit(self, client: str) -> None:
        """Make room for a new tab, within the lock; RefusedError when there is none."""
        if self._each is None:
            return
        free = [owner for owner, session in self._open.items() if not session.busy]
        own = [owner for owner in self._open if client and self._clients.get(owner) == client]
        if len(own) >= self._each:
            if not (mine := [owner for owner in own if owner in free]):
                raise RefusedError(
                    "sessions", f"{len(own)} tabs of your address are writing", remedy="Close one of them"
                )
            self._drop(mine[0])
        elif len(self._open) >= self._most:
            over = self._clock() - IDLE
            idle = [owner for owner in free if owner in self._left or self._seen.get(owner, over) <= over]
            if not idle:
                raise RefusedError(
                    "sessions", f"All {self._most} places of this server are taken",
                    remedy=f"Try again in a minute, or run it on your own machine: {HOME}",
                )  # fmt: skip
            self._drop(min(idle, key=lambda owner: owner not in self._left))

    def _note(self, owner: str) -> None:
        self._seen.pop(owner, None)
        self._seen[owner] = self._clock()  # the latest last
        while len(self._seen) > MOST_SEEN:  # its studies go with the next sweep
            del self._seen[first := next(iter(self._seen))]
            if self._forget is not None:
                self._surplus.append(first)

    def _drop(self, owner: str) -> None:
        self._open.pop(owner).dropped = True
        for known in (self._left, self._clients):
            known.pop(owner, None)

    def knows(self, owner: Any) -> bool:
        """Whether the tab has been here before."""
        return isinstance(owner, str) and owner in self._open

    def leave(self, page: str | None) -> None:
        """A connection has closed: the models of the tab seen on it last stop; what was said stays for a while."""
        with self._lock:
            for owner, session in self._open.items():
                if page and session.page == page:
                    session.leave()
                    self._left[owner] = self._clock()

    def _shed(self, present: str) -> None:
        now = self._clock()
        free = [old for old, session in self._open.items() if old != present and not session.busy]
        gone = [old for old in free if now - self._left.get(old, now) > self._grace]
        rest = [old for old in free if old not in gone]
        rest.sort(key=lambda old: old not in self._left)  # closed ones first, each by the time they were seen last
        gone += rest[: max(0, len(self._open) - len(gone) - self._most)]
        for old in gone:
            self._drop(old)
        held = sum(session.prefixes.nbytes for session in self._open.values())
        for old, session in self._open.items():  # the tab seen last keeps its own
            if held > self._prefix_bytes and old != present:
                held -= session.prefixes.nbytes
                session.prefixes.clear()

    def relieve(self) -> None:
        """Drop all tabs' caches of earlier turns: memory has run out, and they can be read again."""
        with self._lock:
            for session in self._open.values():
                session.prefixes.clear()

    def stop(self) -> None:
        """Stop the models of all tabs: the server ends."""
        with self._lock:
            for session in self._open.values():
                session.stop()

    @property
    def prefix_bytes(self) -> int:
        """Of all tabs' caches of earlier turns."""
        with self._lock:
            return sum(session.prefixes.nbytes for session in self._open.values())

    def __len__(self) -> int:
        return len(self._open)
