"""Payload of the KV-cache view: what each layer stores after the run, and the norms of its keys and values."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.views.arrays import number, pack_array

if TYPE_CHECKING:
    import xarray as xr

    from workbench.inspection import Inspection

_COLUMNS = 1024  # of the norm maps; longer runs show means of `stride` tokens
_STEPS = 256  # points of the growth
_MOST_KEPT = 2**22  # tokens of all layers and heads whose fate is shown: half a MiB of bits


def pack(inspection: Inspection, run: str = "") -> dict[str, Any]:
    """What `cache.js` draws: per layer bytes, tokens seen, stored and evicted; norms averaged over KV heads (layer,
    column), NaN where every token of the column is evicted; ``growth`` while tokens were generated and ``read_by``, the
    attention each key head received, None where they were not captured."""
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
    state, settings = inspection.kv_cache, inspection.provenance.get("settings")
    found |= counts(inspection)
    stride = -(-len(inspection.ids) // _COLUMNS)
    found["stride"] = stride
    found["policy"] = str(settings.get("cache", "")) if isinstance(settings, dict) else ""
    for name in ("key_norm", "value_norm"):
        found[name] = pack_array(_by_column(state[name].values, stride, len(inspection.ids)), "float32")
    found["growth"] = _growth(state)
    found["read_by"] = _read_by(state)
    return found


def counts(inspection: Inspection) -> dict[str, Any]:
    """By layer: bytes held, tokens seen (logical), held (physical) and dropped (evicted); and ``kept``, of a run under
    a cache policy: which tokens each key-value head stores."""
    assert inspection.kv_cache is not None
    named = {"bytes": "bytes", "logical": "logical_length", "physical": "physical_length", "evicted": "evicted"}
    state = inspection.kv_cache
    found: dict[str, Any] = {name: [int(value) for value in state[variable].values] for name, variable in named.items()}
    return found | {"kept": _kept(state) if "kv_cache.kept" in inspection.arrays else None}


def _kept(state: xr.Dataset) -> dict[str, Any]:
    """{"layers", "heads", "length": tokens read, "bits": uint8 (layer * key-value head, byte), a bit a token, the first
    the highest, None for a text too long to be shown token by token}."""
    kept = state["kept"].values
    layers, heads, length = kept.shape
    found = {"layers": layers, "heads": heads, "length": length, "bits": None}
    if kept.size <= _MOST_KEPT:
        found["bits"] = pack_array(np.packbits(kept.reshape(-1, length), axis=1), "uint8")
    return found


def _growth(state: xr.Dataset) -> dict[str, Any] | None:
    """Tokens read, and bytes and allocated bytes of all layers, at no more than _STEPS moments; None with fewer than
    two moments."""
    if "growth_bytes" not in state or state.sizes["step"] < 2:
        return None
    last = state.sizes["step"] - 1
    at = np.unique(np.linspace(0, last, min(last + 1, _STEPS)).round().astype(int))
    return {
        "read": [int(value) for value in state["growth_logical"].max("layer").values[at]],
        "bytes": [int(value) for value in state["growth_bytes"].sum("layer").values[at]],
        "allocated": [int(value) for value in state["growth_allocated"].sum("layer").values[at]],
    }


def _read_by(state: xr.Dataset) -> dict[str, Any] | None:
    """Mean attention that a key of a block received from all query heads of its key head, over all queries: uint8 u
    (layer * key head, block), value = expm1(u / 254 * log1p(most)), 255 where nothing was captured; ``heads`` lists the
    query heads of each key head, ``block`` the tokens of a block."""
    if "read_by" not in state:
        return None
    values = state["read_by"].values.reshape(-1, state.sizes["key_block"])
    if np.isnan(values).all():
        return None
    most = float(np.nanmax(values))
    levels = 254 * np.log1p(np.maximum(values, 0.0)) / np.log1p(max(most, 1e-9))
    return {
        "heads": [[int(head) for head in heads] for heads in state["query_heads"].values],
        "block": int(state.attrs["block"]),
        "most": number(most, 6),
        "levels": pack_array(np.where(np.isnan(levels), 255, np.rint(levels)), "uint8"),
    }


def _by_column(norms: np.ndarray, stride: int, length: int) -> np.ndarray:
    """(layer, kv_head, position) -> (layer, column) means; positions that were never stored are NaN."""
    wide = np.full((norms.shape[0], norms.shape[1], -(-length // stride) * stride), np.nan, np.float32)
    wide[:, :, : norms.shape[2]] = norms
    with warnings.catch_warnings():  # a column whose tokens are all evicted has no mean: NaN is the answer
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(wide.reshape(*norms.shape[:2], wide.shape[2] // stride, stride), axis=(1, 3))
