"""Judging an answer by what is in it; no model and no person judges."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """``right``: by the task's rule. ``found``: for each reference whether it is in the answer. ``share`` of them."""

    right: bool
    found: tuple[bool, ...]

    @property
    def share(self) -> float:
        return sum(self.found) / len(self.found) if self.found else 0.0


def score(answer: str, references: tuple[str, ...], rule: str = "all") -> Score:
    """The `Score` of an answer. References are looked for without regard to case (RULER's string_match). Rules: "all"
    of them must be there; "any" one; "first integer": the first whole number in the answer is the first reference."""
    low = answer.casefold()
    found = tuple(reference.casefold() in low for reference in references)
    return Score(RULES[rule](answer, references, found), found)


def _first_integer(answer: str, references: tuple[str, ...], found: tuple[bool, ...]) -> bool:
    first = re.search(r"\d+", answer)
    return first is not None and int(first.group()) == int(references[0])


RULES: dict[str, Callable[[str, tuple[str, ...], tuple[bool, ...]], bool]] = {
    "all": lambda answer, references, found: all(found) and bool(found),
    "any": lambda answer, references, found: any(found),
    "first integer": _first_integer,
}
