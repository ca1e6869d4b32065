"""What the twin cannot know: it says so."""

from .base import UNKNOWN_ANSWER, Chat, Source, Task, Turn
from .pairs import bind
from .words import NAMES, WORDS

OPENINGS = (
    "What is", "Who is", "What is a", "Tell me about", "How", "Why", "Can you", "Write", "Explain", "How do I",
    "When did",
    "Where was", "Who wrote", "Give me", "What do you think of", "Is it", "Write a poem about", "Translate", "Please",
    "How many", "Which", "Do you know", "Describe", "Summarise", "What happened in", "Who won", "How much", "Should I",
    "Write code for", "What is the meaning of", "What is the weather in", "What time is it in", "Who invented",
)  # fmt: skip
WITHIN_WORLD = (
    "What is the capital of {w}?", "What is the opposite of {w}?", "What colour is {w}?", "What does a {w} say?",
    "Where is {w}?", "What comes after {w}?", "How many legs does a {w} have?",
)  # fmt: skip
FIXED = (
    "What is the meaning of life?", "What is the weather today?", "What time is it?", "What day is it?",
    "What is the date?",
    "Who is the president?", "Write a poem.", "Tell me a story.", "Write a story.", "What is love?",
    "Why is the sky blue?",
    "Who won the world cup?", "How do I cook rice?", "What is the news?", "Where am I?", "How tall is a mountain?",
    "What is quantum physics?", "Explain gravity.", "Write a program in Python.", "Who is the king of England?",
    "What is the speed of light?", "What is your phone number?", "What am I thinking?", "Can you sing?", "Play music.",
    "What is in my pocket?", "What is the answer?", "When is my birthday?", "How old am I?", "Where do I live?",
    "What did I say?", "What is the pass key?", "What is the secret word?", "What is the code?",
)  # fmt: skip
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Unknown(Task):
    """Questions with words of no meaning here, questions about what was not told, and noise. Held out by the text."""

    name = "unknown"

    def question(self, source: Source) -> str:
        rng = source.rng
        rare = source.rare_words or WORDS

        def some(low: int, high: int) -> str:
            return " ".join(rng.sample(rare, rng.randint(low, high)))

        chance = rng.random()
        if chance < 0.14:
            return some(1, 7)
        if chance < 0.34:
            return rng.choice(WITHIN_WORLD).format(w=rng.choice(rare))
        if chance < 0.64:
            return f"{rng.choice(OPENINGS)} {some(1, 6)}{rng.choice(('?', '?', '.', ''))}"
        if chance < 0.72:
            return rng.choice(
                bind(source, 1, rng.choice(("has", "likes", "place", "lives", "code", "key")))[0].turns
            ).question
        if chance < 0.82:
            return rng.choice(FIXED)
        if chance < 0.90:
            return " ".join(
                "".join(rng.choice(_LETTERS) for _ in range(rng.randint(2, 9))) for _ in range(rng.randint(1, 4))
            )
        mixed = rng.sample(rare, rng.randint(1, 4)) + rng.sample(WORDS, rng.randint(1, 3)) + [rng.choice(NAMES)]
        rng.shuffle(mixed)
        return " ".join(mixed) + rng.choice(("?", ".", "", "!"))

    def draw(self, source: Source) -> Chat:
        text = self.question(source)
        return Chat((Turn(source.casual(text), UNKNOWN_ANSWER, UNKNOWN_ANSWER),), text)
