"""Statements that bind two things ("Tom has the hat."), asked in both directions over one or more turns."""

from collections.abc import Callable
from dataclasses import dataclass

from .base import UNKNOWN_ANSWER, Chat, Source, Task, Turn
from .words import COLOURS, NAMES, PLACES, THINGS, TOWNS, WORDS


@dataclass(frozen=True)
class Binding:
    """One kind of statement: how to draw n keys and values, the statement, and its questions.

    Each question is (text, answer, what it looks for: "b" or "a"); {a} is the key, {b} the value.
    """

    name: str
    keys: Callable[[Source, int], list[str]]
    values: Callable[[Source, int], list[str]]
    statement: str
    questions: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Bound:
    """A statement with all the turns that may ask for it."""

    statement: str
    turns: tuple[Turn, ...]
    key: str


def _from(pool: list[str]) -> Callable[[Source, int], list[str]]:
    return lambda source, count: source.rng.sample(pool, count)


def _any(source: Source, count: int) -> list[str]:
    return source.words(count)


def _places(source: Source, count: int) -> list[str]:
    return [source.rng.choice(PLACES) for _ in range(count)]


def _towns(source: Source, count: int) -> list[str]:
    return [source.rng.choice(TOWNS) for _ in range(count)]


def _digits(low: int, high: int) -> Callable[[Source, int], list[str]]:
    def draw(source: Source, count: int) -> list[str]:
        width = source.rng.randint(low, high)
        return [source.digits(width) for _ in range(count)]

    return draw


BINDINGS: dict[str, Binding] = {
    b.name: b
    for b in (
        Binding(
            "has", _from(NAMES), _from(THINGS), "{a} has the {b}.",
            (("What does {a} have?", "{a} has the {b}.", "b"), ("Who has the {b}?", "{a} has the {b}.", "a")),
        ),
        Binding(
            "likes", _from(NAMES), _any, "{a} likes {b}.",
            (("What does {a} like?", "{a} likes {b}.", "b"), ("Who likes {b}?", "{a} likes {b}.", "a")),
        ),
        Binding(
            "place", _from(THINGS), _places, "The {a} is near the {b}.",
            (("Where is the {a}?", "The {a} is near the {b}.", "b"),),
        ),
        Binding("lives", _from(NAMES), _towns, "{a} lives in {b}.", (("Where does {a} live?", "{a} lives in {b}.",
         "b"),)),
        Binding(
            "code", _from(NAMES), _digits(2, 5), "The code of {a} is {b}.",
            (("What is the code of {a}?", "The code of {a} is {b}.", "b"),),
        ),
        Binding(
            "key", _from(COLOURS), _digits(3, 5), "The {a} key is {b}.",
            (("What is the {a} key?", "The {a} key is {b}.", "b"),),
        ),
        Binding("equals", _any, _from(WORDS), "{a} = {b}.", (("{a} = ?", "{a} = {b}.", "b"),)),
    )
}  # fmt: skip
DRAWN = ("has", "has", "has", "likes", "likes", "place", "lives", "code", "code", "key", "equals", "equals")
BOTH_WAYS = ("has", "has", "likes", "likes", "has", "likes")


def ask(source: Source, items: list[Bound]) -> Turn:
    """A question about one of the statements."""
    turns = source.rng.choice(items).turns
    if source.backward == 0.5 or len(turns) == 1:
        return source.rng.choice(turns)
    return turns[1] if source.rng.random() < source.backward else turns[0]


def bind(source: Source, count: int, kind: str | None = None) -> list[Bound]:
    """`count` statements of one kind with different keys (fewer where the kind has fewer keys)."""
    binding = BINDINGS[kind or source.rng.choice(DRAWN)]
    limit = {"key": len(COLOURS), "has": len(THINGS), "place": len(THINGS)}.get(binding.name, len(NAMES))
    count = min(count, limit)
    keys, values = binding.keys(source, count), binding.values(source, count)
    if binding.name == "equals":
        values = [value if value not in keys else f"{value}" for value in values]
    found = []
    for a, b in zip(keys, values, strict=True):
        turns = tuple(
            Turn(q.format(a=a, b=b), answer.format(a=a, b=b), b if looks == "b" else a)
            for q, answer, looks in binding.questions
        )
        found.append(Bound(binding.statement.format(a=a, b=b), turns, f"{binding.name}|{a}|{b}"))
    return found


class Pairs(Task):
    """A few statements and questions about them; sometimes one about a key that was not told. Held out by the first."""

    name = "pairs"

    def draw(self, source: Source) -> Chat:
        rng = source.rng
        kind = rng.choice(DRAWN if source.backward == 0.5 else (*DRAWN, *BOTH_WAYS))
        items = bind(source, rng.randint(1 if rng.random() < 0.2 else 2, source.max_pairs) + 1, kind)
        told, absent = items[:-1], items[-1]
        if not told:
            told = items
        asked = [ask(source, told) for _ in range(rng.randint(1, 6))]
        if absent is not told[0] and kind not in ("equals",) and rng.random() < source.absent:
            question = rng.choice(absent.turns).question
            asked[rng.randrange(len(asked))] = Turn(question, UNKNOWN_ANSWER, UNKNOWN_ANSWER)
        asked = [Turn(source.relaxed(t.question), t.answer, t.value) for t in asked]
        text = " ".join(item.statement for item in told)
        first = Turn(f"{text} {asked[0].question}", asked[0].answer, asked[0].value)
        return Chat((first, *asked[1:]), told[0].key)
