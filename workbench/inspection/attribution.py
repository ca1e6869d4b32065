"""Direct logit attribution of an inspection, labelled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr


def labelled_attribution(
    found: Mapping[str, np.ndarray], tokens: Sequence[str], piece: Callable[[int], str]
) -> xr.Dataset:
    """``found`` as `AttributionResult` names the arrays, over (layer, position, choice); see `Inspection.attribution`.
    ``tokens`` are the pieces of the run, ``piece`` gives that of any token id."""
    each = ("position", "choice")
    values: dict[str, Any] = {"token_id": (each, found["token_ids"]), "logit": (each, found["logit"])}
    values |= {"embedding": (each, found["embedding"])}
    values |= {name: (("layer", *each), found[name]) for name in ("attention", "mlp")}
    coords: dict[str, Any] = {
        "layer": np.arange(len(found["attention"])),
        "position": found["positions"],
        "token": ("position", [tokens[p] for p in found["positions"]]),
        "piece": (each, [[piece(i) for i in row] for row in found["token_ids"]]),
    }
    if not found["token_ids"].size:
        del coords["piece"]
    if "heads" in found:
        values["heads"] = (("layer", "head", *each), found["heads"])
        coords["head"] = np.arange(found["heads"].shape[1])
    return xr.Dataset(values, coords=coords)
