"""The store of runs that can be opened: inspections by an unguessable id with what a list says of them, bounded."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import workbench as wb
from apps.studio.run_facts import RunFacts
from workbench.errors import CaptureError

GONE = "This run is no longer kept here"
"""What a view answers when its run was evicted."""
REMEMBERED = 20
"""Evicted runs of one visitor that the page still tells of."""


@dataclass(frozen=True)
class Kept:
    """One kept run: its id, whose it is ("" everybody's), what is known of it, and the inspection itself."""

    run: str
    owner: str
    facts: RunFacts
    inspection: wb.Inspection

    def as_json(self) -> dict[str, Any]:
        return {"run": self.run, "mine": bool(self.owner), **self.facts.as_json()}


@dataclass(frozen=True)
class Shelved:
    """What one visitor sees of the store: ``runs`` newest first, the recorded ones last; ``gone`` are the facts of runs
    that had to go; ``next`` is the run that goes when another comes, "" while there is room."""

    runs: list[Kept] = field(default_factory=list)
    gone: list[RunFacts] = field(default_factory=list)
    next: str = ""


class RunStore:
    """The least recently opened go first when a visitor has more than ``each`` of them or all together hold more than
    ``most_bytes``, or one visitor's more than ``own_bytes`` (None: no limit); pinned ones (recorded exchanges) stay.
    What went is remembered, so that a page can say so. Where ``links`` is False, a run is shown to its owner alone."""

    def __init__(
        self, each: int = 24, most_bytes: int = 2 * 2**30, clock: Callable[[], float] = time.time,
        own_bytes: int | None = None, links: bool = True,
    ) -> None:  # fmt: skip
        self.each, self.most_bytes, self.own_bytes, self.links, self._clock = each, most_bytes, own_bytes, links, clock
        self._runs: OrderedDict[str, Kept] = OrderedDict()
        self._pinned: dict[str, Kept] = {}
        self._gone: OrderedDict[str, deque[RunFacts]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, inspection: wb.Inspection, owner: str, origin: str = "chat") -> str:
        """Keep ``inspection`` for ``owner``; its id. ``origin`` is "chat" or "file"."""
        run = secrets.token_urlsafe(9)
        facts = RunFacts.of(inspection, self._clock(), origin)
        with self._lock:
            self._runs[run] = Kept(run, owner, facts, inspection)
            own = [key for key, kept in self._runs.items() if kept.owner == owner]
            for key in own[: -self.each]:
                self._evict(key)
            own = own[-self.each :]
            while self.own_bytes is not None and len(own) > 1 and self._held(owner) > self.own_bytes:
                self._evict(own.pop(0))
            while self._held() > self.most_bytes and len(self._runs) > 1:
                self._evict(next(iter(self._runs)))
        return run

    def pin(self, run: str, inspection: wb.Inspection) -> None:
        """Keep a recorded one for everybody, under a given id."""
        self._pinned[run] = Kept(run, "", RunFacts.of(inspection, None, "recorded"), inspection)

    def get(self, run: Any, tab: Any = None) -> wb.Inspection:
        """The inspection of an id; CaptureError when it is gone, never was, or is not the ``tab``'s to see."""
        return self.kept(run, tab).inspection

    def kept(self, run: Any, tab: Any = None) -> Kept:
        """An id's run with what is known of it; it counts as opened. ``tab`` is the key of who asks, None the app
        itself. CaptureError when it is gone, never was, or is not the tab's to see: which of them is not told."""
        with self._lock:
            if isinstance(run, str) and run in self._pinned:
                return self._pinned[run]
            known = self._runs.get(run) if isinstance(run, str) else None
            if known is None or not (self.links or tab is None or tab == known.owner):
                raise CaptureError(GONE, remedy="Ask again to look inside")
            assert isinstance(run, str)
            self._runs.move_to_end(run)
            return self._runs[run]

    def remove(self, run: Any, owner: str) -> None:
        """Drop a run of ``owner``'s own; CaptureError when there is none."""
        with self._lock:
            if not isinstance(run, str) or run not in self._runs or self._runs[run].owner != owner:
                raise CaptureError("There is no run of yours to delete", remedy="Look at the list again")
            del self._runs[run]

    def shelf(self, owner: str) -> Shelved:
        """What ``owner`` may see."""
        with self._lock:
            own = [kept for kept in self._runs.values() if kept.owner == owner]
            first = next(iter(own), None)
            last = own[-1].facts.bytes if own else 0
            full = len(own) >= self.each or (bool(own) and self._held() + last > self.most_bytes)
            if self.own_bytes is not None and own:
                full = full or self._held(owner) + last > self.own_bytes
            listed = sorted(own, key=lambda kept: -(kept.facts.made or 0.0)) + list(self._pinned.values())
            return Shelved(listed, list(self._gone.get(owner, ())), first.run if full and first else "")

    def acknowledge(self, owner: str) -> None:
        """The visitor has read which runs went."""
        with self._lock:
            self._gone.pop(owner, None)

    def forget(self, owner: str) -> None:
        """Drop all runs of a visitor who left for good."""
        with self._lock:
            for key in [key for key, kept in self._runs.items() if kept.owner == owner]:
                del self._runs[key]
            self._gone.pop(owner, None)

    @property
    def nbytes(self) -> int:
        """Bytes of all runs but the pinned ones."""
        with self._lock:
            return self._held()

    def _held(self, owner: str | None = None) -> int:
        return sum(kept.facts.bytes for kept in self._runs.values() if owner is None or kept.owner == owner)

    def _evict(self, run: str) -> None:
        kept = self._runs.pop(run)
        self._gone.setdefault(kept.owner, deque(maxlen=REMEMBERED)).appendleft(kept.facts)
        self._gone.move_to_end(kept.owner)
        while len(self._gone) > 1000:
            self._gone.popitem(last=False)

    def __len__(self) -> int:
        return len(self._runs)
