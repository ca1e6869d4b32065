"""How much of each text is really read when texts that begin alike are read once, and what that costs a model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from workbench.capture.cost import seen
from workbench.models.shape import ModelShape

if TYPE_CHECKING:
    from workbench.context.task import Task

_TAIL = 12
"""About how many tokens of a question stand behind the filler."""
SPREAD = 0.04
"""A text of which less than this is known is read whole and kept as well: those with the needle at the beginning."""


def places_of(lengths: Sequence[int], depths: Sequence[float], deep: bool = True) -> tuple[tuple[int, float], ...]:
    """(length, depth) in the order that reads least: the longest with the latest needle first. One depth a length
    where the question has none (``deep``)."""
    ordered: Sequence[float] = sorted(depths, reverse=True) if deep else (0.5,)
    return tuple((length, depth) for length in sorted(lengths, reverse=True) for depth in ordered)


def readings(places: Iterable[tuple[int, float]], task: Task) -> list[tuple[int, int]]:
    """For each place in its order, about which tokens [start, stop) are read, the expected answer among them.

    The task's ``budget`` tokens of each length are the answer's, about half of which an answer takes. What an earlier
    text has in common is not read again: up to the needle, or up to the question where both have the needle at the
    beginning; for tasks whose texts are not ``alike`` at different lengths, only of texts of the same length. Worked
    example, alike: lengths 1000 and 500 at depths 1, 0.5, 0 read 1000 + 500 + 1000 and hardly anything + 250 + hardly
    anything.
    """
    found, trunk, other, last = [], 0, 0, 0
    for length, depth in places:
        text = length - task.budget
        stop = text + task.budget // 2
        filler = max(0, text - _TAIL)
        if not trunk or not task.deep or (length != last and not task.alike):
            start, trunk = 0, text
        elif depth <= SPREAD:
            start = min(filler, other) if task.alike else 0
            other = max(other, text)
        else:
            start = min(int(depth * filler), trunk)
        last = length
        found.append((start, stop))
    return found


def flop(shape: ModelShape, start: int, stop: int) -> int:
    """Floating-point operations (a multiply-add is two) of reading tokens [start, stop) of a text: every layer's
    matrices, attention within the window, and the unembedding of one token.

    Attention is 4 head_dim for each pair of a query and a key that it sees, each head and layer (scores and values).
    """
    matrices = 2 * shape.layers * sum(shape.matrices.values()) * (stop - start)
    pairs = seen(stop, shape.window) - seen(start, shape.window)
    return matrices + 4 * shape.layers * shape.heads * shape.head_dim * pairs + 2 * shape.embedding
