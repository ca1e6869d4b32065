"""The synthetic instruction language of the twins: a table of tasks, and rows of tokens drawn from it."""

import random
from dataclasses import dataclass, replace
from functools import cache

from .base import HELD_OUT_SHARE, UNKNOWN_ANSWER, Chat, Passage, Source, Task, Turn, held_out
from .greetings import SYSTEMS, Greetings
from .induction import Backward, Induction, Statements
from .lists import Lists
from .names import Names
from .needles import LongNeedles, Needles
from .pairs import Pairs
from .pieces import Encoded, encode, encode_example, wordlike
from .unknown import Unknown
from .world import World

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Greetings(),
        World(),
        Lists(),
        Names(),
        Pairs(),
        Needles(),
        LongNeedles(),
        Induction(),
        Statements(),
        Unknown(),
        Backward(),
    )
}
_NUMBER = {name: number for number, name in enumerate(TASKS)}
SHORT = ("greetings", "world", "lists", "unknown")


@dataclass(frozen=True)
class Mix:
    """How often each task is drawn (weights, need not sum to 1), and the limits of what is drawn.

    `rare_share`: how often a task takes rare words. `long_share`: how many rows start with one long document.
    `max_pairs`: the largest set of statements. `reach`: the largest distance of a needle to its question in
    tokens. `backward`: how often a statement is asked for its first part. `absent`: how often something is asked that
    was not told.
    """

    greetings: float = 1.0
    world: float = 1.5
    lists: float = 1.5
    names: float = 0.5
    pairs: float = 3.0
    needles: float = 1.5
    induction: float = 1.0
    statements: float = 1.0
    unknown: float = 0.5
    backward_text: float = 0.0
    rare_share: float = 0.3
    long_share: float = 0.0
    max_pairs: int = 8
    reach: int = 10**9
    backward: float = 0.5
    absent: float = 0.12

    def source(self, rng: random.Random, length: int, rare_words: list[str]) -> Source:
        pairs = max(2, min(self.max_pairs, length // 24))
        return Source(rng, rare_words, self.rare_share, pairs, length, self.reach, self.backward, self.absent)

    def weights(self) -> dict[str, float]:
        found = {name: getattr(self, name) for name in TASKS if name not in ("long needles", "backward")}
        return found | {"backward": self.backward_text}


def conversation(source: Source, weights: dict[str, float], first: str) -> Chat:
    """One to four short exchanges in one chat, as a person might lead it; the first one is of the task `first`."""
    names = [name for name in SHORT if weights[name] > 0]
    turns: list[Turn] = []
    keys: list[str] = []
    for number in range(source.rng.choice((1, 1, 2, 3, 4))):
        name = first if number == 0 else source.rng.choices(names, [weights[n] for n in names])[0]
        example = TASKS[name].sample(source)
        assert isinstance(example, Chat)
        turns += example.turns
        keys.append(example.key)
    system = source.rng.choice(SYSTEMS) if source.rng.random() < 0.05 else ""
    return Chat(tuple(turns), "|".join(keys), system)


def document(source: Source, mix: Mix, first: bool) -> tuple[str, Chat | Passage]:
    """The name of a task and an example; the first one of a row may be long."""
    weights = mix.weights()
    if first and source.length > 256 and source.rng.random() < mix.long_share:
        chance = source.rng.random()
        if chance < 0.78:
            return "long needles", TASKS["long needles"].sample(source)
        if chance < 0.9:
            many = replace(source, max_pairs=min(30, source.length // 16, source.reach // 24))
            return "pairs", TASKS["pairs"].sample(many)
        return "induction", TASKS["induction"].sample(source)
    name = source.rng.choices(list(weights), list(weights.values()))[0]
    if name in SHORT:
        return name, conversation(source, weights, name)
    return name, TASKS[name].sample(source)


@dataclass(frozen=True)
class Row:
    """Ids, loss weights and the task number (index in `TASKS`) of every token, each (length + 1,)."""

    ids: list[int]
    weights: list[float]
    tasks: list[int]


def row(source: Source, mix: Mix) -> Row:
    """Documents one after another, cut at `source.length` + 1 tokens."""
    ids: list[int] = []
    weights: list[float] = []
    tasks: list[int] = []
    size = source.length + 1
    while len(ids) < size:
        name, example = document(source, mix, not ids)
        found = encode_example(example)
        ids += found.ids
        weights += found.weights
        tasks += [_NUMBER[name]] * len(found.ids)
    return Row(ids[:size], weights[:size], tasks[:size])


@cache
def language_ids() -> tuple[int, ...]:
    """The ids that the language uses without rare words, sorted: a fixed sample of every task, some hundred ids."""
    source = Source(random.Random(0), max_pairs=8, length=256)
    found = {0, 1, 2} | {piece for mark in ".,?!:;" for piece in encode("a" + mark)}
    for task in TASKS.values():
        for _ in range(3000 if task.name in ("greetings", "world") else 400):
            found.update(encode_example(task.draw(source)).ids)
    return tuple(sorted(found))


__all__ = [
    "HELD_OUT_SHARE", "TASKS", "UNKNOWN_ANSWER", "Chat", "Encoded", "Mix", "Passage", "Row",
    "Source", "Task", "Turn", "conversation",
    "document", "encode", "encode_example", "held_out", "language_ids", "row", "wordlike",
]  # fmt: skip
