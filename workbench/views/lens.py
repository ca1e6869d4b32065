"""Payloads of the logit lens view: a window of positions in full, and the rank of what came over the whole run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.comparison.lens import settling
from workbench.errors import CaptureError
from workbench.views.arrays import Packed, number, pack_array

if TYPE_CHECKING:
    from workbench.inspection import Inspection

SPAN = 24  # positions on each side of the selected one
MOST_LAYERS = 16  # rows of the grid; more layers are strided, the last one and the embeddings always among them
_COLUMNS = 512  # of the overview


def pack(inspection: Inspection, run: str = "") -> dict[str, Any]:
    """What `lens.js` needs before a token is chosen; ``layers`` counts the embeddings. ``blocks`` is the coarse lens of
    the whole run, None without one."""
    blocks = _blocks(inspection)
    captured = blocks is not None or (inspection.lens is not None and inspection.lens.sizes["position"] > 0)
    return {
        "run": run,
        "model": inspection.model["name"],
        "length": len(inspection.ids),
        "tokens": [str(piece) for piece in inspection.tokens],
        "layers": int(inspection.model["layers"]) + 1,
        "blocks": blocks,
        "captured": captured,
        "note": "" if captured else "The logit lens was not captured in this run.",
    }


def pack_around(inspection: Inspection, token: int) -> dict[str, Any]:
    """The grid near position ``token``: at most 2 SPAN + 1 captured positions, layers from the last down.

    rank counts from 1, 0 where no next token is known; entropy, kl and logprob, of the token that really came next, in
    nats; shares are probabilities; settled is the layer from which on the best guess stays the output's. ``overview``
    is None where a coarse lens shows the whole run.
    """
    lens = inspection.lens
    if lens is None or not lens.sizes["position"]:
        raise CaptureError("the logit lens was not captured in this run", remedy="Run it again with a lens")
    chosen = _window(inspection, token)
    rows = shown_layers([int(layer) for layer in lens.layer.values])
    part = lens.isel(layer=rows, position=chosen)
    name = inspection.piece
    ids, shares = part.top_id.values, np.exp(part.top_logprob.values)
    targets = part.target_id.values
    hits = (ids == targets[None, :, None]) & (targets >= 0)[None, :, None]
    stride = -(-len(inspection.ids) // _COLUMNS)
    return {
        "layers": [int(layer) for layer in part.layer.values],
        "positions": [int(position) for position in part.position.values],
        "targets": [name(int(target)) if target >= 0 else None for target in targets],
        "top": [
            [[[name(int(i)), number(p, 5)] for i, p in zip(a, b, strict=True)] for a, b in zip(x, y, strict=True)]
            for x, y in zip(ids, shares, strict=True)
        ],
        "hit": np.where(hits.any(-1), hits.argmax(-1), -1).tolist(),
        "rank": pack_array(np.where(targets[None] >= 0, part.target_rank.values, 0), "int32"),
        "entropy": pack_array(part.entropy.values, "float32"),
        "kl": pack_array(part.kl.values, "float32"),
        "logprob": pack_array(part.target_logprob.values, "float32"),
        "settled": [int(layer) for layer in settling(lens.isel(position=chosen)).values],
        "overview": _overview(inspection, rows, stride) if inspection.lens_blocks is None else None,
        "stride": stride,
    }


def around(inspection: Inspection, token: int) -> list[int]:
    """The captured positions that `pack_around` shows."""
    assert inspection.lens is not None
    return [int(position) for position in inspection.lens.position.values[_window(inspection, token)]]


def _window(inspection: Inspection, token: int) -> slice:
    assert inspection.lens is not None
    positions = np.asarray(inspection.lens.position.values, int)
    near = int(np.argmin(np.abs(positions - token)))
    low = max(0, min(near - SPAN, len(positions) - 2 * SPAN - 1))
    return slice(low, low + 2 * SPAN + 1)


def _blocks(inspection: Inspection) -> dict[str, Any] | None:
    """The coarse lens, last layer first: rank (median), entropy and logprob (means, nats) as float32 (layer, block),
    NaN where no position was read; ``size`` tokens a block and ``read`` positions of each."""
    found = inspection.lens_blocks
    if found is None:
        return None
    part = found.isel(layer=shown_layers([int(layer) for layer in found.layer.values]))
    return {
        "size": int(found.attrs["block"]),
        "layers": [int(layer) for layer in part.layer.values],
        "read": [int(count) for count in part["count"].values],
        "rank": pack_array(part.target_rank.values, "float32"),
        "entropy": pack_array(part.entropy.values, "float32"),
        "logprob": pack_array(part.target_logprob.values, "float32"),
    }


def shown_layers(layers: list[int]) -> list[int]:
    """Indices into ``layers`` for the rows of the grid, last layer first; a stride drops neither the last nor 0."""
    last = len(layers) - 1
    stride = -(-len(layers) // MOST_LAYERS)
    rows = list(range(last, -1, -stride))
    return rows if rows[-1] == 0 else [*rows, 0]


def _overview(inspection: Inspection, rows: list[int], stride: int) -> Packed:
    """uint8 (layer, column): 255 where what came next is the layer's first guess, fading with the log of its rank
    (the best rank of a column's tokens), 0 where nothing was captured."""
    lens = inspection.lens
    assert lens is not None
    ranks = lens.target_rank.values[rows].astype(float)
    ranks[:, lens.target_id.values < 0] = np.inf
    columns = np.asarray(lens.position.values, int) // stride
    best = np.full((len(rows), -(-len(inspection.ids) // stride)), np.inf)
    for row in range(len(rows)):
        np.minimum.at(best[row], columns, np.where(ranks[row] > 0, ranks[row], np.inf))
    shade = np.where(np.isfinite(best), 1 + 254 / (1 + np.log2(np.where(np.isfinite(best), best, 1))), 0)
    return pack_array(np.rint(shade), "uint8")
