"""Temporary folders of visitors, bounded: what they measured stays while the server runs, and can be gone on with."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import threading
from collections import OrderedDict
from pathlib import Path

MOST = 64
"""Folders of all visitors together; the least recently used go first."""
OWN = 4
"""Of them of one visitor."""


class Folders:
    """One folder for each visitor and key; all go with the server."""

    def __init__(self, name: str) -> None:
        self._prefix = f"workbench-{name}-"
        self._base: tempfile.TemporaryDirectory[str] | None = None
        self._used: OrderedDict[tuple[str, str], Path] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, tab: str, key: str) -> Path:
        """The visitor's folder for ``key`` (a name without slashes), which may not be there yet; of the others, the
        least recently used beyond the bounds are deleted. To be called for a new key when a job begins, not when it is
        asked for: jobs run one at a time, so none of the others is being written."""
        place = (_visitor(tab), key)
        with self._lock:
            if self._base is None:
                self._base = tempfile.TemporaryDirectory(prefix=self._prefix)
            self._used.setdefault(place, Path(self._base.name, *place))
            self._used.move_to_end(place)
            own = [one for one in self._used if one[0] == place[0]]
            for old in [*own[:-OWN], *list(self._used)[:-MOST]]:
                if (folder := self._used.pop(old, None)) is not None:
                    shutil.rmtree(folder, ignore_errors=True)
            return self._used[place]

    def forget(self, tab: str) -> None:
        """Delete the folders of a visitor who has gone."""
        with self._lock:
            for place in [place for place in self._used if place[0] == _visitor(tab)]:
                shutil.rmtree(self._used.pop(place), ignore_errors=True)

    def known(self, tab: str) -> list[str]:
        """The keys of the visitor's folders, the latest last."""
        with self._lock:
            return [key for visitor, key in self._used if visitor == _visitor(tab)]


def _visitor(tab: str) -> str:
    return hashlib.sha256(tab.encode()).hexdigest()[:32]
