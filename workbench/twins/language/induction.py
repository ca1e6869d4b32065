"""Text that repeats itself: the loss falls only where an earlier part of the text decides what comes."""

from .base import Passage, Source, Task
from .needles import filler
from .pairs import bind
from .words import WORDS

DETERMINED = 0.7


class Induction(Task):
    """Random words, then parts of them again, sometimes with filler between."""

    name = "induction"

    def draw(self, source: Source) -> Passage:
        rng = source.rng
        longest = max(8, min(source.length // 3, 100))
        count = rng.randint(4, longest) if rng.random() < 0.5 else rng.randint(3, 16)
        rare = len(source.rare_words) >= count and rng.random() < 1.6 * source.rare_share
        segment = rng.sample(source.rare_words if rare else WORDS, count)
        text, weights = list(segment), [0.0] * count
        while len(text) < min(source.length, 5 * count):
            if source.length > 64 and rng.random() < 0.3:
                between = " ".join(filler(source, rng.randint(8, 40))).split()
                text += between
                weights += [0.1] * len(between)
            start = rng.randint(0, count // 2) if rng.random() < 0.5 else 0
            end = rng.randint(min(count, start + 3), count)
            if end - start < 2:
                start, end = 0, count
            text += segment[start:end]
            weights += [0.0] + [DETERMINED] * (end - start - 1)
        return Passage(tuple(text), tuple(weights), " ".join(segment))


class Statements(Task):
    """Statements of one kind, then the same ones again in other orders: the key decides the value."""

    name = "statements"

    def draw(self, source: Source) -> Passage:
        rng = source.rng
        items = bind(
            source,
            rng.randint(2, source.max_pairs + 1),
            rng.choice(("has", "likes", "equals", "equals", "code", "key")),
        )
        text: list[str] = []
        weights: list[float] = []
        for item in items:
            text += item.statement.split()
            weights += [0.05] * len(item.statement.split())
        once = len(text)
        while len(text) < min(source.length, 4 * once):
            for item in rng.sample(items, len(items)):
                said = item.statement.split()
                text += said
                weights += [0.05] * (len(said) - 1) + [3.0]
        return Passage(tuple(text), tuple(weights), items[0].key)


class Backward(Task):
    """Statements of one kind, then what some things belong to ("hat: Tom." or "hat Tom."): the value decides the key.

    Dense practice for questions like "Who has the hat?", whose answer stands before what is asked.
    """

    name = "backward"

    def draw(self, source: Source) -> Passage:
        rng = source.rng
        items = bind(source, rng.randint(2, max(2, source.max_pairs)), rng.choice(("has", "has", "likes", "equals")))
        text: list[str] = []
        weights: list[float] = []
        for item in items:
            text += item.statement.split()
            weights += [0.05] * len(item.statement.split())
        mark = rng.choice(("", "", ":"))
        # One fewer than told, so that the last is not found by elimination.
        for item in rng.sample(items, len(items) - 1):
            _, key, value = item.key.split("|")
            text += [f"{value}{mark}", f"{key}."]
            weights += [0.05, 3.0]
        return Passage(tuple(text), tuple(weights), items[0].key)
