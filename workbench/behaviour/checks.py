"""Checks of an answer that need no judge: by what it is, what is in it, and what form it has.

Each is a small class with a ``name`` for tables and ``check(answer) -> (passed, why)``; ``why`` is empty for an answer
that passed. Case never matters, nor do runs of white space.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import regex

from workbench.errors import FileFormatError

MOST_PATTERN = 500
"""Characters of a pattern."""
MOST_SEARCHED = 20_000
"""Characters of an answer that a pattern is tried on."""
SECONDS = 1.0
"""After which a pattern is given up: some take years."""
MOST_VALUES = 64


@runtime_checkable
class Check(Protocol):
    """What every check offers."""

    @property
    def name(self) -> str:
        """The check in a few words."""

    def check(self, answer: str) -> tuple[bool, str]:
        """Whether ``answer`` passes, and if not, why."""


@dataclass(frozen=True)
class Exact:
    """The answer is one of ``values``; quotation marks around it and a full stop behind it do not matter."""

    values: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"is {_either(self.values)}"

    def check(self, answer: str) -> tuple[bool, str]:
        passed = _bare(answer) in {_bare(value) for value in self.values}
        return passed, "" if passed else f"it is not {_either(self.values)}"


@dataclass(frozen=True)
class Contains:
    """All of ``values`` are in the answer, or with ``every`` False at least one: as whole words, so that 4 is not in
    14."""

    values: tuple[str, ...]
    every: bool = True

    @property
    def name(self) -> str:
        return f"contains {' and '.join(map(_quoted, self.values)) if self.every else _either(self.values)}"

    def check(self, answer: str) -> tuple[bool, str]:
        missing = [value for value in self.values if not _within(value, answer)]
        if not missing or (not self.every and len(missing) < len(self.values)):
            return True, ""
        return False, f"{' and '.join(map(_quoted, missing)) if self.every else _either(missing)} is not in it"


@dataclass(frozen=True)
class Absent:
    """None of ``values`` is in the answer, as a whole word."""

    values: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"without {_either(self.values)}"

    def check(self, answer: str) -> tuple[bool, str]:
        found = [value for value in self.values if _within(value, answer)]
        return not found, f"{' and '.join(map(_quoted, found))} is in it" if found else ""


@dataclass(frozen=True)
class Json:
    """The whole answer is one JSON object or list; a fence of ``` around it is allowed."""

    name = "is JSON"

    def check(self, answer: str) -> tuple[bool, str]:
        text = answer.strip()
        if fenced := re.fullmatch(r"```(?:json)?[ \t]*\n(.*?)\n?```", text, re.DOTALL | re.IGNORECASE):
            text = fenced[1]
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return False, "it is not JSON"
        return (True, "") if isinstance(value, dict | list) else (False, "it is no JSON object or list")


@dataclass(frozen=True)
class Integer:
    """The whole answer is one whole number in digits; a full stop behind it does not matter."""

    name = "is a whole number"

    def check(self, answer: str) -> tuple[bool, str]:
        passed = re.fullmatch(r"[+-]?\d{1,400}\.?", answer.strip()) is not None
        return passed, "" if passed else "it is not just a whole number"


@dataclass(frozen=True)
class OneWord:
    """The answer is one word."""

    name = "is one word"

    def check(self, answer: str) -> tuple[bool, str]:
        count = len(answer.split())
        return count == 1, "" if count == 1 else f"it has {count} words"


@dataclass(frozen=True)
class Lines:
    """The answer has ``count`` lines, empty ones not counted: a list and nothing else."""

    count: int

    @property
    def name(self) -> str:
        return f"has {self.count} line{'s' if self.count != 1 else ''}"

    def check(self, answer: str) -> tuple[bool, str]:
        count = sum(bool(line.strip()) for line in answer.splitlines())
        return count == self.count, "" if count == self.count else f"it has {count}"


@dataclass(frozen=True)
class Words:
    """The answer has at most ``most`` words, and at least one."""

    most: int

    @property
    def name(self) -> str:
        return f"has at most {self.most} words"

    def check(self, answer: str) -> tuple[bool, str]:
        count = len(answer.split())
        return 1 <= count <= self.most, "" if 1 <= count <= self.most else f"it has {count}"


@dataclass(frozen=True)
class Pattern:
    """``pattern`` (a regular expression, case ignored) is found in the answer, of which the first `MOST_SEARCHED`
    characters are searched for at most `SECONDS`; longer counts as not found."""

    pattern: str

    @property
    def name(self) -> str:
        return f"matches {self.pattern}"

    def check(self, answer: str) -> tuple[bool, str]:
        try:
            found = regex.search(self.pattern, answer.strip()[:MOST_SEARCHED], regex.IGNORECASE, timeout=SECONDS)
        except TimeoutError:
            return False, f"the pattern took longer than {SECONDS:g} s"
        return found is not None, "" if found is not None else "the pattern is not in it"


def checks_of(row: Mapping[str, Any]) -> tuple[Check, ...]:
    """The checks that the keys "exact", "contains", "contains_any", "absent" and "format" of a suite's row ask for.
    Raises FileFormatError, which says what is wrong with which key."""
    found: list[Check] = [make(_texts(key, row[key])) for key, make in _BY_TEXT.items() if key in row]
    if "format" in row:
        given = row["format"]
        for one in given if isinstance(given, list) else [given]:
            found += _formats(one)
    return tuple(found)


def as_row(checks: tuple[Check, ...]) -> dict[str, Any]:
    """The keys that `checks_of` makes ``checks`` of."""
    row: dict[str, Any] = {}
    formats: list[Any] = []
    for one in checks:
        if isinstance(one, Exact):
            row["exact"] = list(one.values)
        elif isinstance(one, Contains):
            row["contains" if one.every else "contains_any"] = list(one.values)
        elif isinstance(one, Absent):
            row["absent"] = list(one.values)
        elif isinstance(one, Lines):
            formats.append({"lines": one.count})
        elif isinstance(one, Words):
            formats.append({"words": one.most})
        elif isinstance(one, Pattern):
            formats.append({"regex": one.pattern})
        else:
            formats.append({Json: "json", Integer: "integer", OneWord: "one word"}[type(one)])
    return row | ({"format": formats} if formats else {})


_BY_TEXT: dict[str, Callable[[tuple[str, ...]], Check]] = {
    "exact": Exact, "contains": Contains, "contains_any": lambda values: Contains(values, every=False),
    "absent": Absent,
}  # fmt: skip
_BY_WORD: dict[str, Callable[[], Check]] = {"json": Json, "integer": Integer, "one word": OneWord}
_FORMATS = '"json", "integer", "one word", {"lines": n}, {"words": n} or {"regex": "..."}'
KEYS = (*_BY_TEXT, "format")


def _texts(key: str, value: Any) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not 1 <= len(values) <= MOST_VALUES:
        raise FileFormatError(f'"{key}" holds no text', expected=f"a text, or a list of 1 to {MOST_VALUES} texts")
    if not all(isinstance(one, str) and one.strip() for one in values):
        raise FileFormatError(f'"{key}" holds something empty or no text', expected="texts")
    return tuple(values)


def _formats(value: Any) -> list[Check]:
    if isinstance(value, str) and value in _BY_WORD:
        return [_BY_WORD[value]()]
    if not isinstance(value, dict) or not value or not value.keys() <= {"lines", "words", "regex"}:
        raise FileFormatError(f'"format" is {json.dumps(value)[:60]}', expected=_FORMATS)
    found: list[Check] = []
    for kind, given in value.items():
        if kind == "regex":
            if not isinstance(given, str) or not 1 <= len(given) <= MOST_PATTERN:
                raise FileFormatError('"regex" is no pattern', expected=f"a text of 1 to {MOST_PATTERN} characters")
            try:
                regex.compile(given, regex.IGNORECASE)
            except (regex.error, OverflowError, RecursionError) as error:
                raise FileFormatError(f'"regex" is not a regular expression ({error})') from None
            found.append(Pattern(given))
        elif isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= 100_000:
            raise FileFormatError(f'"{kind}" is {json.dumps(given)[:40]}', expected="a whole number of at least 1")
        else:
            found.append(Lines(given) if kind == "lines" else Words(given))
    return found


def _flat(text: str) -> str:
    return " ".join(text.casefold().split())


def _bare(text: str) -> str:
    return _flat(text).rstrip(".").strip("\"'“”‘’`*").rstrip(".").strip()


def _within(value: str, answer: str) -> bool:
    wanted = _flat(value)
    before, after = (r"(?<!\w)" if wanted[0].isalnum() else ""), (r"(?!\w)" if wanted[-1].isalnum() else "")
    return re.search(before + re.escape(wanted) + after, _flat(answer)) is not None


def _quoted(value: str) -> str:
    return f'"{value}"'


def _either(values: tuple[str, ...] | list[str]) -> str:
    return " or ".join(map(_quoted, values))
