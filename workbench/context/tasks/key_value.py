"""Key-value pairs as JSON, one of them asked for (protocol: nelson-liu/lost-in-the-middle).

Keys and values are UUIDs as there; the answer is right when it holds the value. There 75, 140 or 300 pairs are given,
here as many as the length takes. ``query_aware`` puts the question in front as well.
"""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass

from workbench.context.draft import Draft
from workbench.context.task import Task


@dataclass(frozen=True)
class KeyValue(Task):
    """The value of a UUID in a JSON object."""

    query_aware: bool = False

    name = "key-value"
    prose = False
    title = "Key-value pairs"
    budget = 64

    def draft(self, rng: random.Random, depth: float, seed: int, case: int, tokens: int) -> Draft:
        key, value = _uuid(rng), _uuid(rng)
        more = f"{self.name}/filler/{seed}/{case}"

        def others(count: int) -> list[str]:
            drawn = random.Random(more)
            return [_pair(_uuid(drawn), _uuid(drawn)) for _ in range(count)]

        ask = "Extract the value corresponding to the specified key in the JSON object below."
        first = f'{ask}\n\nKey: "{key}"\n\n' if self.query_aware else f"{ask}\n\n"
        return Draft(
            head=f"{first}JSON data:\n{{", tail=f'}}\n\nKey: "{key}"\nCorresponding value:', units=others,
            needles=(_pair(key, value),), depths=(depth,), references=(value,), expected=value, joiner=",\n ",
            padded="start",
        )  # fmt: skip


def _uuid(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def _pair(key: str, value: str) -> str:
    return f'"{key}": "{value}"'
