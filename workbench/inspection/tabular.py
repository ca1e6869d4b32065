"""An inspection's parts as flat tables and as labelled arrays: small ones, whatever was captured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from workbench.errors import CaptureError
from workbench.inspection.predictions import predictions

if TYPE_CHECKING:
    from workbench.inspection.inspection import Inspection

TABLES = ("tokens", "steps", "attention", "statistics", "heads", "lens", "cache")
ARRAYS = ("attention", "map", "statistics", "lens", "blocks", "attribution", "cache")
MOST_ROWS = 2_000_000
"""Of a table of attention."""


def table(
    inspection: Inspection, part: str = "tokens", top: int = 8, least: float = 0.0, layer: int | None = None
) -> pd.DataFrame:  # fmt: skip
    """One part as a flat table.

    "tokens": position, id, piece, role, logprob (nats), rank and entropy (nats) of each; NaN and 0 where not captured.
    "steps": `Inspection.steps`. "attention": layer, head, query, query_piece, key, key_piece, weight: of each captured
    row the ``top`` keys with a weight of at least ``least``, the heaviest first. "statistics": mean over all queries by
    layer and head. "heads": `Attention.named_heads`. "lens": layer, position, piece, entropy, kl, target_rank,
    target_logprob and the best guess. "cache": by layer.

    Raises CaptureError for another part, one that was not captured, and more than 2 000 000 rows.
    """
    if part not in TABLES:
        raise CaptureError(f"There is no part {str(part)[:40]!r}", expected=", ".join(TABLES))
    if part == "tokens":
        said, length = predictions(inspection), len(inspection.ids)
        return pd.DataFrame({
            "position": np.arange(length), "id": inspection.ids, "piece": inspection.tokens, "role": inspection.roles,
            "logprob": said.logprob, "rank": said.rank, "entropy": said.entropy[:length],
        })  # fmt: skip
    if part == "steps":
        return inspection.steps.copy()
    if part == "attention":
        return _attention(inspection, top, least, layer)
    if part in ("statistics", "heads"):
        attention = inspection.attention
        if attention is None or attention.statistics is None:
            raise _absent("Head statistics", "AttentionCapture(statistics=True)")
        if part == "heads":
            return attention.named_heads().reset_index()
        means = attention.statistics.drop_vars(["induction_share", "copying_share"]).mean(["query_block", "key_block"])
        return means.to_dataframe().reset_index()
    found = labelled_part(inspection, part)
    if part == "lens":
        frame = found.drop_dims("rank").to_dataframe().reset_index().rename(columns={"token": "piece"})
        best = found["top_id"].isel(rank=0).values.reshape(-1)
        return frame.assign(guess=[inspection.piece(one) for one in best])
    layers = [name for name, one in found.data_vars.items() if one.dims == ("layer",)]
    return found[layers].to_dataframe().reset_index()


def labelled_part(inspection: Inspection, part: str = "attention") -> Any:
    """One part with its labels; see `Inspection.to_xarray`."""
    if part not in ARRAYS:
        raise CaptureError(f"There is no part {str(part)[:40]!r}", expected=", ".join(ARRAYS))
    attention = inspection.attention
    found: xr.DataArray | xr.Dataset | None
    if part in ("attention", "map", "statistics"):
        found = None if attention is None else getattr(attention, "rows" if part == "attention" else part)
        wanted = {"attention": 'rows="all"', "map": "pool=256", "statistics": "statistics=True"}[part]
        how = f"AttentionCapture({wanted})"
    else:
        name = {"blocks": "lens_blocks", "cache": "kv_cache"}.get(part, part)
        found, how = getattr(inspection, name), {
            "lens": "LensCapture()", "blocks": "LensCapture(blocks=64)", "attribution": "AttributionCapture()",
            "cache": "kv_cache=True",
        }[part]  # fmt: skip
    if found is None:
        raise _absent(f"The part {part!r}", how)
    return found


def _attention(inspection: Inspection, top: int, least: float, layer: int | None) -> pd.DataFrame:
    rows = labelled_part(inspection, "attention")
    share = isinstance(least, int | float) and 0 <= least <= 1
    if not isinstance(top, int) or top < 1 or not share:
        raise CaptureError(
            f"top is {top!r} and least {least!r}", expected="a count of at least 1, and a share from 0 to 1"
        )
    if layer is not None:
        if layer not in rows.layer.values:
            raise CaptureError(f"Layer {layer} was not captured", expected=f"one of {rows.layer.values.tolist()}")
        rows = rows.sel(layer=[layer])
    values, keys = rows.values, min(top, rows.sizes["key"])
    if (size := int(np.prod(values.shape[:3])) * keys) > MOST_ROWS:
        raise CaptureError(
            f"The table would have {size:,} rows", expected=f"at most {MOST_ROWS:,}",
            remedy="Name a layer, or ask for a smaller top",
        )  # fmt: skip
    best = np.argsort(-values, axis=-1, kind="stable")[..., :keys]
    weight = np.take_along_axis(values, best, -1)
    places = np.indices(best.shape)[:3].reshape(3, -1)
    kept = (weight.reshape(-1) >= least) & (weight.reshape(-1) > 0)
    at, key = places[:, kept], best.reshape(-1)[kept]
    pieces = np.array(inspection.tokens, dtype=object)
    query = rows["query"].values[at[2]]
    return pd.DataFrame({
        "layer": rows.layer.values[at[0]], "head": rows["head"].values[at[1]], "query": query,
        "query_piece": pieces[query], "key": key, "key_piece": pieces[key], "weight": weight.reshape(-1)[kept],
    })  # fmt: skip


def _absent(what: str, how: str) -> CaptureError:
    return CaptureError(f"{what} was not captured in this run", remedy=f"Run it again with {how}")
