"""Variable tracking of RULER (NVIDIA/RULER, variable_tracking): which variables hold a value, over a chain of copies.

One chain with four hops: five variables. The statements keep their order; the first stands at the depth asked for, the
others are spread between it and the end.
"""

from __future__ import annotations

import itertools
import random
import string

from workbench.context.draft import Draft
from workbench.context.task import Task, numbers

HOPS = 4


class Tracing(Task):
    """All variables that hold a number."""

    name = "variable-tracking"
    title = "Variable tracking"
    budget = 80
    own_haystack = "noise"

    def draft(self, rng: random.Random, depth: float, seed: int, case: int, tokens: int) -> Draft:
        names: list[str] = []
        while len(names) < HOPS + 1:
            name = "".join(rng.choices(string.ascii_uppercase, k=5))
            if name not in names:
                names.append(name)
        value = numbers(rng, 1)[0]
        chain = [f"VAR {names[0]} = {value}", *(f"VAR {b} = VAR {a}" for a, b in itertools.pairwise(names))]
        later = sorted(depth + (1 - depth) * rng.random() for _ in range(HOPS))
        lead = (
            f" According to the chain(s) of variable assignment in the text above, {len(names)} variables are "
            f"assigned the value {value}, they are:"
        )
        return Draft(
            head="Memorize and track the chain(s) of variable assignment hidden in the following text.\n\n",
            tail=f"\nQuestion: Find all variables that are assigned the value {value} in the text above.",
            units=self.filler(seed, case), needles=tuple(chain), depths=(depth, *later), references=tuple(names),
            expected=f"{lead.lstrip()} {' '.join(names)}", lead=lead, joiner="\n",
        )  # fmt: skip
