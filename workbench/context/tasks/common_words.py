"""Common words of RULER (NVIDIA/RULER, common_words_extraction): the ten words that a numbered list repeats most.

Ten words stand there 30 times among others that stand there 3 times; 6 times and once where the length is below 4096
tokens, as there. The list has as many words as fit; there is no depth.
"""

from __future__ import annotations

import random

from workbench.context.draft import Draft
from workbench.context.task import Task
from workbench.context.tasks.lines import ADJECTIVES, NOUNS

COMMON = 10


class CommonWords(Task):
    """The ten most frequent words."""

    name = "common-words"
    prose = False
    title = "Common words"
    budget = 64
    deep = False

    def draft(self, rng: random.Random, depth: float, seed: int, case: int, tokens: int) -> Draft:
        words = [*ADJECTIVES, *NOUNS]
        rng.shuffle(words)
        common, rest = words[:COMMON], words[COMMON:]
        often, seldom = (30, 3) if tokens >= 4096 else (6, 1)
        more = f"{self.name}/order/{seed}/{case}"

        def listed(count: int) -> list[str]:
            """The common words, always all of them, and ``count`` others."""
            others = [_other(rest, i // seldom) for i in range(count)]
            bag = [word for word in common for _ in range(often)] + others
            random.Random(more).shuffle(bag)
            return [f"{i + 1}. {word}" for i, word in enumerate(bag)]

        lead = " The top 10 words that appear most often in the list are:"
        return Draft(
            head=(
                "Below is a numbered list of words. In these words, some appear more often than others. Memorize the "
                "ones that appear most often.\n"
            ),
            tail="\nQuestion: What are the 10 most common words in the above list?", units=listed, needles=(),
            depths=(), references=tuple(common), expected=f"{lead.lstrip()} {' '.join(common)}", lead=lead,
            padded="start",
        )  # fmt: skip


def _other(rest: list[str], i: int) -> str:
    """Uncommon word number i: from the list, then pairs of its words, so that none comes back."""
    again, place = divmod(i, len(rest))
    return f"{rest[place]}{rest[again % len(rest)]}" if again else rest[place]
