"""The logit lens of two runs side by side: how early each layer stack arrives at a token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from workbench.errors import CaptureError, ComparisonError

if TYPE_CHECKING:
    from workbench.comparison.alignment import Alignment
    from workbench.inspection.inspection import Inspection


def settling(lens: xr.Dataset) -> xr.DataArray:
    """The layer (position,) from which on the best guess stays the output's own: 0 is the embedding, the last layer
    means that it was settled by the output itself. With a stride between captured layers it is one of those. NaN where
    the output layer was not captured."""
    best = lens.top_id.isel(rank=0)
    layers = best.layer.values
    agrees = (best.values == best.values[-1:])[::-1]
    run = np.logical_and.accumulate(agrees, axis=0).sum(0)  # layers from the last one down that agree without a break
    return xr.DataArray(layers[len(layers) - run], dims=("position",), coords={"position": lens.position.values})


def compared_lens(a: Inspection, b: Inspection, alignment: Alignment) -> xr.Dataset:
    """Both lenses where the same next token was predicted, over (layer, place): target_rank and target_logprob (nats)
    as rank_a, rank_b, logprob_a, logprob_b, difference (logprob_b - logprob_a), and settled_a, settled_b (place,).

    A place is a pair of captured positions (coordinates position_a, position_b) whose next tokens are aligned,
    ``token`` is that next token, and ``alike`` tells whether both had read the same up to it. Raises ComparisonError
    for models with different numbers of layers: their layers have no counterparts; `settling` of each may still be
    compared.
    """
    if a.lens is None or b.lens is None:
        raise CaptureError("The logit lens was not captured in both runs", remedy="Run them again with a lens")
    if int(a.model["layers"]) != int(b.model["layers"]):
        raise ComparisonError(
            f"The first model has {a.model['layers']} layers, the second {b.model['layers']}",
            expected="two models with as many layers", remedy="Compare the layers at which each settles",
        )  # fmt: skip
    lenses = (a.lens, b.lens)
    layers = [int(layer) for layer in lenses[0].layer.values if layer in lenses[1].layer.values]
    at = [{int(p): i for i, p in enumerate(lens.position.values)} for lens in lenses]
    pairs = [
        (p, other - 1)
        for p in at[0]
        if p + 1 < len(a.ids) and (other := alignment.counterpart(p + 1)) is not None and other - 1 in at[1]
    ]
    chosen = [lens.sel(layer=layers, position=[pair[i] for pair in pairs]) for i, lens in enumerate(lenses)]
    found: dict[str, Any] = {}
    for side, part, lens in zip("ab", chosen, lenses, strict=True):
        found[f"rank_{side}"] = (("layer", "place"), part.target_rank.values)
        found[f"logprob_{side}"] = (("layer", "place"), part.target_logprob.values)
        found[f"settled_{side}"] = ("place", settling(lens).sel(position=part.position.values).values)
    found["difference"] = (("layer", "place"), found["logprob_b"][1] - found["logprob_a"][1])
    coords = {
        "layer": layers,
        "place": np.arange(len(pairs)),
        "position_a": ("place", np.array([p for p, _ in pairs], np.int32)),
        "position_b": ("place", np.array([p for _, p in pairs], np.int32)),
        "token": ("place", [a.tokens[p + 1] for p, _ in pairs]),
        "alike": ("place", np.array([p == q and p < alignment.common for p, q in pairs], bool)),
    }
    return xr.Dataset(found, coords=coords)
