"""Payload of the retrieval grid: scores by context length and depth, of one model, or of two and their difference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from workbench.errors import WorkbenchError
from workbench.views.arrays import pack_array

COLUMNS = ("length", "depth", "score", "n", "model")
INTERVAL = ("low", "high")
MOST_CELLS = 10_000


def pack(
    table: pd.DataFrame, models: Sequence[str] | None = None, limits: tuple[float, float] = (0.0, 1.0),
    score: str = "share of right answers", depth: str = "depth of the needle",
) -> dict[str, Any]:  # fmt: skip
    """What `grid.js` draws. ``table`` is in long form, a row for each trial or each cell: length (tokens of context),
    depth (share of it before the needle, 0 to 1), score, n (trials behind the score), model. Rows of one cell are
    averaged, weighted by n. Columns low and high, where there are both and one row a cell, are the score's interval.

    ``models`` are one or two of the table's, in order; None takes those it has. ``limits`` are the scores of no colour
    and of full colour: what lies outside is drawn as the limit and marked. ``score`` and ``depth`` name the axes.
    grids: for each model score float32 (depth, length), NaN where there is none, and n int32, 0 where nothing was
    tried: n > 0 with NaN was tried and has no score; low and high float32 where the table has them. difference: the
    second less the first, None for one model.
    Raises WorkbenchError for a table that is no such grid.
    """
    cells = _checked(table)
    known = list(dict.fromkeys(cells["model"]))
    chosen = list(models) if models is not None else known
    if not 1 <= len(chosen) <= 2 or len(set(chosen)) != len(chosen):
        raise WorkbenchError(
            f"{len(chosen)} models",
            expected="one or two different ones of the table",
            remedy="Name them in models=[...]",
        )
    if missing := [name for name in chosen if name not in known]:
        raise WorkbenchError(f"The table has no model {missing[0][:60]!r}", expected=f"one of {', '.join(known)}")
    low, high = (float(limit) for limit in limits)
    if not (np.isfinite([low, high]).all() and low < high):
        raise WorkbenchError(f"The limits are {low} and {high}", expected="two finite numbers, the smaller first")
    cells = cells[cells["model"].isin(chosen)]
    lengths, depths = np.unique(cells["length"].to_numpy(np.int64)), np.unique(cells["depth"].to_numpy(float))
    if len(lengths) * len(depths) > MOST_CELLS:
        raise WorkbenchError(f"The grid has {len(lengths)} x {len(depths)} cells", expected=f"at most {MOST_CELLS}")
    parts = [cells[cells["model"] == name] for name in chosen]
    grids = [_grid(part, lengths, depths) for part in parts]
    difference = None
    if len(grids) == 2:
        with np.errstate(invalid="ignore"):  # inf less inf has no difference
            difference = pack_array(grids[1][0] - grids[0][0], "float32")
    return {
        "models": [str(name) for name in chosen],
        "lengths": [int(length) for length in lengths],
        "depths": [round(float(depth), 6) for depth in depths],
        "limits": [low, high],
        "words": {"score": score, "depth": depth},
        "grids": [
            {"score": pack_array(values, "float32"), "n": pack_array(n, "int32")} | _interval(part, lengths, depths)
            for part, (values, n) in zip(parts, grids, strict=True)
        ],
        "difference": difference,
    }


def _checked(table: pd.DataFrame) -> pd.DataFrame:
    """The five columns as numbers and texts."""
    if not isinstance(table, pd.DataFrame):
        raise WorkbenchError(f"The scores are a {type(table).__name__}", expected="a DataFrame in long form")
    if absent := [name for name in COLUMNS if name not in table.columns]:
        raise WorkbenchError(f"The table has no column {absent[0]!r}", expected=", ".join(COLUMNS))
    if not len(table):
        raise WorkbenchError("The table has no rows", expected="a row for each cell")
    interval = [name for name in INTERVAL if set(INTERVAL) <= set(table.columns)]
    cells = table[[*COLUMNS, *interval]].copy()
    for name in (*COLUMNS[:-1], *interval):
        try:
            cells[name] = pd.to_numeric(cells[name]).astype(float)
        except (ValueError, TypeError):
            raise WorkbenchError(f"The column {name!r} holds something else than numbers") from None
    cells["model"] = cells["model"].astype(str)
    for name, good, expected in (
        ("length", (cells["length"] >= 1) & (cells["length"] % 1 == 0), "whole numbers of tokens"),
        ("depth", cells["depth"].between(0, 1), "shares of the length, 0 to 1"),
        ("n", (cells["n"] >= 0) & (cells["n"] % 1 == 0) & (cells["n"] < 2**31), "whole numbers of trials"),
    ):
        if not good.all():
            raise WorkbenchError(f"A {name} of the table is {cells[name][~good].iloc[0]:g}", expected=expected)
    return cells


def _interval(cells: pd.DataFrame, lengths: np.ndarray, depths: np.ndarray) -> dict[str, Any]:
    """low and high (depth, length) of one model's rows; nothing without them, or where rows were averaged."""
    if INTERVAL[0] not in cells or cells.duplicated(["length", "depth"]).any():
        return {}
    return {
        name: pack_array(_grid(cells.assign(score=cells[name]), lengths, depths)[0], "float32") for name in INTERVAL
    }


def _grid(cells: pd.DataFrame, lengths: np.ndarray, depths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Score (depth, length), NaN without one, and n, of one model's rows."""
    at = np.searchsorted(depths, cells["depth"]), np.searchsorted(lengths, cells["length"])
    score, n = cells["score"].to_numpy(float), cells["n"].to_numpy(float)
    scored = ~np.isnan(score) & (n > 0)
    tried, weight, total = (np.zeros((len(depths), len(lengths))) for _ in range(3))
    np.add.at(tried, at, n)
    np.add.at(weight, at, np.where(scored, n, 0.0))
    with np.errstate(invalid="ignore"):  # infinite scores of both signs in one cell have no mean
        np.add.at(total, at, np.where(scored, score, 0.0) * np.where(scored, n, 1.0))
    mean = np.full(total.shape, np.nan)
    np.divide(total, weight, out=mean, where=weight > 0)
    return mean, tried
