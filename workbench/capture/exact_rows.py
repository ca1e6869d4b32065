"""Exact attention rows of chosen queries, written straight into the array that becomes the result."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from workbench.capture.positions import Positions, chosen


class ExactRows:
    """Which query positions are kept, and their probabilities by layer, head and key.

    The array has a place for every row of a run that goes to its full length. It is laid out row by row, so that the
    memory of rows which never come is never touched.
    """

    def __init__(self, wanted: Positions | None, layers: int, heads: int, prompt: int, total: int) -> None:
        """``wanted`` as in `AttentionCapture.rows`, for ``prompt`` tokens that may grow to ``total``."""
        picked = set() if wanted is None else chosen(wanted, prompt, "row")
        self._all, self._follows, self._prompt = picked is None, isinstance(wanted, str), prompt
        listed = sorted(picked or ())
        self._place = {position: i for i, position in enumerate(listed)}
        capacity = total if self._all else len(listed) + (total - prompt if self._follows else 0)
        self.wanted = bool(capacity)
        self._shape = (capacity, layers, heads, total)
        self._values: np.ndarray | None = None
        self._kept: set[int] = set()

    def among(self, first: int, end: int) -> list[int]:
        """The kept positions of ``first`` to ``end`` - 1."""
        if self._all:
            return list(range(first, end))
        follow = range(max(first, self._prompt), end) if self._follows else ()
        return [position for position in range(first, end) if position in self._place] + list(follow)

    def add(self, layer: int, heads: Sequence[int], positions: Sequence[int], first_key: int, mass: Tensor) -> None:
        """Keep ``mass`` (heads, positions, keys) of the layer and heads with these indices; key 0 stands at
        ``first_key``. Positions are neighbours among the kept ones."""
        if self._values is None:
            self._values = np.zeros(self._shape, np.float32)
        at = self._index(positions[0])
        columns = slice(first_key, first_key + mass.shape[-1])
        target = self._values[at : at + len(positions), layer]
        target[:, list(heads), columns] = mass.transpose(0, 1).cpu().numpy()
        self._kept.update(positions)

    def of(self, position: int) -> np.ndarray | None:
        """The row (layer, head, key) of one position, keys 0 to itself; None when it was not kept."""
        if self._values is None or position not in self._kept:
            return None
        return self._values[self._index(position), ..., : position + 1].copy()

    def result(self, tokens: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions (row,), ascending, and probabilities (layer, head, row, key) over ``tokens`` keys."""
        positions = np.array(sorted(self._kept), np.int32)
        _, layers, heads, _ = self._shape
        if self._values is None:
            return positions, np.zeros((layers, heads, 0, tokens), np.float32)
        return positions, np.moveaxis(self._values[: len(positions), ..., :tokens], 0, 2)

    def _index(self, position: int) -> int:
        if self._all:
            return position
        return self._place[position] if position in self._place else len(self._place) + position - self._prompt
