"""Needles: pass keys, codes, secret words and facts hidden in filler sentences, asked at the end of the text."""

from . import words
from .base import UNKNOWN_ANSWER, Chat, Source, Task, Turn
from .pairs import Bound, ask, bind

KINDS = ("pass key", "code", "key", "has", "likes", "lives", "secret word")
TURN_TOKENS = 30  # a question and its answer, at most
STOCK = (
    "The grass is green.",
    "The sky is blue.",
    "The sun is yellow.",
    "Here we go.",
    "There and back again.",
    "It was a quiet day.",
)


def sentence(source: Source) -> str:
    """One filler sentence: stock, made of the closed vocabulary, or a row of rare words."""
    rng = source.rng
    chance = rng.random()
    if chance < 0.3:
        return rng.choice(STOCK)
    if source.rare_words and chance < 0.3 + 0.25 * source.rare_share:
        return " ".join(rng.sample(source.rare_words, rng.randint(4, 10))) + "."
    subject = f"The {rng.choice(words.ADJECTIVES)} {rng.choice(words.ANIMALS)}"
    return f"{subject} {rng.choice(words.VERBS)} {rng.choice(words.PREPOSITIONS)} the {rng.choice(words.PLACES)}."


def filler(source: Source, tokens: int) -> list[str]:
    """Sentences of about `tokens` tokens, never more (a word counts one and its full stop one)."""
    found: list[str] = []
    total = 0
    while True:
        text = sentence(source)
        total += text.count(" ") + 2
        if total > tokens:
            return found
        found.append(text)


def hidden(source: Source, kind: str, count: int = 1) -> list[Bound]:
    """`count` needles of one kind (pass key and secret word: one)."""
    if kind == "pass key":
        value = source.digits(source.rng.randint(3, 6))
        turn = Turn("What is the pass key?", f"The pass key is {value}.", value)
        return [Bound(f"The pass key is {value}. Remember it.", (turn,), value)]
    if kind == "secret word":
        value = source.words(1)[0]
        turn = Turn("What is the secret word?", f"The secret word is {value}.", value)
        return [Bound(f"The secret word is {value}.", (turn,), value)]
    return bind(source, count, kind)


def planted(source: Source, tokens: int, depth: float, item: Bound, question: int = 0) -> Chat:
    """A chat of about `tokens` tokens with one needle at `depth` (0 start of the text, 1 just before the question)."""
    room = max(0, tokens - len(item.statement.split()) - 24)
    before = filler(source, int(depth * room))
    after = filler(source, room - int(depth * room))
    turn = item.turns[question % len(item.turns)]
    text = " ".join([*before, item.statement, *after, turn.question])
    return Chat((Turn(text, turn.answer, turn.value),), item.key)


class Needles(Task):
    """One to many needles in a text that fills `source.length`, none of them farther away than `source.reach`."""

    name = "needles"

    def text_length(self, source: Source) -> int:
        return source.rng.randint(30, max(40, min(source.length - 60, 260)))

    def draw(self, source: Source) -> Chat:
        rng = source.rng
        tokens = self.text_length(source)
        many = (1, 1, 1, 2, 3, 4, 6) if tokens < 500 else (1, 1, 4, 8, 12, 16)
        items = hidden(source, rng.choice(KINDS), rng.choice(many))
        extra: list[Bound] = []
        if tokens > 120 and rng.random() < 0.5:
            extra = hidden(source, rng.choice(KINDS), rng.choice(many))
            if extra[0].turns[0].question.split()[:3] == items[0].turns[0].question.split()[:3]:
                extra = []
        items = items + extra
        rng.shuffle(items)
        told = sum(len(item.statement.split()) + 6 for item in items)
        most = max(1, min(2 * len(items), (source.reach - told - 60) // TURN_TOKENS))
        count = 1 if len(items) == 1 else rng.randint(min(2, most), most)
        asked = [ask(source, items) for _ in range(count)]
        missing = rng.random() < 0.4 * source.absent and len(items) == 1
        near = min(tokens, max(20, source.reach + 16 - TURN_TOKENS * len(asked) - told))
        cuts = sorted(1 - near / tokens * rng.random() for _ in items)
        if len(items) == 1 and rng.random() < 0.3:
            cuts = [rng.choice((1.0, 1 - near / tokens))]
        room = max(0, tokens - told - 16)
        parts: list[str] = []
        previous = 0.0
        for cut, item in zip(cuts, items, strict=True):
            parts += filler(source, int((cut - previous) * room))
            if not missing:
                parts.append(item.statement)
            previous = cut
        parts += filler(source, int((1 - previous) * room))
        if missing:
            asked = [Turn(asked[0].question, UNKNOWN_ANSWER, UNKNOWN_ANSWER)]
        asked = [Turn(source.relaxed(t.question), t.answer, t.value) for t in asked]
        first = Turn(" ".join([*parts, asked[0].question]), asked[0].answer, asked[0].value)
        return Chat((first, *asked[1:]), "|".join(item.key for item in items))


class LongNeedles(Needles):
    """Needles in a text that nearly fills the row."""

    name = "long needles"

    def text_length(self, source: Source) -> int:
        if source.length < 1000:
            return source.rng.randint(source.length // 4, source.length - 70)
        # Answers are few among so many tokens: leave room for more questions in some rows.
        return source.rng.randint(source.length // 3, source.length - 70 - source.rng.choice((0, 0, 150, 300, 450)))
