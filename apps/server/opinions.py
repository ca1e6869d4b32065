"""Votes and feedback, kept in one SQLite file: what was said about which replies, and never whose address said it.

An opinion is a vote between two answers, a rating of one reply, or a note to whoever runs the page. The file only
grows: where a visitor says something else about the same replies, the later row counts (`opinion_results.py`). Rows
hold model names, hashes of weights and token ids, and settings; text only where the visitor asked for that.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apps.server.rates import Rates
from workbench.errors import WorkbenchError

FILE = "opinions.sqlite"
VOTE, RATING, NOTE = "vote", "rating", "note"
CHOICES: Mapping[str, tuple[str, ...]] = {
    VOTE: ("left", "right", "both", "neither"), RATING: ("up", "down"), NOTE: ("",),
}  # fmt: skip
SOURCES = ("chat", "behaviour")
COLUMNS = ("time", "visitor", "kind", "source", "blind", "choice", "item", "comment", "left", "right", "said")
MOST_COMMENT, MOST_SAID = 2000, 128 * 1024
"""Bytes of a comment, and of a conversation kept with an opinion."""
MOST_A_VISITOR, MOST_A_DAY, MOST_A_MINUTE = 200, 20_000, 60
"""Rows of one tab in a day, of all tabs in a day, of one address in a minute (counted in memory, kept nowhere)."""
MOST_BYTES = 512 * 2**20
"""Of the file."""
PATIENCE = 5.0
"""Seconds that a writer waits for another process."""
_APPLICATION, _VERSION, _PAGE = 0x57424F50, 1, 4096
_TABLE = """CREATE TABLE IF NOT EXISTS opinions (
    id INTEGER PRIMARY KEY, time TEXT NOT NULL, visitor TEXT NOT NULL, kind TEXT NOT NULL, source TEXT NOT NULL,
    blind INTEGER NOT NULL, choice TEXT NOT NULL, item TEXT NOT NULL, comment TEXT NOT NULL, "left" TEXT, "right" TEXT,
    said TEXT)"""
_NAMES = ", ".join(f'"{name}"' for name in COLUMNS)
_INSERT = f"INSERT INTO opinions ({_NAMES}) VALUES ({', '.join('?' * len(COLUMNS))})"
_WHY = {
    **dict.fromkeys((sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED), "the file is locked by another program"),
    sqlite3.SQLITE_FULL: "the disk, or the room for opinions, is full",
    sqlite3.SQLITE_IOERR: "the disk cannot be read or written",
    sqlite3.SQLITE_NOTADB: "the file is no SQLite database",
    sqlite3.SQLITE_CORRUPT: "the file is damaged",
    sqlite3.SQLITE_READONLY: "the file may not be written",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened",
}
"""By SQLite's primary result code."""


class OpinionError(WorkbenchError):
    """An opinion that cannot be, or cannot be kept."""


@dataclass(frozen=True)
class Opinion:
    """``kind`` and ``choice`` are of `CHOICES`; ``blind`` says that the names were hidden. ``item`` is the sha256 of
    what was asked. ``left`` and ``right`` tell how the answers came about (a rating has ``left`` alone, a note none):
    {"model", "weights", "switched", "sampling", "ids_sha256", ...}. ``said`` is the conversation, for who asked to have
    it kept."""

    kind: str
    choice: str = ""
    source: str = "chat"
    blind: bool = False
    item: str = ""
    comment: str = ""
    left: Mapping[str, Any] | None = None
    right: Mapping[str, Any] | None = None
    said: Any = None

    def check(self) -> None:
        """Raises OpinionError for what cannot be."""
        if self.kind not in CHOICES or self.source not in SOURCES:
            raise OpinionError("This is no vote, rating or note", expected=", ".join(CHOICES))
        if self.choice not in CHOICES[self.kind]:
            raise OpinionError(f"The {self.kind} is {str(self.choice)[:40]!r}", expected=", ".join(CHOICES[self.kind]))
        try:
            size = len(self.comment.encode())
        except UnicodeEncodeError:
            raise OpinionError("The comment holds half of a character (a lone surrogate)") from None
        if size > MOST_COMMENT:
            raise OpinionError(f"The comment has {size:,} bytes", expected=f"at most {MOST_COMMENT:,}")
        if self.kind == NOTE and not self.comment.strip():
            raise OpinionError("Nothing is written yet", expected="a few words")

    def row(self, time: str, visitor: str) -> dict[str, Any]:
        """As it is kept, JSON-able, by `COLUMNS`."""
        sides = [None if one is None else dict(one) for one in (self.left, self.right)]
        values = (time, visitor, self.kind, self.source, self.blind, self.choice, self.item, self.comment.strip())
        return dict(zip(COLUMNS, (*values, *sides, self.said), strict=True))


class Opinions:
    """The file in ``folder``. A connection is opened for each opinion, one at a time; other processes may write to the
    same file. Each kept row is also given to ``mirrors``, whose failure is theirs to tell."""

    def __init__(
        self, folder: str | Path, *, now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
        most_bytes: int = MOST_BYTES, patience: float = PATIENCE,
    ) -> None:  # fmt: skip
        """Begins the file. Raises OpinionError, naming it, where it is not there to be written."""
        self.folder, self._now, self._most_bytes, self._patience = Path(folder), now, most_bytes, patience
        self.mirrors: list[Callable[[dict[str, Any]], None]] = []
        self._lock = threading.Lock()
        self._rates = Rates(MOST_A_MINUTE)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._writing():
                pass
        except (OSError, OpinionError) as error:
            why = error.what if isinstance(error, OpinionError) else str(error.strerror)
            raise OpinionError(
                f"{self.path}: {why[:200]}", expected="a folder for votes and feedback that can be written",
                remedy="Name another one, or unset WORKBENCH_OPINIONS",
            ) from None  # fmt: skip

    @property
    def path(self) -> Path:
        return self.folder / FILE

    def keep(self, opinion: Opinion, tab: str, client: str = "") -> None:
        """Keep it for the visitor with the key ``tab``; it is on the disk when this returns. ``client`` is the address,
        which is counted and not kept. Raises OpinionError; nothing else is lost with it."""
        opinion.check()
        if seconds := self._rates.spend(client or tab):
            raise OpinionError("Too many opinions came at once", remedy=f"Try again in {max(1, round(seconds))} s")
        now = self._now()
        row = opinion.row(now.isoformat(timespec="seconds"), visitor_of(tab))
        said = [None if row[name] is None else _json(row[name]) for name in ("left", "right", "said")]
        if said[2] is not None and len(said[2].encode()) > MOST_SAID:
            raise OpinionError(
                "The conversation is too long to be kept", expected=f"at most {MOST_SAID // 1024} KiB",
                remedy="Send it without the text",
            )  # fmt: skip
        day = now.replace(hour=0, minute=0, second=0).isoformat(timespec="seconds")
        with self._lock:
            with self._writing() as base:
                for most, whose, given in (
                    (MOST_A_VISITOR, " AND visitor = ?", (row["visitor"],)), (MOST_A_DAY, "", ()),
                ):  # fmt: skip
                    count = base.execute(f"SELECT count(*) FROM opinions WHERE time >= ?{whose}", (day, *given))
                    if count.fetchone()[0] >= most:
                        raise OpinionError(f"{most:,} opinions were kept today, the most there is room for",
                                           remedy="Come back tomorrow")  # fmt: skip
                base.execute(_INSERT, [*(row[name] for name in COLUMNS[:8]), *said])
            for mirror in self.mirrors:
                mirror(row)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, made or not made at all. SQLite's errors become sentences, which name no path to a visitor;
        the log has it."""
        try:
            base = sqlite3.connect(self.path, timeout=self._patience, isolation_level=None)
            try:
                _prepare(base, self._most_bytes)
                base.execute("BEGIN IMMEDIATE")
                try:
                    yield base
                    base.execute("COMMIT")
                finally:
                    if base.in_transaction:
                        base.execute("ROLLBACK")
            finally:
                base.close()
        except sqlite3.Error as error:
            print(f"{self.path}: {error}", file=sys.stderr)
            raise OpinionError(f"This could not be kept: {why(error)}", remedy="The chat goes on") from None


def _prepare(base: sqlite3.Connection, most_bytes: int) -> None:
    """The table, in a file that is empty or one of ours, within a transaction: another process sees all of it or
    nothing. Raises OpinionError for another's."""
    base.execute(f"PRAGMA max_page_count = {most_bytes // _PAGE}")
    if _marks(base) != (_APPLICATION, _VERSION):
        base.execute("BEGIN IMMEDIATE")
        application, version = _marks(base)
        if application != _APPLICATION and base.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise OpinionError("the file is a database of something else")
        if version > _VERSION:
            raise OpinionError("the file was made by a later workbench")
        base.execute(_TABLE)
        base.execute("CREATE INDEX IF NOT EXISTS by_visitor ON opinions (time, visitor)")
        base.execute(f"PRAGMA application_id = {_APPLICATION}")
        base.execute(f"PRAGMA user_version = {_VERSION}")
        base.execute("COMMIT")
    if base.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        with suppress(sqlite3.OperationalError):  # another process reads just now: the next connection does it
            base.execute("PRAGMA journal_mode = WAL")


def _marks(base: sqlite3.Connection) -> tuple[int, int]:
    """(application, version) that a file is marked with."""
    application, version = (base.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
    return application, version


def read_rows(folder: str | Path) -> list[dict[str, Any]]:
    """Every row in the file of ``folder``, the oldest first: ``id`` and `COLUMNS`. Raises OpinionError."""
    path = Path(folder) / FILE
    if not path.is_file():
        raise OpinionError(f"There are no votes or feedback in {folder}", expected=f"a folder with {FILE}")
    try:
        base = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=PATIENCE)
        try:
            if base.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION:
                raise OpinionError(f"{path} is a database of something else", expected=f"{FILE} of the workbench")
            found = base.execute(f"SELECT id, {_NAMES} FROM opinions ORDER BY id").fetchall()
        finally:
            base.close()
    except sqlite3.Error as error:
        raise OpinionError(f"{path} cannot be read: {why(error)}") from None
    rows = [dict(zip(("id", *COLUMNS), values, strict=True)) for values in found]
    for row in rows:
        row["blind"] = bool(row["blind"])
        for name in ("left", "right", "said"):
            row[name] = None if row[name] is None else json.loads(row[name])
    return rows


def visitor_of(tab: str) -> str:
    """What stands for a tab: a hash of its unguessable key, from which nobody can be told."""
    return hashlib.sha256(tab.encode()).hexdigest()[:24]


def digest(*parts: object) -> str:
    """sha256 of ``parts`` as JSON."""
    return hashlib.sha256(_json(list(parts)).encode()).hexdigest()


def why(error: sqlite3.Error) -> str:
    """SQLite's reason in words."""
    return _WHY.get((getattr(error, "sqlite_errorcode", None) or 0) & 0xFF, str(error)[:100])


def _json(value: Any) -> str:
    """``value`` as text that UTF-8 can hold: half of a character becomes a question mark."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True).encode("utf-8", "replace").decode()
