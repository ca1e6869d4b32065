"""What a needle is hidden in: sentences drawn by a seed, the pass key's repeated noise, or a text of one's own."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path

from workbench.errors import PromptError

NOISE = (
    "The grass is green.", "The sky is blue.", "The sun is yellow.", "Here we go.", "There and back again.",
)  # fmt: skip
"""The repeated sentence of the pass key (landmark-attention, llama/run_test.py), in parts."""

_ADJECTIVES = "old young big small happy sad brown white black quiet fast slow tired little brave kind".split()
_ANIMALS = "cat dog cow horse lion bear bird fish sheep duck pig mouse".split()
_VERBS = "sat slept walked ran played waited stood rested danced jumped stayed".split()
_PLACES = "house tree river lake hill garden park bridge road school church field door window table bed".split()
_PREPOSITIONS = "near under behind by over in".split()
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True)
class Haystack:
    """Sentences in order, as many as asked for. ``name`` says which; two of one name, seed and case are equal, and a
    shorter one is the beginning of a longer one, so that questions share what stands before their needles."""

    name: str
    _stream: Callable[[int, int], Iterator[str]] = field(repr=False)
    digest: str = ""
    """The first eight hexadecimal digits of the text's SHA-256; "" for those that are made by rule."""

    @property
    def label(self) -> str:
        """The name, and for a text of one's own which one: two files may have one name."""
        return f"{self.name} {self.digest}".strip()

    def sentences(self, count: int, seed: int, case: int) -> list[str]:
        """The first ``count``; all there are where those are fewer."""
        return list(islice(self._stream(seed, case), count))


def drawn() -> Haystack:
    """Small sentences of common words, drawn by seed and case; they never end."""

    def stream(seed: int, case: int) -> Iterator[str]:
        rng = random.Random(f"haystack/{seed}/{case}")
        while True:
            who = f"{rng.choice(_ADJECTIVES)} {rng.choice(_ANIMALS)}"
            where = f"{rng.choice(_PREPOSITIONS)} the {rng.choice(_PLACES)}"
            yield f"The {who} {rng.choice(_VERBS)} {where}."

    return Haystack("drawn", stream)


def noise() -> Haystack:
    """The pass key's sentences, over and over."""
    return Haystack("noise", lambda seed, case: cycle(NOISE))


def of_text(text: str, name: str = "text") -> Haystack:
    """The sentences of ``text``, from its beginning. Raises PromptError for a text without any."""
    found = [part.strip() for part in _SENTENCE_END.split(text) if part.strip()]
    if not found:
        raise PromptError(f"The haystack {name!r} has no text", expected="sentences to hide something in")
    return Haystack(name, lambda seed, case: iter(found), hashlib.sha256(text.encode()).hexdigest()[:8])


def read_haystack(wanted: str | Path | Haystack) -> Haystack:
    """ "drawn", "noise", or the path of a text file in UTF-8. Raises PromptError for anything else."""
    if isinstance(wanted, Haystack):
        return wanted
    if wanted in ("drawn", "noise"):
        return drawn() if wanted == "drawn" else noise()
    try:
        return of_text(Path(wanted).read_text(encoding="utf-8"), Path(wanted).name)
    except (OSError, UnicodeDecodeError, ValueError):
        raise PromptError(
            f"The haystack {str(wanted)[:80]!r} cannot be read", expected='"drawn", "noise" or a text file in UTF-8'
        ) from None
