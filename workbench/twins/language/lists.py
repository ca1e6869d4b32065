"""Work on a list of words: repeat, reverse, first, last, count."""

from .base import Chat, Source, Task, Turn
from .words import NUMBERS


class Lists(Task):
    """One instruction on 2 to 8 different words; held out by the words."""

    name = "lists"
    kinds = ("repeat", "reverse", "reverse", "first", "last", "count")

    def turn(self, source: Source, kind: str | None = None) -> Turn:
        rng = source.rng
        kind = kind or rng.choice(self.kinds)
        chosen = source.words(rng.randint(2, 8 if kind == "repeat" else 6))
        text = " ".join(chosen)
        if kind == "repeat":
            return Turn(
                rng.choice(("Repeat: ", "Repeat these words: ", "Say: ", "Repeat after me: ")) + text, text, text
            )
        if kind == "reverse":
            turned = " ".join(reversed(chosen))
            return Turn(rng.choice(("Reverse: ", "Reverse these words: ", "Say in reverse: ")) + text, turned, turned)
        if kind in ("first", "last"):
            word = chosen[0 if kind == "first" else -1]
            return Turn(f"What is the {kind} word of: {text}", f"The {kind} word is {word}.", word)
        count = NUMBERS[len(chosen)]
        ask = rng.choice(("Count the words: ", "How many words are in: "))
        return Turn(ask + text, f"There are {count} words.", count)

    def draw(self, source: Source) -> Chat:
        turn = self.turn(source)
        return Chat((turn,), turn.question)
