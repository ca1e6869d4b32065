"""One open tab: a column a model, its conversations, what is selected, and the means to stop."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import workbench as wb
from apps.studio.guards import Guards
from apps.studio.strip import Strip
from apps.studio.talk import Reply, Talk
from workbench.errors import WorkbenchError

MOST_THREADS = 20
"""Conversations that a tab keeps; the oldest go first."""
MOST_PREFIX_BYTES = 384 * 2**20
"""Of a tab's caches of earlier turns: a longer conversation is read again from an earlier place."""
MOST_CHARACTERS = 6_000_000
"""Of all conversations of a tab together."""
TITLE = 44
"""Characters of a conversation's title."""


class BusyError(WorkbenchError):
    """A reply is being written, and what was asked for has to wait."""

    def __init__(self) -> None:
        super().__init__("A reply is still being written", remedy="Stop it, or wait for its end")


def _set() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


@dataclass
class Column:
    """One model's side of the page. ``talk`` is the record of what was said; the page only shows it.

    ``switches`` are those of the next reply ({"window", "theta"}, only what differs from the model), ``cache`` is its
    cache policy ("": the model's own); ``strip`` shows the tokens of ``run``, the reply at message ``place`` (None:
    none), and ``facts`` what its inspection says of the model; ``used`` tokens were read and written; ``note`` is a
    sentence under the messages (an error, a stop), with which the recorded exchanges are offered where it ``offers``
    them; ``live`` the reply being written.
    """

    model: str
    talk: Talk = field(default_factory=Talk)
    switches: dict[str, Any] = field(default_factory=dict)
    cache: str = ""
    place: int | None = None
    run: str | None = None
    strip: Strip | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    used: int = 0
    note: str = ""
    offers: bool = False
    live: str | None = None

    @property
    def conversation(self) -> wb.Conversation:
        """The messages of ``talk``."""
        return self.talk.said

    @property
    def reply(self) -> Reply | None:
        """How the reply came about whose tokens are shown."""
        return None if self.place is None else self.talk.reply(self.place)

    def blank(self) -> None:
        """No tokens to show."""
        self.place = self.run = self.strip = self.live = None
        self.facts, self.used, self.note, self.offers = {}, 0, "", False


@dataclass(frozen=True)
class Thread:
    """One conversation of a tab: its number, a talk for every model, and a sentence where it was recorded."""

    number: int
    talks: Mapping[str, Talk]
    recorded: str = ""

    @property
    def characters(self) -> int:
        """Characters of all versions of all messages."""
        return sum(len(text) for talk in self.talks.values() for texts in talk.said.versions for text in texts)

    @property
    def title(self) -> str:
        """The first question, cut."""
        for talk in self.talks.values():
            for message in talk.said:
                if message.role == "user":
                    text = " ".join(message.content[:200].split())
                    return text if len(text) <= TITLE else text[: TITLE - 1] + "…"
        return "New conversation"


@dataclass
class Session:
    """One open tab. ``owner`` is its key, ``page`` the connection it was last seen on. ``selection`` is what the page
    shall select when ``serial`` grows; ``rest`` is set while nothing is being written; ``threads`` are its
    conversations by number, ``number`` that of the present one, which the columns hold; ``settings`` are the sampling
    settings last asked with, ``guards`` those of the next reply; ``prefixes`` what the models have read for this tab,
    and for no other; ``left`` says that nobody looks at it now, ``dropped`` that it made room and is no longer among
    the open tabs; ``notice`` is a sentence that its page has still to be told."""

    owner: str
    columns: dict[str, Column]
    shown: list[str]
    recorded: str = ""
    page: str = ""
    selection: dict[str, Any] = field(default_factory=dict)
    serial: int = 0
    number: int = 1
    threads: dict[int, Thread] = field(default_factory=dict)
    settings: list[Any] = field(default_factory=list)
    guards: Guards = field(default_factory=Guards)
    prefixes: wb.PrefixStore = field(default_factory=lambda: wb.PrefixStore(MOST_PREFIX_BYTES))
    rest: threading.Event = field(default_factory=_set)
    stops: list[threading.Event] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)
    left: bool = False
    dropped: bool = False
    notice: str = ""

    @property
    def busy(self) -> bool:
        """Whether a reply is being written."""
        return not self.rest.is_set()

    def claim(self) -> threading.Event:
        """Make it busy; the event by which `stop` stops what is begun now. BusyError when it is busy already,
        WorkbenchError when it has made room for another since it was found: nobody would find the reply."""
        with self.lock:
            if self.busy:
                raise BusyError()
            if self.dropped:
                raise WorkbenchError("This tab had to make room for another one", remedy="Ask again")
            self.rest.clear()
            self.stops = [threading.Event()]  # in the same step: a Stop finds either no request or this one
            return self.stops[0]

    def release(self) -> None:
        """Nothing is being written any more. What was read for somebody who has gone meanwhile is not kept."""
        self.rest.set()
        if self.left:  # looked at after, as `leave` looks at `busy` after: one of the two sees the other
            self.prefixes.clear()

    def leave(self) -> None:
        """Nobody looks at it: models stop, and what they have read goes, now or when they have stopped."""
        self.left = True
        self.stop()
        if not self.busy:
            self.prefixes.clear()  # reading again after a reload is cheaper than memory for who is gone

    def stop(self) -> None:
        """Ask every model that writes for this tab, or waits for its turn, to stop before its next token."""
        for event in list(self.stops):
            event.set()

    def select(self, run: str, token: int) -> None:
        self.selection, self.serial = {"run": run, "token": token}, self.serial + 1

    def present(self) -> Thread:
        """The conversation that the columns hold."""
        return Thread(self.number, {name: column.talk for name, column in self.columns.items()}, self.recorded)

    def keep(self) -> None:
        """Note the present conversation among the tab's; an empty one is not worth it."""
        now = self.present()
        if any(len(talk) for talk in now.talks.values()):
            self.threads[self.number] = now
        held = {number: thread.characters for number, thread in self.threads.items()}
        while len(held) > 1 and (len(held) > MOST_THREADS or sum(held.values()) > MOST_CHARACTERS):
            oldest = min(number for number in held if number != self.number)
            del self.threads[oldest], held[oldest]

    def branch(self, talks: Mapping[str, Talk]) -> None:
        """Go on with ``talks`` (a model that is not named: as it is) in a new conversation; the present one is kept."""
        self.keep()
        if self.number in self.threads:
            self.number = max(self.threads) + 1
        self.recorded = ""
        for name, talk in talks.items():
            self.columns[name].talk = talk
