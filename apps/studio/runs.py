"""The store of runs that can be opened: inspections by an unguessable id, bounded in number and memory."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from typing import Any

import workbench as wb
from workbench.errors import CaptureError

GONE = "This run is no longer kept here"
"""What a view answers when its run was evicted."""


class RunStore:
    """Inspections by an unguessable id. The least recently opened go first when a visitor has more than ``each`` of
    them or all together hold more than ``most_bytes``; pinned ones (recorded exchanges) stay."""

    def __init__(self, each: int = 24, most_bytes: int = 2 * 2**30) -> None:
        self.each, self.most_bytes = each, most_bytes
        self._runs: OrderedDict[str, tuple[str, wb.Inspection]] = OrderedDict()
        self._pinned: dict[str, wb.Inspection] = {}
        self._lock = threading.Lock()

    def add(self, inspection: wb.Inspection, owner: str) -> str:
        """Keep ``inspection`` for ``owner``; its id."""
        run = secrets.token_urlsafe(9)
        with self._lock:
            self._runs[run] = (owner, inspection)
            own = [key for key, (whose, _) in self._runs.items() if whose == owner]
            for key in own[: -self.each]:
                del self._runs[key]
            held = sum(one.nbytes for _, one in self._runs.values())
            while held > self.most_bytes and len(self._runs) > 1:
                _, (_, dropped) = self._runs.popitem(last=False)
                held -= dropped.nbytes
        return run

    def pin(self, run: str, inspection: wb.Inspection) -> None:
        """Keep a recorded one for everybody, under a given id."""
        self._pinned[run] = inspection

    def get(self, run: Any) -> wb.Inspection:
        """The inspection of an id; CaptureError when it is gone or never was."""
        with self._lock:
            if isinstance(run, str) and run in self._pinned:
                return self._pinned[run]
            if not isinstance(run, str) or run not in self._runs:
                raise CaptureError(GONE, remedy="Ask again to look inside")
            self._runs.move_to_end(run)
            return self._runs[run][1]

    def forget(self, owner: str) -> None:
        """Drop all runs of a visitor who left."""
        with self._lock:
            for key in [key for key, (whose, _) in self._runs.items() if whose == owner]:
                del self._runs[key]

    def __len__(self) -> int:
        return len(self._runs)
