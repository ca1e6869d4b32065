"""Which layers, heads and positions a request names: words, integers and slices, checked and counted."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from workbench.errors import CaptureError

Positions = Literal["last", "generated", "all"] | int | slice | Sequence[int]
Choice = Literal["all"] | int | slice | Sequence[int]


def block_size(tokens: int, pool: int) -> int:
    """Tokens a block so that ``tokens`` make at most ``pool`` blocks; 1 when they fit as they are."""
    return max(1, -(-tokens // max(1, pool)))


def growing_block_size(tokens: int, pool: int) -> int:
    """As `block_size`, but a power of two: when a text grows, its blocks stay as they are or merge whole.

    >>> [growing_block_size(tokens, 256) for tokens in (256, 257, 600, 2048)]
    [1, 2, 4, 8]
    """
    return 1 << (block_size(tokens, pool) - 1).bit_length()


def choose(wanted: Choice, size: int, noun: str) -> list[int]:
    """The chosen indices of ``size`` layers or heads, ascending; CaptureError when one does not exist."""
    if isinstance(wanted, str):
        if wanted != "all":
            raise CaptureError(f'{noun}s are "{wanted}"', expected=f'"all", integers or a slice of 0 to {size - 1}')
        return list(range(size))
    if isinstance(wanted, slice):
        try:
            return sorted(range(size)[wanted])
        except (TypeError, ValueError):  # ends that are no numbers, a step of 0
            raise CaptureError(f"{noun}s are {wanted}", expected="a slice of whole numbers") from None
    picked: list[Any] = list(wanted) if isinstance(wanted, list | tuple | range) else [wanted]
    for index in picked:
        if not whole(index) or not -size <= index < size:
            raise CaptureError(
                f"{noun} {index} does not exist",
                expected=f"{noun}s 0 to {size - 1}",
                remedy=f"Choose among the {size} {noun}s of this model",
            )
    return sorted({index % size for index in picked})


def chosen(wanted: Positions, tokens: int, noun: str) -> set[int] | None:
    """The chosen positions of a prompt of ``tokens`` as a set; None for "all". Negative ones count from its end."""
    if isinstance(wanted, str):
        if wanted not in ("last", "generated", "all"):
            raise CaptureError(f'{noun}s are "{wanted}"', expected='"last", "generated", "all", integers or a slice')
        return None if wanted == "all" else {tokens - 1}
    return set(choose(wanted, tokens, noun))


def count(wanted: Positions, tokens: int, new_tokens: int) -> int:
    """How many positions `chosen` names in a run that reads ``tokens`` and generates up to ``new_tokens``."""
    if isinstance(wanted, str) and wanted == "all":
        return tokens + new_tokens
    picked = chosen(wanted, tokens, "position")
    return len(picked or ()) + (new_tokens if isinstance(wanted, str) else 0)


def settle(part: Any, *names: str) -> None:
    """Make the numbers of these fields Python's own, as numpy and torch give them too; what is none stays, and `check`
    refuses it. An iterator would be used up by the first look at it."""
    for name in names:
        value = getattr(part, name)
        if isinstance(value, Iterable) and not isinstance(value, str) and getattr(value, "ndim", None) != 0:
            value = [_number(item) for item in value]
        elif isinstance(value, slice):
            value = slice(_number(value.start), _number(value.stop), _number(value.step))
        else:
            value = _number(value)
        object.__setattr__(part, name, value)


def _number(value: Any) -> Any:
    """``value`` as an int where it is a whole number; True and False are none."""
    try:
        return value if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return value


def whole(value: Any) -> bool:
    """Whether ``value`` is an integer; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def some(picked: list[int], noun: str, without: str) -> None:
    """CaptureError when nothing is picked; ``without`` is the setting that records none."""
    if not picked:
        raise CaptureError(f"No {noun} is chosen", expected="at least one", remedy=f"Set {without} to record none")


class Reading:
    """A run's tokens as they are fed, and which positions of each forward are wanted.

    ``positions`` are absolute, None for all; ``follows`` adds every position from there on (those that choose the
    generated tokens). After `read`: ``at``, the wanted positions of this forward, ascending, and ``rows``, the index
    that takes them out of its (n, ...) tensors.
    """

    def __init__(self, positions: set[int] | None, follows: int | None = None) -> None:
        self._positions, self._follows = positions, follows
        self.ids: list[int] = []
        self.at: list[int] = []
        self.rows: slice | list[int] = slice(0, 0)

    @classmethod
    def of(cls, wanted: Positions, prompt: int) -> Reading:
        """The positions that a capture names, in a run that starts with a prompt of ``prompt`` tokens."""
        return cls(chosen(wanted, prompt, "position"), prompt - 1 if isinstance(wanted, str) else None)

    def read(self, ids: list[int]) -> None:
        """``ids`` are about to be fed."""
        span = range(len(self.ids), len(self.ids) + len(ids))
        self.ids.extend(ids)
        self.at = self.among(span.start, span.stop)
        self.rows = slice(None) if len(self.at) == len(span) else [position - span.start for position in self.at]

    def among(self, first: int, end: int) -> list[int]:
        """The wanted positions of ``first`` to ``end`` - 1."""
        return [position for position in range(first, end) if self._wants(position)]

    def resume(self, ids: list[int]) -> None:
        """``ids`` were fed to an earlier run; what is fed next follows them."""
        self.ids = list(ids)

    def chose(self, token: int) -> None:
        """The last token generated, which is never fed: it follows the last position read."""
        self.ids.append(token)

    def next_tokens(self, positions: Iterable[int]) -> list[int]:
        """The token after each position, -1 where none is known."""
        return [self.ids[p + 1] if p + 1 < len(self.ids) else -1 for p in positions]

    def _wants(self, position: int) -> bool:
        return (
            self._positions is None
            or position in self._positions
            or (self._follows is not None and position >= self._follows)
        )


def some_of(wanted: slice, size: int, noun: str) -> list[int]:
    """The positions of a slice of 0 to ``size`` - 1, ascending; CaptureError when it is none or names nothing."""
    if not isinstance(wanted, slice):
        raise CaptureError(f"The {noun} are {wanted!r}", expected="a slice of positions, as slice(0, 256)")
    found = choose(wanted, size, noun.removesuffix("s"))
    if not found:
        raise CaptureError(f"The {noun} are empty", expected=f"some of 0 to {size - 1}")
    return found
