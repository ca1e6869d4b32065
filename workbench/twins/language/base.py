"""What a task of the language returns, and the source of chance it draws from."""

import hashlib
import random
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TypeVar

from . import words

HELD_OUT_SHARE = 0.12
UNKNOWN_ANSWER = "Sorry, I do not know that."

T = TypeVar("T")


@dataclass(frozen=True)
class Turn:
    """One question and its answer; `value` holds the words of the answer that carry the information asked for."""

    question: str
    answer: str
    value: str = ""


@dataclass(frozen=True)
class Chat:
    """A conversation; `key` is what the held-out split hashes, `system` goes before the first question."""

    turns: tuple[Turn, ...]
    key: str
    system: str = ""


@dataclass(frozen=True)
class Passage:
    """Plain text without chat format: words and the loss weight of each word's pieces, both (word,)."""

    words: tuple[str, ...]
    weights: tuple[float, ...]
    key: str


@dataclass
class Source:
    """Chance and its limits for one batch: the same seed gives the same language.

    `rare_words` are words outside the closed vocabulary, `rare_share` how often a task that can use any word takes
    them, `max_pairs` the largest set of statements, `length` the tokens of a row, `reach` the largest distance in
    tokens between a needle and its question (the window of the model that is trained), `backward` how often a
    statement that can be asked both ways is asked for its first part ("Who has the hat?"), `absent` how often
    something is asked that was not told.
    """

    rng: random.Random
    rare_words: list[str] = field(default_factory=list)
    rare_share: float = 0.0
    max_pairs: int = 8
    length: int = 512
    reach: int = 10**9
    backward: float = 0.5
    absent: float = 0.12

    def words(self, count: int) -> list[str]:
        """`count` different words, all rare or all of the closed vocabulary."""
        if len(self.rare_words) >= count and self.rng.random() < self.rare_share:
            return self.rng.sample(self.rare_words, count)
        return self.rng.sample(words.WORDS, count)

    def digits(self, count: int) -> str:
        """`count` random digits as text."""
        return "".join(self.rng.choice("0123456789") for _ in range(count))

    def casual(self, text: str) -> str:
        """`text` as a person might type it: sometimes in lower case, without its last mark, or with another one."""
        chance = self.rng.random()
        if chance < 0.62:
            return text
        if chance < 0.74:
            return text.lower()
        if chance < 0.84:
            return text.rstrip("?.! ") or text
        if chance < 0.96:
            return text.rstrip("?.! ").lower() or text
        return text.rstrip("?.! ") + ("!" if not text.endswith("?") else "??")

    def relaxed(self, text: str) -> str:
        """`text` with names kept: sometimes the first letter small or the last mark missing."""
        chance = self.rng.random()
        if chance < 0.7:
            return text
        if chance < 0.8:
            return text[0].lower() + text[1:]
        return text.rstrip("?. ") if chance < 0.9 else text[0].lower() + text[1:].rstrip("?. ")


def normalized(text: str) -> str:
    """`text` in lower case without punctuation: variants of case and marks fall on the same side of the split."""
    return " ".join("".join(c if c.isalnum() or c == " " else " " for c in text.lower()).split())


def held_out(task: str, key: str) -> bool:
    """True for the share of keys that training never sees (`HELD_OUT_SHARE`, by hash, the same on every machine).

    The empty key is never held out: a task gives it to what could not be known without having seen it.
    """
    if not key:
        return False
    digest = hashlib.sha256(f"{task}|{key}".encode()).hexdigest()
    return int(digest[:8], 16) / 2**32 < HELD_OUT_SHARE


class Task(ABC):
    """One thing the twins learn. A new task is one file and one row of the table in `__init__`."""

    name: str

    @abstractmethod
    def draw(self, source: Source) -> Chat | Passage:
        """A random example, held out or not."""

    def sample(self, source: Source, held: bool = False) -> Chat | Passage:
        """A random example from the wanted side of the split."""
        for _ in range(10_000):
            example = self.draw(source)
            if held_out(self.name, example.key) == held:
                return example
        raise RuntimeError(f"task {self.name} has no {'held-out' if held else 'training'} examples")
