"""What the server keeps for each visitor, all bounded: conversations, runs that can be opened, the means to stop."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import workbench as wb
from apps.studio.strip import Strip
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


def _set() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


@dataclass
class Column:
    """One model's side of the page. ``conversation`` is the record of what was said; the page only shows it.

    ``footers`` has a line for each reply by message index; ``strip`` its tokens; ``run`` the newest
    run that can be opened, ``facts`` what it says of its model; ``used`` the tokens read and written; ``note`` a
    sentence under the messages (an error, a stop); ``live`` the reply being written.
    """

    model: str
    conversation: wb.Conversation = field(default_factory=wb.Conversation)
    footers: dict[int, str] = field(default_factory=dict)
    strip: Strip | None = None
    run: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    used: int = 0
    note: str = ""
    live: str | None = None

    def settled(self) -> wb.Conversation:
        """The conversation without a last question that got no answer."""
        said = self.conversation
        while len(said) and (said[-1].role == "user" or not said[-1].content):
            said = said.undo()
        return said


@dataclass
class Session:
    """One open tab. ``selection`` is what the page shall select when ``serial`` grows; ``rest`` is set while nothing is
    being written."""

    owner: str
    columns: dict[str, Column]
    shown: list[str]
    recorded: str = ""
    selection: dict[str, Any] = field(default_factory=dict)
    serial: int = 0
    rest: threading.Event = field(default_factory=_set)
    stops: list[threading.Event] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def busy(self) -> bool:
        """Whether a reply is being written."""
        return not self.rest.is_set()

    def stop(self) -> None:
        """Ask every model that writes for this tab to stop before its next token."""
        for event in list(self.stops):
            event.set()

    def select(self, run: str, token: int) -> None:
        self.selection, self.serial = {"run": run, "token": token}, self.serial + 1


class Sessions:
    """Open tabs by Gradio's session hash, at most ``most``; the one idle for longest goes first."""

    def __init__(self, make: Any, runs: RunStore, most: int = 64) -> None:
        """``make(owner)`` gives a new `Session`."""
        self._make, self._runs, self._most = make, runs, most
        self._open: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, owner: str | None) -> Session:
        key = owner or "local"
        with self._lock:
            if key not in self._open:
                self._open[key] = self._make(key)
            self._open.move_to_end(key)
            idle = [old for old, session in self._open.items() if not session.busy and old != key]
            for old in idle[: max(0, len(self._open) - self._most)]:
                self._drop(old)
            return self._open[key]

    def close(self, owner: str | None) -> None:
        """The tab is gone: stop its models and drop its runs."""
        with self._lock:
            if owner in self._open:
                self._drop(owner)  # type: ignore[arg-type]

    def _drop(self, owner: str) -> None:
        self._open.pop(owner).stop()
        self._runs.forget(owner)

    def __len__(self) -> int:
        return len(self._open)
