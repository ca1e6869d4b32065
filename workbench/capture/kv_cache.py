"""What a key-value cache really stores, layer by layer: bytes, lengths, evictions and norms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from transformers import Cache


@dataclass
class KVCacheResult:
    """Per layer: bytes of the stored keys and values, logical_length (tokens read), physical_length (tokens stored),
    capacity (most tokens it will ever store, -1 without limit); key_norm and value_norm (layer, kv_head, position),
    Euclidean, NaN where the token is evicted."""

    bytes: np.ndarray
    logical_length: np.ndarray
    physical_length: np.ndarray
    capacity: np.ndarray
    key_norm: np.ndarray
    value_norm: np.ndarray


def measure(cache: Cache) -> KVCacheResult:
    """The state of ``cache`` now. A sliding layer of window W stores W - 1 positions: the next query brings its own.
    A cache that was never written to has no key-value heads yet: its norms are of shape (layer, 0, 0)."""
    layers = cache.layers
    logical = [int(layer.get_seq_length()) for layer in layers]
    empty = layers[0].keys is None
    shape = (len(layers), 0 if empty else layers[0].keys.shape[1], max(logical))
    norms = {name: np.full(shape, np.nan, np.float32) for name in ("keys", "values")}
    stored, sizes, capacities = [], [], []
    for i, layer in enumerate(layers):
        capacities.append(layer.sliding_window - 1 if getattr(layer, "is_sliding", False) else -1)
        if empty:
            stored.append(0)
            sizes.append(0)
            continue
        stored.append(layer.keys.shape[2])
        sizes.append(
            layer.keys.numel() * layer.keys.element_size() + layer.values.numel() * layer.values.element_size()
        )
        for name, norm in norms.items():
            norm[i, :, logical[i] - stored[i] : logical[i]] = getattr(layer, name)[0].float().norm(dim=-1).cpu().numpy()
    counts = (np.array(values, np.int64) for values in (sizes, logical, stored, capacities))
    return KVCacheResult(*counts, norms["keys"], norms["values"])  # type: ignore[call-arg]
