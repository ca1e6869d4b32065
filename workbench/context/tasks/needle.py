"""Needle in a haystack: one fact in long filler (protocol: gkamradt/LLMTest_NeedleInAHaystack).

As there: one needle between two sentences of the filler, at a share of its length; the length counts tokens and keeps
the answer's free. Different: the fact is drawn anew for each case, so that no model can know it, and the answer is
looked for as a text instead of being graded by a judge.
"""

from __future__ import annotations

import random

from workbench.context.draft import Draft
from workbench.context.task import Task, numbers

COLOURS = "red blue green yellow black white brown orange pink gold silver grey".split()


class Needle(Task):
    """The number of a coloured key."""

    name = "needle"
    title = "Needle in a haystack"
    alike = True
    budget = 24

    def draft(self, rng: random.Random, depth: float, seed: int, case: int, tokens: int) -> Draft:
        colour, number = rng.choice(COLOURS), numbers(rng, 1)[0]
        fact = f"The {colour} key is {number}."
        return Draft(
            head="", tail=f" What is the {colour} key?", units=self.filler(seed, case), needles=(fact,),
            depths=(depth,), references=(number,), expected=fact, lead=f" The {colour} key is",
        )  # fmt: skip
