"""Pass key: a number in a repeated noise sentence (protocol: epfml/landmark-attention, llama/run_test.py).

The task's texts are that protocol's, the key has five digits, and the first integer in the answer must equal it. There
the noise before and after varies by characters; here the depth is a share of the sentences.
"""

from __future__ import annotations

import random

from workbench.context.draft import Draft
from workbench.context.task import Task, numbers

DESCRIPTION = (
    "There is an important info hidden inside a lot of irrelevant text. Find it and memorize them. I will quiz you "
    "about the important information there. "
)


class Passkey(Task):
    """A five-digit key."""

    name = "passkey"
    title = "Pass key"
    alike = True
    budget = 16
    judge = "first integer"
    own_haystack = "noise"

    def draft(self, rng: random.Random, depth: float, seed: int, case: int, tokens: int) -> Draft:
        key = numbers(rng, 1)[0]
        return Draft(
            head=DESCRIPTION, tail=" What is the pass key?", units=self.filler(seed, case),
            needles=(f"The pass key is {key}. Remember it. {key} is the pass key.",), depths=(depth,),
            references=(key,), expected=f"The pass key is {key}.", lead=" The pass key is",
        )  # fmt: skip
