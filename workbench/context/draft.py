"""A question before it has a length, and the fitting of it to an exact number of tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from workbench.chat.encoding import count_tokens, encode
from workbench.chat.prompt import EncodedPrompt
from workbench.errors import ContextLengthError
from workbench.models import Tokenizer

FORMS = ("chat", "plain")
_PAD = "and so the day went on".split()
_TRIES = 12


@dataclass(frozen=True)
class Draft:
    """``head``, as many ``units`` as fit with the ``needles`` between them, ``tail``; joined by ``joiner``.

    ``units(n)`` are the first n pieces of filler. Needle i goes behind round(depths[i] n) of them. ``lead`` begins the
    answer in the plain form. ``references`` and ``expected``: see `Item`. ``padded``: where the words go that fill up
    to the exact length: "end" of the units, or "start" of the text where the units are no prose.
    """

    head: str
    tail: str
    units: Callable[[int], Sequence[str]]
    needles: tuple[str, ...]
    depths: tuple[float, ...]
    references: tuple[str, ...]
    expected: str
    lead: str = ""
    joiner: str = " "
    padded: str = "end"

    def compose(self, count: int, pad: str, lead: bool) -> tuple[str, list[tuple[int, int]]]:
        """The text with ``count`` units and ``pad``, and the character range of each needle in it."""
        units = list(self.units(count))
        places = [min(round(depth * len(units)), len(units)) for depth in self.depths]
        text = f"{pad} {self.head}" if pad and self.padded == "start" else self.head
        spans: list[tuple[int, int]] = [(0, 0)] * len(self.needles)
        first = True

        def add(part: str) -> tuple[int, int]:
            nonlocal text, first
            text += part if first else self.joiner + part
            first = False
            return len(text) - len(part), len(text)

        for i in range(len(units) + 1):
            for needle, place in enumerate(places):
                if place == i:
                    spans[needle] = add(self.needles[needle])
            if i < len(units):
                add(units[i])
        if pad and self.padded == "end":
            add(pad)
        text += self.tail
        return text + (self.lead if lead else ""), spans


Fitted = tuple[EncodedPrompt, tuple[tuple[int, int], ...]]


def fit(tokenizer: Tokenizer, draft: Draft, tokens: int, form: str) -> Fitted:
    """``draft`` as a prompt of exactly ``tokens`` tokens, and the token range [start, stop) of each needle.

    The largest number of units that fits is taken, and common words fill up the rest. Raises ContextLengthError when
    head, needles and tail alone are longer, or when the filler ends before.
    """

    def put(text: str) -> str | list[dict[str, str]]:
        return text if form == "plain" else [{"role": "user", "content": text}]

    def size(count: int, pad: str = "") -> int:
        return count_tokens(tokenizer, put(draft.compose(count, pad, form == "plain")[0]))

    bare = size(0)
    if bare > tokens:
        raise ContextLengthError(
            f"The question alone has {bare} tokens",
            expected=f"at most {tokens} here",
            remedy="Ask for a longer context",
        )
    count = _most(size, lambda n: len(draft.units(n)), bare, tokens)
    for fewer in range(3):
        units = max(0, count - fewer)
        words = tokens - size(units)
        for _ in range(_TRIES):
            missing = tokens - size(units, _pad(words))
            if not missing:
                text, spans = draft.compose(units, _pad(words), form == "plain")
                prompt = encode(tokenizer, put(text))
                return prompt, _places(prompt, text, spans)
            words += missing
            if words < 0:
                break
    raise ContextLengthError(
        f"No text of exactly {tokens} tokens was found for this tokenizer", remedy="Ask for another length"
    )


def _most(size: Callable[[int], int], there: Callable[[int], int], bare: int, tokens: int) -> int:
    """The largest n with size(n) <= tokens, given that size grows with n; by secants, then by halving. ``there(n)`` is
    how many of n units exist."""
    low, known, high = 0, bare, 8
    while True:
        high = min(high, there(high))
        found = size(high)
        if found > tokens:
            break
        if there(high + 1) == high:
            raise ContextLengthError(
                f"The haystack ends after {high} sentences; with the question it has {found} tokens",
                expected=f"more than {tokens}", remedy="Give a longer text, or ask for a shorter context",
            )  # fmt: skip
        rate = max(1e-9, (found - known) / max(1, high - low))
        low, known = high, found
        high += max(1, min(high + 64, int((tokens - found) / rate) + 1))
    while high - low > 1:
        middle = (low + high) // 2
        if size(middle) <= tokens:
            low = middle
        else:
            high = middle
    return low


def _pad(words: int) -> str:
    return " ".join(_PAD[i % len(_PAD)] for i in range(words))


def _places(prompt: EncodedPrompt, text: str, spans: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The tokens that hold each character range of ``text``, which stands somewhere in the prompt's."""
    start = prompt.text.find(text)
    if start < 0:  # a template that took off white space at the ends
        start = prompt.text.find(text.strip()) - (len(text) - len(text.lstrip()))
    found = []
    for low, high in spans:
        low, high = low + start, high + start
        held = [i for i, span in enumerate(prompt.spans) if span and span[0] < high and span[1] > low]
        found.append((held[0], held[-1] + 1) if held else (0, 0))
    return tuple(found)
