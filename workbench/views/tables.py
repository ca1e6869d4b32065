"""What a panel shows as a table (CSV) or as arrays (NPZ), with the exact values of the inspection."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from workbench.errors import CaptureError
from workbench.inspection.predictions import predictions
from workbench.views.attention import read_length
from workbench.views.lens import around

if TYPE_CHECKING:
    from workbench.inspection import Inspection

TABLES = {
    "tokens": ("tokens",),
    "attention": ("row", "map"),
    "lens": ("grid", "blocks"),
    "cache": ("layers", "positions"),
    "next": ("candidates",),
}
"""The tables of each panel, the usual one first."""
MOST_CELLS = 2**21
"""Of a table of all heads; a larger one has the chosen head only."""


def csv_text(frame: pd.DataFrame) -> str:
    """The table as CSV. Numbers keep all their digits; a text that a spreadsheet would take for a formula (it begins
    with = + - @, a tab or a line break) gets an apostrophe in front, and all texts are quoted."""
    safe = frame.copy()
    for name in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[name]):
            safe[name] = [guarded(value) if isinstance(value, str) else value for value in safe[name]]
    return safe.to_csv(index=False, quoting=2, lineterminator="\r\n")  # csv.QUOTE_NONNUMERIC


def guarded(text: str) -> str:
    """``text`` as a spreadsheet shall show it, never compute it."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text


def npz_bytes(arrays: dict[str, np.ndarray]) -> bytes:
    """The arrays as a compressed NPZ file that needs no pickle."""
    target = io.BytesIO()
    np.savez_compressed(target, **arrays)  # type: ignore[arg-type]
    return target.getvalue()


def table(
    inspection: Inspection, panel: str, name: str, token: int, layer: int = 0, head: int | None = None
) -> pd.DataFrame:
    """Table ``name`` of `TABLES` for the selected token, layer and head (its number in the model, None for the mean).
    Shares are probabilities; log-probabilities, entropies and KL are in nats. Raises CaptureError for what was not
    captured."""
    if name not in TABLES.get(panel, ()):
        raise CaptureError(f"the panel {panel[:20]!r} has no table {name[:20]!r}", expected=str(TABLES.get(panel, "")))
    found = {"row": _row, "map": _map}[name](inspection, token, layer, head) if panel == "attention" else None
    if found is None:
        made = {"tokens": _tokens, "grid": _grid, "blocks": _blocks, "layers": _layers, "positions": _positions,
                "candidates": _candidates}  # fmt: skip
        found = made[name](inspection, token)
    found.insert(0, "model", inspection.model["name"])
    return found


def arrays(inspection: Inspection, panel: str, token: int, layer: int = 0) -> dict[str, np.ndarray]:
    """What the panel shows, of all heads, as named arrays, with ids, pieces and the run's provenance as JSON."""
    found: dict[str, np.ndarray] = {}
    if panel == "attention":
        found = _attention_arrays(inspection, token, layer)
    elif panel == "lens":
        lens = _lens(inspection).sel(position=around(inspection, token))
        names = ("top_id", "top_logprob", "target_id", "target_rank", "target_logprob", "entropy", "kl")
        found = {name: lens[name].values for name in names}
        found |= {"layer": lens.layer.values, "position": lens.position.values}
        if (blocks := inspection.lens_blocks) is not None:
            found |= {f"block_{name}": values.values for name, values in blocks.data_vars.items()}
    elif panel == "cache":
        state = _cache(inspection)
        found = {str(name): values.values for name, values in state.data_vars.items()}
    elif panel in ("next", "tokens"):
        said = predictions(inspection)
        found = {"logprob": said.logprob, "rank": said.rank, "entropy": said.entropy}
    else:
        raise CaptureError(f"there is no panel {panel[:20]!r}", expected=", ".join(TABLES))
    found["ids"] = np.asarray(inspection.ids)
    found["pieces"] = np.array([str(piece) for piece in inspection.tokens])
    found["selected"] = np.array([token, layer])
    found["provenance"] = np.array(json.dumps(inspection.provenance, ensure_ascii=False, default=str))
    return found


def _tokens(inspection: Inspection, token: int) -> pd.DataFrame:
    said, length = predictions(inspection), len(inspection.ids)
    frame = pd.DataFrame(
        {
            "position": np.arange(length),
            "id": inspection.ids,
            "token": [str(piece) for piece in inspection.tokens],
            "part": ["generated" if i >= inspection.prompt_length else str(r) for i, r in enumerate(inspection.roles)],
            "logprob": said.logprob,
            "probability": np.exp(said.logprob),
            "rank": [int(rank) or None for rank in said.rank],
            "entropy": said.entropy[:length],
        }
    )
    for place in range(3):
        best = [said.top.get(i, [])[place : place + 1] for i in range(length)]
        frame[f"alternative_{place + 1}"] = [one[0][0] if one else None for one in best]
        frame[f"alternative_{place + 1}_logprob"] = [one[0][2] if one else np.nan for one in best]
    return frame


def _row(inspection: Inspection, token: int, layer: int, head: int | None) -> pd.DataFrame:
    """What ``token`` reads ("reads": other = key) and who reads it ("read by": other = query), a column a head."""
    attention = _attention(inspection)
    if token >= read_length(inspection):
        raise CaptureError("this token was produced last and never read again", remedy="Choose an earlier one")
    reads = np.asarray(attention.row(token, layer))[:, : token + 1]
    parts = [("reads", np.arange(token + 1), reads)]
    if "attention.queries" in inspection.arrays:
        readers = np.asarray(attention.column(token, layer))[:, token:]
        parts.append(("read by", np.arange(token, token + readers.shape[1]), readers))
    frames = []
    wide = sum(values.size for _, _, values in parts) <= MOST_CELLS
    for side, positions, values in parts:
        columns: dict[str, Any] = {
            "layer": layer, "token": token, "side": side, "position": positions,
            "piece": [str(inspection.tokens[i]) for i in positions], "mean of heads": values.mean(0),
        }  # fmt: skip
        shown = attention.heads if wide else [] if head is None else [head]
        columns |= {f"head {number}": values[attention.heads.index(number)] for number in shown}
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def _map(inspection: Inspection, token: int, layer: int, head: int | None) -> pd.DataFrame:
    """The map of the chosen head, or the mean of all: one line a cell that can hold anything."""
    attention = _attention(inspection)
    if attention.map is None:
        raise CaptureError("attention maps were not captured in this run", remedy="Run it again with attention maps")
    if layer not in attention.layers:
        raise CaptureError(f"layer {layer} was not captured", expected=f"one of {attention.layers}")
    values = attention.map.sel(layer=layer)
    values = values.mean("head") if head is None else values.sel(head=head)
    rows, columns = np.tril_indices(values.shape[0])
    block, last = attention.block, read_length(inspection) - 1
    return pd.DataFrame(
        {
            "layer": layer,
            "head": "mean" if head is None else head,
            "first query": rows * block,
            "last query": np.minimum((rows + 1) * block - 1, last),
            "first key": columns * block,
            "last key": np.minimum((columns + 1) * block - 1, last),
            "share": values.values[rows, columns],
        }
    )


def _attention_arrays(inspection: Inspection, token: int, layer: int) -> dict[str, np.ndarray]:
    attention = _attention(inspection)
    found: dict[str, np.ndarray] = {"head": np.array(attention.heads), "block": np.array(attention.block)}
    for name in ("map", "max_map"):
        if (values := getattr(attention, name)) is not None:
            found[name] = values.sel(layer=layer).values
    if (statistics := attention.statistics) is not None:
        found |= {
            f"statistics_{name}": v.sel(layer=layer).values for name, v in statistics.items() if "layer" in v.dims
        }
    for name, read in (("reads", attention.row), ("readers", attention.column)):
        try:
            found[name] = np.asarray(read(token, layer))
        except CaptureError:  # that row or column was not kept: the file has what there is
            continue
    return found


def _grid(inspection: Inspection, token: int) -> pd.DataFrame:
    lens = _lens(inspection).sel(position=around(inspection, token))
    layers, positions, best = lens.top_id.shape
    at = np.repeat(np.arange(layers), positions), np.tile(np.arange(positions), layers)
    targets = lens.target_id.values[at[1]]
    known = targets >= 0
    frame = pd.DataFrame(
        {
            "layer": lens.layer.values[at[0]],
            "position": lens.position.values[at[1]],
            "token": [str(inspection.tokens[p]) for p in lens.position.values[at[1]]],
            "came next": [inspection.piece(i) if i >= 0 else None for i in targets],
            "its rank": [int(r) if k else None for r, k in zip(lens.target_rank.values[at], known, strict=True)],
            "its logprob": np.where(known, lens.target_logprob.values[at], np.nan),
            "entropy": lens.entropy.values[at],
            "KL to output": lens.kl.values[at],
        }
    )
    for place in range(best):
        frame[f"guess {place + 1}"] = [inspection.piece(i) for i in lens.top_id.values[(*at, place)]]
        frame[f"guess {place + 1} probability"] = np.exp(lens.top_logprob.values[(*at, place)])
    return frame


def _blocks(inspection: Inspection, token: int) -> pd.DataFrame:
    if inspection.lens_blocks is None:
        raise CaptureError("the lens was read at positions, not by blocks", remedy="Take the grid")
    return inspection.lens_blocks.to_dataframe().reset_index()


def _layers(inspection: Inspection, token: int) -> pd.DataFrame:
    state = _cache(inspection)
    names = {"bytes": "bytes", "logical_length": "tokens seen", "physical_length": "tokens held", "evicted": "dropped"}
    return state[list(names)].to_dataframe()[list(names)].reset_index().rename(columns=names)


def _positions(inspection: Inspection, token: int) -> pd.DataFrame:
    """Norms by layer and position, means over key heads; empty where the entry was dropped."""
    state = _cache(inspection)
    frame = state[["key_norm", "value_norm"]].mean("kv_head").to_dataframe().reset_index()
    frame = frame[["layer", "position", "key_norm", "value_norm"]]
    frame.insert(2, "token", [str(inspection.tokens[p]) for p in frame["position"]])
    return frame.rename(columns={"key_norm": "key norm", "value_norm": "value norm"})


def _candidates(inspection: Inspection, token: int) -> pd.DataFrame:
    said, rows = predictions(inspection), []
    for side, index in (("instead", token), ("after", token + 1)):
        came = int(inspection.ids[index]) if index < len(inspection.ids) else None
        for place, (piece, token_id, logprob) in enumerate(said.top.get(index, [])):
            rows.append((side, index, place + 1, token_id, piece, logprob, float(np.exp(logprob)), token_id == came))
        listed = [token_id for _, token_id, _ in said.top.get(index, [])]
        if came is not None and came not in listed and index in said.top and said.rank[index] > 0:
            logprob = float(said.logprob[index])
            rows.append(
                (side, index, int(said.rank[index]), came, inspection.piece(came), logprob, np.exp(logprob), True)
            )
    names = ["side", "position", "rank", "id", "token", "logprob", "probability", "came"]
    return pd.DataFrame(rows, columns=names)


def _attention(inspection: Inspection) -> Any:
    if inspection.attention is None:
        raise CaptureError("attention was not captured in this run", remedy="Run it again with attention")
    return inspection.attention


def _lens(inspection: Inspection) -> Any:
    if inspection.lens is None or not inspection.lens.sizes["position"]:
        raise CaptureError("the logit lens was not captured in this run", remedy="Run it again with a lens")
    return inspection.lens


def _cache(inspection: Inspection) -> Any:
    if inspection.kv_cache is None:
        raise CaptureError("the KV cache was not captured in this run", remedy="Run it again with the KV cache")
    return inspection.kv_cache
