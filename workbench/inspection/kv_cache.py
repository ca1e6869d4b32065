"""The KV-cache part of an inspection: labelled arrays, the attention that each stored key head received, and whether
the arrays of a file agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from workbench.inspection.attention import Attention

COUNTS = ("bytes", "logical_length", "physical_length", "capacity")
NORMS = ("key_norm", "value_norm")
GROWTH = ("growth_bytes", "growth_allocated", "growth_logical", "growth_physical")
LATER = ("kv_cache.allocated", *(f"kv_cache.{name}" for name in GROWTH))
"""Arrays that files of version 0.1 lack; a file has all of them or none."""


def labelled(arrays: Mapping[str, np.ndarray], model: Mapping[str, Any], attention: Attention | None) -> xr.Dataset:
    """``arrays`` as `KVCacheResult` names them, with what follows from them; see `Inspection.kv_cache`."""
    layers, kv_heads, positions = arrays["key_norm"].shape
    evicted = arrays["logical_length"] - arrays["physical_length"]
    at = np.arange(positions)
    found: dict[str, Any] = {name: ("layer", arrays[name]) for name in COUNTS} | {"evicted": ("layer", evicted)}
    tail = (at >= evicted[:, None]) & (at < arrays["logical_length"][:, None])
    kept = np.broadcast_to(tail[:, None], (layers, kv_heads, positions))
    if "kept" in arrays:
        kept = arrays["kept"].astype(bool)
    found["stored"] = (("layer", "position"), kept.any(1) if "kept" in arrays else tail)
    found["kept"] = (("layer", "kv_head", "position"), kept)
    found |= {name: (("layer", "kv_head", "position"), arrays[name]) for name in NORMS}
    if "allocated" in arrays:
        found["allocated"] = ("layer", arrays["allocated"])
        found |= {name: (("step", "layer"), arrays[name]) for name in GROWTH}
    coords: dict[str, Any] = {"layer": np.arange(layers), "position": at, "kv_head": np.arange(kv_heads)}
    if kv_heads == model["kv_heads"]:
        coords["query_heads"] = (("kv_head", "reader"), np.arange(model["heads"]).reshape(kv_heads, -1))
        if attention is not None and attention.statistics is not None:
            received = attention.statistics["received"]
            found["read_by"] = (("layer", "kv_head", "key_block"), _read_by(received, layers, kv_heads))
            coords["key_block"] = received["key_block"].values
    attrs = {"block": attention.block} if "read_by" in found and attention is not None else {}
    return xr.Dataset(found, coords=coords, attrs=attrs)


def _read_by(received: xr.DataArray, layers: int, kv_heads: int) -> np.ndarray:
    """``received`` (layer, head, key_block) summed over the heads of each key-value head: (layer, kv_head, key_block)
    of all layers and key-value heads, NaN where nothing was captured."""
    reads = received["kv_head"].values
    total = np.full((layers, kv_heads, received.sizes["key_block"]), np.nan, np.float32)
    for kv_head in np.unique(reads):
        total[received["layer"].values, kv_head] = received.values[:, reads == kv_head].sum(1)
    return total


def contradiction(
    arrays: Mapping[str, np.ndarray], model: Mapping[str, Any], total: int, new: int, read: int | None
) -> str | None:
    """The first way in which a file's cache disagrees with itself or with the rest of the file, None when all agrees.
    ``arrays`` under their full names, with consistent shapes; ``total`` tokens, ``new`` of them generated, ``read`` of
    them with attention, None when unknown."""
    found = {name.removeprefix("kv_cache."): values for name, values in arrays.items() if name.startswith("kv_cache.")}
    if not found:
        return None
    logical, stored = found["logical_length"], found["physical_length"]
    if not len(logical) or stored.min() < 0 or (stored > logical).any() or logical.max() > total:
        return "the lengths of the cache do not add up"
    if read is not None and logical.max() != read:
        return "the lengths of the cache do not add up"
    # A cache that nothing was written to knows no heads.
    if len(logical) != model["layers"] or found["key_norm"].shape[1] not in (0, model["kv_heads"]):
        return "the cache is that of another model"
    if "kept" in found and ((found["kept"] > 1).any() or (found["kept"].sum(-1) != stored[:, None]).any()):
        return "the tokens that the cache kept are not those it stores"
    if "allocated" not in found or not (steps := len(found["growth_logical"])):
        return None
    ends = ("bytes", "allocated", "logical_length", "physical_length")
    same = [(found[grown][-1] == found[end]).all() for grown, end in zip(GROWTH, ends, strict=True)]
    if steps > new + 1 or not all(same):
        return "the growth of the cache does not end where the cache ended"
    negative = any(found[name].min() < 0 for name in GROWTH)
    if negative or (found["growth_physical"] > found["growth_logical"]).any():
        return "the growth of the cache does not add up"
    if (found["growth_logical"][1:] < found["growth_logical"][:-1]).any():
        return "the growth of the cache runs backwards"
    return None
