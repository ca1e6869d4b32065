"""What policies ask of the attention while a prompt is read: sums over queries, never a map of all by all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from workbench.generation.prefill import forward_rows, new_cache

STEP = 1024
"""Tokens of a prompt read at once."""
_ROWS = 128
"""Queries whose probabilities are held at once, of one key-value head's group: 32 k keys x 4 heads need 64 MiB."""


class AttentionSums:
    """An observer. Per layer (head, tokens), float32: ``received`` is the attention each token got, summed over all
    queries; ``votes[w]`` the same over the last w queries alone."""

    idle = False

    def __init__(self, received: bool, votes: Sequence[int], total: int) -> None:
        self._all, self._last, self._total = received, tuple(sorted(set(votes))), total
        self._read = 0
        self.received: dict[int, Tensor] = {}
        self.votes: dict[int, dict[int, Tensor]] = {window: {} for window in self._last}

    def before(self, ids: Sequence[int]) -> None:
        self._read += len(ids)

    def after(self, cache: Any) -> None:
        pass

    def wants_attention(self, layer: int) -> bool:
        return self._all or (bool(self._last) and self._read > self._total - self._last[-1])

    def wants_heads(self, layer: int) -> bool:
        return False

    def heads(self, layer: int, output: Tensor, project: Any) -> None:
        pass

    def residual(self, layer: int, hidden: Tensor) -> None:
        pass

    def attention(
        self, layer: int, query: Tensor, key: Tensor, lse: Tensor | None, window: int | None, scale: float
    ) -> None:
        first, n = self._read - key.shape[1], query.shape[1]
        for low in range(0, n, _ROWS):
            high = min(low + _ROWS, n)
            start = self._read - n + low  # the position of the first of these queries
            for name, sums in self._wanted(start, start + high - low):
                at = max(0, self._total - name - start) if name else 0
                found = _received(query[:, low + at : high], key, start + at - first, window, scale)
                if layer not in sums:
                    sums[layer] = torch.zeros(query.shape[0], self._total, device=query.device)
                sums[layer][:, first : first + found.shape[1]] += found

    def _wanted(self, start: int, stop: int) -> list[tuple[int, dict[int, Tensor]]]:
        """Which sums take some of the queries [start, stop); 0 for all."""
        wanted = [(0, self.received)] if self._all else []
        return wanted + [(w, self.votes[w]) for w in self._last if stop > self._total - w and stop > start]


def _received(query: Tensor, key: Tensor, first: int, window: int | None, scale: float) -> Tensor:
    """(heads, keys): probabilities summed over the queries ``query`` (heads, n, head_dim), which stand at the key
    indices ``first`` and following."""
    kv_heads, keys = key.shape[0], key.shape[1]
    at = torch.arange(first, first + query.shape[1], device=key.device)[:, None]
    index = torch.arange(keys, device=key.device)[None]
    hidden = index > at
    if window is not None:
        hidden |= index <= at - window
    found = []
    for group, one in zip(query.unflatten(0, (kv_heads, -1)), key, strict=True):
        scores = (group @ one.T).float() * scale
        found.append(scores.masked_fill_(hidden, -torch.inf).softmax(-1).sum(1))
    return torch.cat(found)


def read_watched(
    module: Any, ids: Sequence[int], sums: AttentionSums | None, stop: Any = None, step: int = STEP
) -> tuple[Tensor, Any] | None:
    """Float32 logits (vocabulary,) behind ``ids`` and the model's own cache after them, with ``sums`` taken on the way;
    None when stopped."""
    cache, logits = new_cache(module), None
    watching: Any = sums
    for start in range(0, len(ids), step):
        if stop is not None and stop.is_set():
            return None
        logits = forward_rows(module, list(ids[start : start + step]), cache, watching, 1)[-1]
    assert logits is not None
    return logits, cache
