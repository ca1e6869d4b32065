"""Payloads of the difference views: two runs of one question, token by token, and what the second has more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.comparison import Comparison, Divergence
from workbench.comparison.parting import names
from workbench.errors import WorkbenchError
from workbench.views import differencecode
from workbench.views.arrays import number, pack_array, pack_signed_shares
from workbench.views.attention import MAP_BYTES, SHOWN_STATISTICS, pool
from workbench.views.cache import counts

if TYPE_CHECKING:
    from workbench.inspection import Inspection

SIDES = ("a", "b")


def pack(comparison: Comparison, run: str = "", other: str = "", most_bytes: int = MAP_BYTES) -> dict[str, Any]:
    """What the difference views need before a token is chosen. ``run`` and ``other`` are the hosts' names of a and b.

    tokens: the pieces of a, and those of b from ``common`` on; ``pairs`` int32 (n, 2) of aligned positions after it.
    parting: kind, sentence, positions (None where that answer has no further token). attention: see `_attention`.
    cache: what each layer holds in both, or None. lens and attention carry a ``note`` where they cannot be compared.
    """
    a, b = comparison.a, comparison.b
    part = comparison.parting
    return {
        **pack_alignment(comparison, run, other),
        "titles": list(names(a, b)),
        "prompt_lengths": [a.prompt_length, b.prompt_length],
        "tokens": [list(a.tokens), list(b.tokens[comparison.alignment.common :])],
        "parting": {
            "kind": part.kind,
            "sentence": part.sentence,
            "positions": [None if one is None else one.position for one in part.chosen],
        },
        "attention": _attention(comparison, most_bytes),
        "lens": {"note": _lens_note(comparison)},
        "cache": _cache(a, b),
        "measured": comparison.measured is not None,
    }


def pack_alignment(comparison: Comparison, run: str = "", other: str = "") -> dict[str, Any]:
    """How the tokens of the two texts belong together, all that `alignment.js` needs to find a counterpart."""
    found = comparison.alignment
    return {
        "run": run,
        "other": other,
        "lengths": list(found.lengths),
        "common": found.common,
        "pairs": pack_array(found.pairs, "int32"),
    }


def pack_layer(comparison: Comparison, layer: int, most_bytes: int = MAP_BYTES) -> dict[str, Any]:
    """The difference b - a of one layer's maps as signed shares (head, query_block, key_block), and means of both by
    head over the same tokens: statistics {name: [[a by head], [b by head]]}."""
    found = comparison.attention
    values = found.map(layer)
    factor = _factor(len(found.heads), values.shape[1], most_bytes)
    starts = np.arange(values.shape[1]) * found.block
    sizes = np.minimum(starts + found.block, found.length) - starts
    statistics: dict[str, list[list[float | None]]] = {}
    try:
        table = found.statistics().loc[layer]
        for name in SHOWN_STATISTICS:
            statistics[name] = [[number(value) for value in table[(name, side)]] for side in SIDES]
    except WorkbenchError:
        pass  # maps without statistics are drawn all the same
    return {
        "layer": layer,
        "map": pack_signed_shares(pool(np.asarray(values.values), factor, sizes.astype(float))),
        "largest": number(np.abs(values.values).max(), 5),
        "statistics": statistics,
    }


def pack_next(comparison: Comparison, side: str, token: int) -> dict[str, Any] | None:
    """The exact prediction of token ``token`` of the text of ``side`` by both models; None where nothing was measured.

    kl: [KL(a || b), KL(b || a)], entropy: [a, b], nats; rows: [piece, id, logprob by a, logprob by b] of the best
    candidates of either and of the token that came (``actual``, its id, None after the last), most probable first.
    """
    if comparison.measured is None:
        return None
    measured = comparison.measured[SIDES.index(side)]
    at = measured.place(token)
    if at is None:
        return None
    run = comparison.a if side == "a" else comparison.b
    rows = _candidates(measured, at, run.piece)
    actual = int(run.ids[token]) if token < len(run.ids) else None
    if actual is not None and actual not in rows:
        rows[actual] = (run.piece(actual), float(measured.logprob_a[at]), float(measured.logprob_b[at]))
    ordered = sorted(rows.items(), key=lambda row: -max(row[1][1:]))
    return {
        "kl": [number(measured.kl_ab[at], 6), number(measured.kl_ba[at], 6)],
        "entropy": [number(measured.entropy_a[at]), number(measured.entropy_b[at])],
        "rows": [[piece, token_id, number(p), number(q)] for token_id, (piece, p, q) in ordered],
        "actual": actual,
    }


def _candidates(measured: Divergence, at: int, piece: Any) -> dict[int, tuple[str, float, float]]:
    """Piece, log-probability by a and by b, of the best candidates of either model."""
    return {
        int(token): (measured.pieces.get(int(token), piece(int(token))), float(p), float(q))
        for side in SIDES
        for token, p, q in zip(
            getattr(measured, f"top_{side}")[at], getattr(measured, f"top_{side}_by_a")[at],
            getattr(measured, f"top_{side}_by_b")[at], strict=True,
        )
    }  # fmt: skip


def pack_whole(
    comparison: Comparison, run: str, other: str, most_bytes: int = MAP_BYTES, most_sides: int = 4096
) -> dict[str, Any]:
    """Everything at once, for a file without a server: ``open``, ``layers`` by number whose maps take ``most_bytes``
    each, ``next``, the exact predictions by side and token, the last ``most_sides`` of each text, and ``code`` by
    panel."""
    opened = pack(comparison, run, other, most_bytes)
    layers = comparison.attention.layers if opened["attention"]["captured"] else []
    said: dict[str, dict[str, Any]] = {side: {} for side in SIDES}
    for side, measured in zip(SIDES, comparison.measured or (), strict=False):
        for position in measured.positions[-most_sides:].tolist():
            said[side][str(position + 1)] = pack_next(comparison, side, position + 1)
    return {
        "open": opened,
        "layers": {str(layer): pack_layer(comparison, layer, most_bytes) for layer in layers},
        "next": said,
        "code": differencecode.pack(comparison),
    }


def answer_pair(comparison: Comparison, run: str, other: str, request: dict[str, Any]) -> dict[str, Any]:
    """The payload for a ``request`` {"part": "aligned" | "open" | "layer" | "next" | "code", ...}. Raises a
    WorkbenchError, in a sentence, for what does not exist."""
    part = request.get("part")
    if part == "aligned":
        return pack_alignment(comparison, run, other)
    if part == "open":
        return pack(comparison, run, other)
    if part == "layer":
        return pack_layer(comparison, _whole(request, "layer", int(comparison.a.model["layers"])))
    if part == "code":
        layer = _whole(request, "layer", int(comparison.a.model["layers"])) if request.get("layer") is not None else 0
        heads = comparison.attention.heads if request.get("panel") == "attention" else []
        place = request.get("head", -1)
        head = None if place in (None, -1) else heads[_whole(request, "head", len(heads))]
        return {"code": differencecode.code(comparison, str(request.get("panel")), layer, head)}
    if part == "next" and (side := request.get("side")) in SIDES:
        length = len((comparison.a if side == "a" else comparison.b).ids)
        return {"measured": pack_next(comparison, side, _whole(request, "token", length + 1))}
    raise WorkbenchError(
        f"a view asked for {str(part)[:40]!r} of a difference", expected="aligned, open, layer, next or code"
    )


def _attention(comparison: Comparison, most_bytes: int) -> dict[str, Any]:
    """What the map of differences needs: the tokens it covers (``length``), tokens a cell (``block``), the smaller
    window of the two, heads and layers; ``captured`` False, with a note, where there is nothing to compare."""
    found = comparison.attention
    try:
        blocks, heads, layers = -(-found.length // found.block), found.heads, found.layers
        found.map(layers[0])
    except (WorkbenchError, IndexError) as error:
        return {"captured": False, "note": str(error) or "No layer was captured in both runs."}
    windows = [window for run in (comparison.a, comparison.b) if (window := run.model["window"]) is not None]
    return {
        "captured": True,
        "note": "",
        "length": found.length,
        "layers": int(comparison.a.model["layers"]),
        "heads": len(heads),
        "head_names": heads,
        "kv_head_names": [comparison.a.attention.kv_heads[comparison.a.attention.heads.index(h)] for h in heads]
        if comparison.a.attention is not None
        else [],
        "block": found.block * _factor(len(heads), blocks, most_bytes),
        "window": min(windows, default=None),
        "windows": [run.model["window"] for run in (comparison.a, comparison.b)],
    }


def _lens_note(comparison: Comparison) -> str:
    try:
        return "" if comparison.lens.sizes["place"] else "No position of the two lenses can be compared."
    except WorkbenchError as error:
        return str(error)


def _cache(a: Inspection, b: Inspection) -> list[dict[str, Any]] | None:
    """What `cache.counts` says of both; None where one was not captured."""
    return None if a.kv_cache is None or b.kv_cache is None else [counts(a), counts(b)]


def _factor(heads: int, blocks: int, most_bytes: int) -> int:
    """Cells a side made one, so that a layer's maps take at most ``most_bytes``."""
    factor = 1
    while factor < blocks and heads * (-(-blocks // factor)) ** 2 > most_bytes:
        factor += 1
    return factor


def _whole(request: dict[str, Any], name: str, size: int) -> int:
    value = request.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < size:
        raise WorkbenchError(f"{name} {str(value)[:40]} does not exist in this run", expected=f"0 to {size - 1}")
    return value
