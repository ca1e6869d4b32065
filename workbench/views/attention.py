"""Payloads of the attention view: the run, one layer's maps of all heads, and one token's row and column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import CaptureError
from workbench.inspection.reading import read_length
from workbench.views.arrays import Packed, number, pack_exact_shares, pack_shares

if TYPE_CHECKING:
    from workbench.inspection import Inspection

SHOWN_STATISTICS = ("distance", "sink", "previous", "induction", "entropy")
ROW_BYTES = 256 * 1024
"""Of one row or column as float32; longer ones travel as uint16."""
MAP_BYTES = 640 * 1024
"""Of one layer's maps before base64, so that a change of layer stays under 1 MB."""


def pack(inspection: Inspection, run: str = "", most_bytes: int = MAP_BYTES) -> dict[str, Any]:
    """What `attention.js` needs before any layer: shape, tokens, window, tokens a map cell (``block``) when a layer's
    maps may take ``most_bytes``. ``heads`` counts the captured heads; ``head_names`` are their places in the model,
    ``kv_head_names`` the key-value heads they read. ``names`` has [layer, index of the head, name, score] of the heads
    that `Attention.named_heads` names. ``sample``: query rows taken of each ``map_block`` tokens, None for all.
    """
    attention = inspection.attention
    captured = attention is not None and attention.map is not None
    names = attention.heads if attention is not None else list(range(int(inspection.model["heads"])))
    return {
        "run": run,
        "model": inspection.model["name"],
        "length": read_length(inspection),
        "tokens": [str(piece) for piece in inspection.tokens],
        "prompt_length": int(inspection.prompt_length),
        "layers": int(inspection.model["layers"]),
        "heads": len(names),
        "head_names": [int(name) for name in names],
        "kv_head_names": [
            int(name) // (int(inspection.model["heads"]) // int(inspection.model["kv_heads"])) for name in names
        ],
        "kv_heads": int(inspection.model["kv_heads"]),
        "window": inspection.model["window"],
        "block": _block(inspection, most_bytes) if captured else 1,
        "map_block": attention.block if attention is not None else 1,
        "maximum": attention is not None and attention.max_map is not None,
        "sample": _sample(inspection),
        "names": _names(inspection),
        "captured": captured,
        "note": "" if captured else "Attention was not captured in this run.",
    }


def pack_layer(inspection: Inspection, layer: int, most_bytes: int = MAP_BYTES) -> dict[str, Any]:
    """Maps (head, query_block, key_block) of one layer as square-root quantised uint8, and head means of statistics.

    Maps too large for one click are pooled further: `map` by the same mean over queries of the mass on keys, `max_map`
    (None when not captured) by the largest. ``errors``: standard errors by head of what was estimated from a sample.
    """
    attention = inspection.attention
    if attention is None or attention.map is None:
        raise CaptureError("attention was not captured in this run", remedy="Run it again with attention maps")
    if layer not in attention.map.layer.values:
        kept = ", ".join(str(int(one)) for one in attention.map.layer.values)
        raise CaptureError(f"layer {layer} was not captured", expected=f"one of the layers {kept}")
    maps = np.asarray(attention.map.sel(layer=layer).values, np.float32)
    sizes, factor = _block_sizes(inspection), _pooling(inspection, most_bytes)
    maps = pool(maps, factor, sizes)
    largest = None
    if attention.max_map is not None:
        largest = pack_shares(pool_largest(np.asarray(attention.max_map.sel(layer=layer).values, np.float32), factor))
    errors = {name: values[attention.layers.index(layer)] for name, values in attention.errors.items()}
    statistics: dict[str, list[float | None]] = {}
    sink = 1
    if (summaries := attention.statistics) is not None:
        known, sink = summaries.sel(layer=layer), summaries.attrs.get("sink_tokens", 1)
        for name in SHOWN_STATISTICS:
            if name in known:
                statistics[name] = [number(value) for value in np.average(known[name].values, axis=-1, weights=sizes)]
    return {
        "layer": layer,
        "map": pack_shares(maps),
        "max_map": largest,
        "scale": 1.0,
        "statistics": statistics,
        "errors": {name: [number(value, 6) for value in values] for name, values in errors.items()},
        "sink_tokens": int(sink),
    }


def pack_row(inspection: Inspection, token: int, layer: int, most_bytes: int = ROW_BYTES) -> dict[str, Any]:
    """What token ``token`` reads, (head, token + 1), and who reads it, (head, length - token), in ``layer``.

    Exact, from kept rows or states; None, with a note, where the run kept neither.
    """
    attention = inspection.attention
    length = read_length(inspection)
    found: dict[str, Any] = {"layer": layer, "token": token, "reads": None, "readers": None, "exact": True, "note": ""}
    if token >= length:
        found["note"] = "This token was produced last and never read again: it has no attention of its own."
        return found
    if attention is None:
        found["note"] = "Attention was not captured in this run."
        return found
    try:
        found["reads"] = pack_exact_shares(np.asarray(attention.row(token, layer))[:, : token + 1], most_bytes)
    except CaptureError as error:
        found["note"] = str(error)
    try:
        found["readers"] = pack_exact_shares(
            np.asarray(attention.column(token, layer))[:, -(length - token) :], most_bytes
        )
    except CaptureError:
        found["readers"] = _known_readers(inspection, token, layer, most_bytes)
        every = attention.rows is not None and attention.rows.sizes["query"] == length
        if found["readers"] is not None and not every:
            found["note"] = "Kept of this run are the exact rows of its reply: readers are counted among those only."
    return found


def _known_readers(inspection: Inspection, token: int, layer: int, most_bytes: int) -> Packed | None:
    """Column ``token`` (head, length - token) as far as rows were kept, 0 elsewhere; None without rows."""
    assert inspection.attention is not None
    rows = inspection.attention.rows
    if rows is None or layer not in inspection.attention.layers:
        return None
    known = rows.sel(layer=layer)
    column = np.zeros((known.sizes["head"], read_length(inspection) - token), np.float32)
    for place, query in enumerate(int(q) for q in known["query"].values):
        if query >= token:
            column[:, query - token] = known.values[:, place, token]
    return pack_exact_shares(column, most_bytes)


def pool(maps: np.ndarray, factor: int, sizes: np.ndarray | None = None) -> np.ndarray:
    """Maps (head, q, k) with ``factor`` blocks made one a side: mean over queries, sum over keys. ``sizes`` (q,) are
    the queries of each block, for a last one with fewer; 1 each by default."""
    if factor == 1:
        return maps
    heads, rows, columns = maps.shape
    sizes = np.ones(rows) if sizes is None else sizes
    wide = np.pad(maps * sizes[:, None], ((0, 0), (0, -rows % factor), (0, -columns % factor)))
    counts = np.add.reduceat(sizes, np.arange(0, rows, factor))
    by_query = wide.reshape(heads, -1, factor, wide.shape[2]).sum(2) / counts[None, :, None]
    return by_query.reshape(heads, by_query.shape[1], -1, factor).sum(3)


def pool_largest(maps: np.ndarray, factor: int) -> np.ndarray:
    """Maps (head, q, k) with ``factor`` blocks made one a side: the largest of each."""
    if factor == 1:
        return maps
    at = [np.arange(0, size, factor) for size in maps.shape[1:]]
    return np.maximum.reduceat(np.maximum.reduceat(maps, at[0], axis=1), at[1], axis=2)


def _names(inspection: Inspection) -> list[list[Any]]:
    """[layer, index among the captured heads, name, score] of every head with a name."""
    attention = inspection.attention
    if attention is None or attention.statistics is None:
        return []
    table = attention.named_heads()
    named = table[table["name"] != ""].reset_index().to_dict("records")
    return [
        [int(row["layer"]), attention.heads.index(int(row["head"])), str(row["name"]), number(row[row["name"]])]
        for row in named
    ]


def _sample(inspection: Inspection) -> int | None:
    """Query rows taken of each block; None when all were, as in blocks of no more rows than the sample."""
    attention = inspection.attention
    if attention is None or not attention.errors or attention.statistics is None:
        return None
    return int(attention.statistics.attrs["sample"])


def _pooling(inspection: Inspection, most_bytes: int) -> int:
    assert inspection.attention is not None
    assert inspection.attention.map is not None
    _, heads, rows, columns = inspection.attention.map.shape
    heads *= 1 if inspection.attention.max_map is None else 2
    factor = 1
    while factor < rows and heads * -(-rows // factor) * -(-columns // factor) > most_bytes:
        factor += 1
    return factor


def _block(inspection: Inspection, most_bytes: int) -> int:
    assert inspection.attention is not None
    assert inspection.attention.map is not None
    return int(inspection.attention.map.attrs["block"]) * _pooling(inspection, most_bytes)


def _block_sizes(inspection: Inspection) -> np.ndarray:
    """Queries (query_block,) of each block of the map: the last one may have fewer."""
    assert inspection.attention is not None
    assert inspection.attention.map is not None
    blocks, block = inspection.attention.map.shape[2], inspection.attention.block
    sizes = np.full(blocks, float(block))
    sizes[-1] = min(max(read_length(inspection) - block * (blocks - 1), 1), block)
    return sizes
