"""Payload of the KV-cache view: what each layer stores after the run, and the norms of its keys and values."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.views.arrays import pack_array

if TYPE_CHECKING:
    from workbench.inspection import Inspection

_COLUMNS = 1024  # of the norm maps; longer runs show means of `stride` tokens


def pack(inspection: Inspection, run: str = "") -> dict[str, Any]:
    """What `cache.js` draws: per layer bytes, tokens seen, stored and evicted; norms averaged over KV heads (layer,
    column), NaN where every token of the column is evicted."""
    found: dict[str, Any] = {
        "run": run,
        "model": inspection.model["name"],
        "length": len(inspection.ids),
        "tokens": [str(piece) for piece in inspection.tokens],
        "window": inspection.model["window"],
        "kv_heads": int(inspection.model["kv_heads"]),
        "captured": inspection.kv_cache is not None,
        "note": "" if inspection.kv_cache is not None else "The KV cache was not captured in this run.",
    }
    if inspection.kv_cache is None:
        return found
    state = inspection.kv_cache
    for name, variable in (
        ("bytes", "bytes"),
        ("logical", "logical_length"),
        ("physical", "physical_length"),
        ("evicted", "evicted"),
    ):
        found[name] = [int(value) for value in state[variable].values]
    stride = -(-len(inspection.ids) // _COLUMNS)
    found["stride"] = stride
    for name in ("key_norm", "value_norm"):
        found[name] = pack_array(_by_column(state[name].values, stride, len(inspection.ids)), "float32")
    return found


def _by_column(norms: np.ndarray, stride: int, length: int) -> np.ndarray:
    """(layer, kv_head, position) -> (layer, column) means; positions that were never stored are NaN."""
    wide = np.full((norms.shape[0], norms.shape[1], -(-length // stride) * stride), np.nan, np.float32)
    wide[:, :, : norms.shape[2]] = norms
    with warnings.catch_warnings():  # a column whose tokens are all evicted has no mean: NaN is the answer
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(wide.reshape(*norms.shape[:2], wide.shape[2] // stride, stride), axis=(1, 3))
