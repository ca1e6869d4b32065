"""The logit lens of an inspection, labelled: exact at single positions, coarse over blocks of the whole run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

Arrays = Mapping[str, np.ndarray]


def labelled_lens(found: Arrays, record: Mapping[str, Any], tokens: Sequence[str]) -> xr.Dataset:
    """``found`` as `LensResult` names the arrays, over (layer, position[, rank]); see `Inspection.lens`. ``record`` has
    the layers and the tuned lens's hash, ``tokens`` the pieces of the run."""
    deep, at = ("layer", "position"), found["positions"]
    return xr.Dataset(
        {
            "top_id": ((*deep, "rank"), found["top_ids"]),
            "top_logprob": ((*deep, "rank"), found["top_logprobs"]),
            **{name: (deep, found[name]) for name in ("entropy", "kl", "target_rank", "target_logprob")},
            "target_id": (("position",), found["target_ids"]),
        },
        coords={
            "layer": record["layers"],
            "position": at,
            "token": ("position", [tokens[p] for p in at]),
        },
        attrs={"translators": record.get("translators") or ""},
    )


def labelled_blocks(found: Arrays, record: Mapping[str, Any], total: int) -> xr.Dataset:
    """The coarse lens over (layer, block) of a run of ``total`` tokens; see `Inspection.lens_blocks`."""
    size = int(record["block"])
    start = np.arange(len(found["counts"])) * size
    return xr.Dataset(
        {name: (("layer", "block"), found[name]) for name in ("entropy", "target_logprob", "target_rank")}
        | {"count": ("block", found["counts"])},
        coords={
            "layer": record["layers"],
            "block": np.arange(len(start)),
            "start": ("block", start),
            "stop": ("block", np.minimum(start + size, total)),
        },
        attrs={"block": size, "translators": record.get("translators") or ""},
    )
