"""A suite of prompts: read from JSONL, MT-Bench's format or a plain one, and checked line by line.

The plain format is one object a line:

    {"prompt": "Name a colour. One word.", "id": "colour", "category": "format", "format": "one word"}
    {"turns": ["My name is Ada.", "What is my name?"], "answer": "Ada"}

``prompt`` (one turn) or ``turns`` (several; the model's own answers stand between). Optional: ``id`` (the line's number
otherwise), ``category``, ``system``, ``reference`` (what a right answer looks like, one for each turn, for people and
judges). Checks of the last answer, all optional: ``answer`` (a text, or several of which one suffices, that must be in
it; also the reference where none is given), ``exact``, ``contains`` (all of them), ``contains_any``, ``absent``, and
``format``: "json", "integer", "one word", {"lines": n}, {"words": most} or {"regex": "..."}, or a list of these.

MT-Bench's has ``question_id``, ``category``, ``turns`` and perhaps ``reference``; other keys are passed over.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from workbench.behaviour import checks
from workbench.behaviour.checks import Check
from workbench.errors import FileFormatError
from workbench.models.given import path_given
from workbench.models.registry import assets_folder

MOST_BYTES = 32 * 2**20
MOST_ITEMS = 20_000
MOST_TURNS = 32
MOST_CHARACTERS = 1_000_000
"""Of one turn."""
SHIPPED = {"behaviour": "behaviour.jsonl", "twins": "twins.jsonl"}
"""Suites that come with the workbench, by name."""
_PLAIN = ("prompt", "turns", "id", "category", "system", "reference", "answer", *checks.KEYS)


@dataclass(frozen=True)
class Item:
    """One item: what the user says, turn by turn, and what can be checked of the last answer."""

    id: str
    turns: tuple[str, ...]
    category: str = ""
    reference: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    system: str = ""

    def as_row(self) -> dict[str, Any]:
        """The item in the plain format: reading it gives the same item."""
        row: dict[str, Any] = {"id": self.id, "turns": list(self.turns)}
        for name in ("category", "system"):
            row |= {name: getattr(self, name)} if getattr(self, name) else {}
        row |= {"reference": list(self.reference)} if self.reference else {}
        return row | checks.as_row(self.checks)

    def passed(self, answer: str) -> bool | None:
        """Whether ``answer`` passes every check; None for an item without any."""
        return all(one.check(answer)[0] for one in self.checks) if self.checks else None


@dataclass(frozen=True)
class Suite:
    """Items with ids of their own. ``sha256`` is that of the items in the plain format, whatever the file looked
    like."""

    name: str
    items: tuple[Item, ...]

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal."""
        return hashlib.sha256(self.to_jsonl().encode()).hexdigest()

    @property
    def categories(self) -> tuple[str, ...]:
        """In the order of their first items."""
        return tuple(dict.fromkeys(one.category for one in self.items))

    def to_jsonl(self) -> str:
        """The items in the plain format, one a line."""
        return "".join(json.dumps(one.as_row(), sort_keys=True) + "\n" for one in self.items)

    def as_saved(self) -> dict[str, str]:
        """As a result's file keeps it: the name and the items in the plain format."""
        return {"name": self.name, "items": self.to_jsonl()}

    @classmethod
    def of_saved(cls, saved: dict[str, str]) -> Suite:
        """The suite that `as_saved` described. Raises FileFormatError."""
        return parse_suite(saved["items"], str(saved["name"])) if saved["items"] else cls(str(saved["name"]), ())

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        return f"Suite({self.name}: {len(self.items)} items, {sum(bool(one.checks) for one in self.items)} with checks)"


def read_suite(path: str | Path) -> Suite:
    """The suite in a JSONL file, or a shipped one by name: "behaviour", "twins". Raises FileFormatError with the
    number of the line that is wrong."""
    if str(path) in SHIPPED:
        path = assets_folder() / "prompts" / SHIPPED[str(path)]
    path = path_given(path, "suite")
    try:
        with path.open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise FileFormatError(
            f"The suite {path} cannot be read ({error.strerror})",
            expected=f"a JSONL file, or one of {', '.join(SHIPPED)}",
        ) from None
    return parse_suite(data, path.stem)


def parse_suite(data: bytes | str, name: str) -> Suite:
    """The suite in the text of a JSONL file. Raises FileFormatError."""
    if len(data) > MOST_BYTES:
        raise FileFormatError(f"{name} is larger than {MOST_BYTES >> 20} MiB", remedy="Split it")
    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{name} is not UTF-8 text (byte {error.start})", remedy="Save it as UTF-8") from None
    items: list[Item] = []
    lines: dict[str, int] = {}
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if not line.strip():
            continue
        try:
            item = _item(_object(line), number)
        except FileFormatError as error:
            raise FileFormatError(
                f"Line {number} of {name}: {error.what}", expected=error.expected, remedy=error.remedy
            ) from None
        if item.id in lines:
            raise FileFormatError(
                f"Line {number} of {name}: the id {item.id[:60]!r} is that of line {lines[item.id]} as well",
                remedy="Give every item an id of its own",
            )
        lines[item.id] = number
        items.append(item)
        if len(items) > MOST_ITEMS:
            raise FileFormatError(f"{name} has more than {MOST_ITEMS} items", remedy="Split it")
    if not items:
        raise FileFormatError(f"{name} has no items", expected='a line such as {"prompt": "..."} for each')
    return Suite(name, tuple(items))


def suite_of(given: Suite | str | Path | Iterable[Mapping[str, Any]]) -> Suite:
    """A suite as it is, from a file or name, or from rows of the plain format."""
    if isinstance(given, Suite):
        return given
    if isinstance(given, str | Path):
        return read_suite(given)
    return parse_suite("\n".join(json.dumps(dict(row)) for row in given), "suite")


def _object(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise FileFormatError("it is not JSON", expected='an object such as {"prompt": "..."}') from None
    if not isinstance(row, dict):
        raise FileFormatError("it is no object", expected='{"prompt": "..."}')
    return row


def _item(row: dict[str, Any], number: int) -> Item:
    if "question_id" in row:
        row = {"id": row["question_id"]} | {k: row[k] for k in ("turns", "category", "reference") if k in row}
    unknown = [key for key in row if key not in _PLAIN]
    if unknown:
        raise FileFormatError(f"nothing is known of {json.dumps(unknown[0])[:60]}", expected=", ".join(_PLAIN))
    if ("prompt" in row) == ("turns" in row):
        raise FileFormatError("it has neither prompt nor turns" if "turns" not in row else "it has prompt and turns",
                              expected='"prompt": "...", or "turns": ["...", "..."]')  # fmt: skip
    turns = [row["prompt"]] if "prompt" in row else row["turns"]
    if not isinstance(turns, list) or not 1 <= len(turns) <= MOST_TURNS:
        raise FileFormatError('"turns" is no list of turns', expected=f"1 to {MOST_TURNS} texts")
    for turn in turns:
        _text("prompt" if "prompt" in row else "a turn", turn)
        if not turn.strip():
            raise FileFormatError("a turn is empty", expected="some text")
    identity = row.get("id", str(number))
    if isinstance(identity, bool) or not isinstance(identity, str | int) or not 1 <= len(str(identity)) <= 200:
        raise FileFormatError('"id" is neither text nor a number', expected="at most 200 characters")
    for key in ("category", "system"):
        _text(key, row.get(key, ""))
    if "answer" in row and "contains_any" in row:
        raise FileFormatError('it has "answer" and "contains_any", which mean the same check', remedy="Keep one")
    found = checks.checks_of(row | ({"contains_any": row["answer"]} if "answer" in row else {}))
    reference = row.get("reference", row.get("answer", []))
    reference = [reference] if isinstance(reference, str) else reference
    if not isinstance(reference, list) or not all(isinstance(one, str) for one in reference):
        raise FileFormatError('"reference" is no text', expected="a text, or a list of texts")
    for text in reference:
        _text("reference", text)
    return Item(str(identity), tuple(turns), row.get("category", ""), tuple(reference), found, row.get("system", ""))


def _text(key: str, value: Any) -> None:
    if not isinstance(value, str):
        raise FileFormatError(f'"{key}" is {json.dumps(value)[:40]}', expected="text")
    if len(value) > MOST_CHARACTERS:
        raise FileFormatError(f'"{key}" has {len(value):,} characters', expected=f"at most {MOST_CHARACTERS:,}")
    if any("\ud800" <= c <= "\udfff" for c in value):
        raise FileFormatError(f'"{key}" holds half of a character (a lone surrogate)', remedy="Remove it")
