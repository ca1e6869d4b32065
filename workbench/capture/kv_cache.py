"""What a key-value cache really stores, layer by layer and step by step: bytes, lengths, evictions and norms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import Cache


@dataclass
class KVCacheResult:
    """Counts of int64. Per layer, at the end: bytes of the stored keys and values, logical_length (tokens read),
    physical_length (tokens stored), capacity (most tokens it will ever store, -1 without limit); key_norm and
    value_norm (layer, kv_head, position), Euclidean, NaN where the token is evicted. RoPE turns a key without changing
    its norm.

    allocated: bytes of the memory blocks that hold keys and values. More than ``bytes`` while the stored tokens are the
    tail of a longer block: a sliding layer keeps the whole block of the forward before until the next one replaces it.

    growth_bytes, growth_allocated, growth_logical, growth_physical (step, layer): the same after the prefill (step 0,
    the state from which the reply's first token was chosen; under a policy what it left of the prompt) and after every
    forward since: of one token, or of several that were given.

    kept (layer, kv_head, position), 1 where a head stores a token: for caches under a policy; its heads may differ."""

    bytes: np.ndarray
    logical_length: np.ndarray
    physical_length: np.ndarray
    capacity: np.ndarray
    key_norm: np.ndarray
    value_norm: np.ndarray
    allocated: np.ndarray
    growth_bytes: np.ndarray
    growth_allocated: np.ndarray
    growth_logical: np.ndarray
    growth_physical: np.ndarray
    kept: np.ndarray | None = None


class Growth:
    """The sizes of a cache after each forward of one request, once its ``prompt`` tokens are read. No tensor is kept,
    and none is read: only shapes, so a step costs microseconds a layer."""

    def __init__(self, prompt: int) -> None:
        self._prompt = prompt
        self._steps: list[list[tuple[int, int, int, int]]] = []

    def note(self, cache: Cache, read: int) -> None:
        """``cache`` as it is after ``read`` tokens; nothing while the prompt is still being read in chunks."""
        if read >= self._prompt:
            self._steps.append([sizes(layer) for layer in cache.layers])

    def replace(self, cache: Cache) -> None:
        """``cache`` has taken the place of what was noted last."""
        if self._steps:
            self._steps[-1] = [sizes(layer) for layer in cache.layers]

    def arrays(self, layers: int) -> list[np.ndarray]:
        """bytes, allocated, logical and physical length, each (step, layer)."""
        values = np.array(self._steps, np.int64).reshape(len(self._steps), layers, 4)
        return [values[..., i].copy() for i in range(4)]


def sizes(layer: Any) -> tuple[int, int, int, int]:
    """Of one cache layer: bytes of its keys and values, bytes of the memory that holds them, tokens read, stored."""
    keys, values = layer.keys, layer.values
    if keys is None:
        return 0, 0, int(layer.get_seq_length()), 0
    if (positions := getattr(layer, "positions", None)) is not None:  # one that drops tokens by a policy
        tensors = layer.tensors()
        blocks = {one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in tensors if one.numel()}
        return sum(one.nbytes for one in tensors), sum(blocks.values()), int(layer.get_seq_length()), positions.shape[1]
    held = keys.untyped_storage().nbytes() + values.untyped_storage().nbytes()
    return keys.nbytes + values.nbytes, held, int(layer.get_seq_length()), int(keys.shape[2])


def measure(cache: Cache, growth: Growth | None = None) -> KVCacheResult:
    """The state of ``cache`` now, and its ``growth`` so far. A sliding layer of window W stores W - 1 positions: the
    next query brings its own. (transformers' one of window 1 evicts nothing: its slice from -0 takes everything.)
    A cache that was never written to has no key-value heads yet: its norms are of shape (layer, 0, 0)."""
    layers = cache.layers
    state = np.array([sizes(layer) for layer in layers], np.int64).reshape(len(layers), 4)
    used, allocated, logical, stored = (state[:, i].copy() for i in range(4))
    capacity = np.array([_capacity(layer) for layer in layers], np.int64)
    empty = layers[0].keys is None
    shape = (len(layers), 0 if empty else layers[0].keys.shape[1], int(logical.max()))
    norms = {name: np.full(shape, np.nan, np.float32) for name in ("keys", "values")}
    kept: np.ndarray | None = None
    for i, layer in enumerate(layers):
        if layer.keys is None:
            continue
        if (positions := getattr(layer, "positions", None)) is None:
            states, at = (layer.keys, layer.values), np.arange(logical[i] - stored[i], logical[i])[None]
        else:
            states, at = layer.whole(), positions.cpu().numpy()
            kept = np.zeros(shape, np.uint8) if kept is None else kept
            np.put_along_axis(kept[i], np.broadcast_to(at, (shape[1], at.shape[1])), 1, 1)
        for norm, state in zip(norms.values(), states, strict=True):
            found = torch.linalg.vector_norm(state[0], dim=-1, dtype=torch.float32).cpu().numpy()
            np.put_along_axis(norm[i], np.broadcast_to(at, found.shape), found, 1)
    grown = (growth or Growth(0)).arrays(len(layers))
    result = KVCacheResult(used, logical, stored, capacity, norms["keys"], norms["values"], allocated, *grown)
    result.kept = kept
    return result


def _capacity(layer: Any) -> int:
    if hasattr(layer, "capacity"):
        return int(layer.capacity)
    window = layer.sliding_window if getattr(layer, "is_sliding", False) else 1
    return window - 1 if window > 1 else -1
