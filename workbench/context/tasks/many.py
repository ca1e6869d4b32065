"""Needles of RULER (NVIDIA/RULER, niah): several keys with one asked, several values of one key, several keys asked.

Needle and question have that benchmark's form; keys are words, values numbers of seven digits. All references must be
found in the answer (its string_match_all); the share that is found is kept beside it.
"""

from __future__ import annotations

import random

from workbench.context.draft import Draft
from workbench.context.task import Task, numbers, spread

_KEYS = (
    "anchor basket bridge button candle castle cherry circle copper cotton dinner dragon engine farmer finger flower "
    "forest garden guitar hammer harbor island jacket kettle kitten ladder lemon letter market mirror monkey mountain "
    "needle orange palace pencil pepper pillow planet pocket potato rabbit ribbon river rocket saddle shadow silver "
    "spider stone summer temple ticket tiger tunnel turtle valley velvet violin wagon window winter"
).split()


class _Magic(Task):
    budget = 96
    keys: int
    values: int
    asked: int

    def draft(self, rng: random.Random, depth: float, seed: int, case: int, tokens: int) -> Draft:
        names = rng.sample(_KEYS, self.keys)
        found = numbers(rng, self.keys * self.values, 7)
        facts = [(name, found[i * self.values + j]) for i, name in enumerate(names) for j in range(self.values)]
        references = tuple(value for name, value in facts if name in names[: self.asked])
        query = " and ".join(
            (", ".join(names[: self.asked - 1]), names[self.asked - 1]) if self.asked > 1 else names[:1]
        )
        many = len(references) > 1
        what, be, which = ("numbers", "are", "all the") if many else ("number", "is", "the")
        said = f"{which} special magic {what} for {query} mentioned in the provided text"
        lead = f" {said[0].upper()}{said[1:]} {be}"
        return Draft(
            head=(
                f"{'Some special magic numbers are' if many else 'A special magic number is'} hidden within the "
                f"following text. Make sure to memorize it. I will quiz you about the {what} afterwards.\n"
            ),
            tail=f"\nWhat {be} {said}?", units=self.filler(seed, case),
            needles=tuple(f"One of the special magic numbers for {name} is: {value}." for name, value in facts),
            depths=spread(depth, len(facts), rng), references=references,
            expected=f"{lead.lstrip()} {', '.join(references)}.", lead=lead,
        )  # fmt: skip


class MultiKey(_Magic):
    """Four keys, one of them asked: the others distract."""

    name, title = "multi-key", "Several keys, one asked"
    keys, values, asked = 4, 1, 1


class MultiValue(_Magic):
    """One key with four values, all of them asked."""

    name, title = "multi-value", "One key, four values"
    keys, values, asked = 1, 4, 1


class MultiQuery(_Magic):
    """Four keys, all of them asked."""

    name, title = "multi-query", "Four keys, all asked"
    keys, values, asked = 4, 1, 4
