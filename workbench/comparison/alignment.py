"""Which token of one text stands for which of another: by index while the ids agree, by their order afterwards."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from workbench.inspection.inspection import Inspection

Side = Literal["a", "b"]
MOST_CELLS = 2**21
"""Of one table of `matching`: 1400 tokens against 1400."""
_MATCH, _RUN = 2, 1  # a pair of equal tokens, and what it is worth more right after another pair


@dataclass(frozen=True)
class Alignment:
    """Pairs of positions with equal ids, both ascending. The first ``common`` positions agree by index: everything up
    to there was read in the same context by both. ``lengths`` are the tokens of the two texts."""

    common: int
    pairs: np.ndarray
    """(n, 2) int32 positions in a and in b, all at or after ``common``; what is in no pair stays unmatched."""
    lengths: tuple[int, int]

    @property
    def same(self) -> bool:
        """Both texts have the same ids."""
        return self.common == self.lengths[0] == self.lengths[1]

    def counterpart(self, position: int, side: Side = "a") -> int | None:
        """The position in the other text that stands for ``position`` of text ``side``; None where nothing does."""
        if 0 <= position < self.common:
            return position
        return self._later[side].get(position)

    @cached_property
    def _later(self) -> dict[str, dict[int, int]]:
        forward = {int(a): int(b) for a, b in self.pairs}
        return {"a": forward, "b": {b: a for a, b in forward.items()}}


def align(a: Sequence[int], b: Sequence[int], starts: tuple[int, int] | None = None) -> Alignment:
    """The alignment of the ids ``a`` and ``b``. With ``starts``, the positions where the replies begin, a prompt's
    tokens are matched with a prompt's and a reply's with a reply's."""
    one, other = np.asarray(a, np.int64), np.asarray(b, np.int64)
    common = _agreeing(one, other)
    cut = [max(common, start) for start in starts or (common, common)]
    prompts = matching(one[common : cut[0]], other[common : cut[1]]) + common
    replies = matching(one[cut[0] :], other[cut[1] :]) + np.array([cut], np.int32)
    return Alignment(common, np.concatenate([prompts, replies]), (len(one), len(other)))


def align_runs(a: Inspection, b: Inspection) -> Alignment:
    """The alignment of two inspections' tokens."""
    return align(a.ids.tolist(), b.ids.tolist(), (a.prompt_length, b.prompt_length))


def matching(a: np.ndarray, b: np.ndarray, most_cells: int = MOST_CELLS) -> np.ndarray:
    """Pairs (n, 2) int32 of indices with equal ids, ascending on both sides. Beginnings and ends that agree are paired;
    between them the best table counts (Needleman and Wunsch, 1970): 2 for a pair, 1 more where it follows a pair at
    once, gaps free, no mismatches.

    Texts too long for a table of ``most_cells`` are first cut at tokens that each of them has once, as in Bram Cohen's
    patience difference; a stretch between two such tokens that is still too long stays unmatched.
    """
    begin = _agreeing(a, b)
    end = _agreeing(a[begin:][::-1], b[begin:][::-1])
    inner_a, inner_b = a[begin : len(a) - end], b[begin : len(b) - end]
    pieces = [_diagonal(0, 0, begin)]
    if (len(inner_a) + 1) * (len(inner_b) + 1) <= most_cells:
        pieces.append(_table(inner_a, inner_b) + begin)
    else:
        anchors = _anchors(inner_a, inner_b)
        low = np.zeros(2, np.int32)
        for at in [*anchors, np.array([len(inner_a), len(inner_b)], np.int32)]:
            if (at[0] - low[0] + 1) * (at[1] - low[1] + 1) <= most_cells:
                pieces.append(_table(inner_a[low[0] : at[0]], inner_b[low[1] : at[1]]) + low + begin)
            if at[0] < len(inner_a):
                pieces.append(at[None] + begin)
            low = at + 1
    pieces.append(_diagonal(len(a) - end, len(b) - end, end))
    return np.concatenate(pieces).astype(np.int32)


def _agreeing(a: np.ndarray, b: np.ndarray) -> int:
    """How many leading ids are equal."""
    shorter = min(len(a), len(b))
    differ = np.flatnonzero(np.asarray(a[:shorter]) != np.asarray(b[:shorter]))
    return int(differ[0]) if len(differ) else shorter


def _diagonal(a: int, b: int, count: int) -> np.ndarray:
    return np.stack([np.arange(a, a + count), np.arange(b, b + count)], 1).astype(np.int32)


def _table(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The best matching by a full table: score[i, j] of the first i and j tokens, ending in a pair or not."""
    rows, columns = len(a), len(b)
    if not rows or not columns:
        return np.zeros((0, 2), np.int32)
    low = np.int32(-(2**30))
    ending = np.full((rows + 1, columns + 1), low, np.int32)  # the last two tokens are a pair
    best = np.zeros((rows + 1, columns + 1), np.int32)
    for i in range(1, rows + 1):
        pair = np.maximum(best[i - 1, :-1] + _MATCH, ending[i - 1, :-1] + _MATCH + _RUN)
        ending[i, 1:] = np.where(a[i - 1] == b, pair, low)
        best[i] = np.maximum.accumulate(np.maximum(best[i - 1], ending[i]))
    found, i, j = [], rows, columns
    inside = False  # the pair just taken counts on the one before it being a pair too
    while i and j:
        if inside or best[i, j] == ending[i, j]:
            found.append((i - 1, j - 1))
            inside = bool(ending[i, j] == ending[i - 1, j - 1] + _MATCH + _RUN)
            i, j = i - 1, j - 1
        elif best[i, j] == best[i - 1, j]:
            i -= 1
        else:
            j -= 1
    return np.array(found[::-1], np.int32).reshape(-1, 2)


def _anchors(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pairs (n, 2) of ids that occur once in each text: the longest sequence of them ascending on both sides."""
    shared = np.intersect1d(_once(a), _once(b), assume_unique=True)
    at_a = np.flatnonzero(np.isin(a, shared))
    place = {int(token): j for j, token in enumerate(b)}
    at_b = [place[int(a[i])] for i in at_a]
    ends: list[int] = []  # of the rising sequences of each length, the one with the smallest end: its index
    smallest: list[int] = []  # and that end
    before: list[int] = []
    for k, j in enumerate(at_b):
        length = bisect_left(smallest, j)
        before.append(ends[length - 1] if length else -1)
        ends[length : length + 1], smallest[length : length + 1] = [k], [j]
    chain, k = [], ends[-1] if ends else -1
    while k >= 0:
        chain.append((int(at_a[k]), at_b[k]))
        k = before[k]
    return np.array(chain[::-1], np.int32).reshape(-1, 2)


def _once(ids: np.ndarray) -> np.ndarray:
    values, counts = np.unique(ids, return_counts=True)
    return values[counts == 1]
