"""What the server keeps for each open tab, all bounded: conversations and the means to stop. Runs are in runs.py."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import workbench as wb
from apps.studio.runs import RunStore
from apps.studio.strip import Strip


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
