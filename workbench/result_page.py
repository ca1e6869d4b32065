"""A study's result as one self-contained HTML file: sentence, grids, charts, tables, provenance; opened from disk."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from workbench.context.grid import Grid
from workbench.errors import WorkbenchError
from workbench.results.markup import flat
from workbench.results.writing import write_text
from workbench.views import charts, grid
from workbench.views.bundle import FOLDER, page_of

if TYPE_CHECKING:
    from workbench.results import Result

MOST_ROWS = 2000
"""Of one table of a page."""
MOST_TRIALS = 5000
"""Of a grid whose answers a page holds."""
LONGEST = 400
"""Characters of an answer in a page."""


Captioned = Sequence[tuple[str, Any]]


def write_page(
    result: Result, path: str | Path, title: str | None = None, beside: Sequence[Result] = (),
    figures: Captioned | None = None, tables: Captioned | None = None,
) -> Path:  # fmt: skip
    """Write the page and return its path; the file appears whole or not at all. Figures and tables of the results
    ``beside`` follow, under their sentences. ``figures`` and ``tables``, (caption, plotly figure or table) each, stand
    instead of the result's own. Answers, names and pieces are data in it, never markup."""
    return write_text(path, render(result, title, beside, figures, tables))


def render(
    result: Result, title: str | None = None, beside: Sequence[Result] = (), figures: Captioned | None = None,
    tables: Captioned | None = None,
) -> str:  # fmt: skip
    """The page as text."""
    name = title or " of ".join(part for part in (type(result).__name__, _about(result)) if part)
    provenance = getattr(result, "provenance", {})
    grids = _grids(result) if isinstance(result, Grid) else []
    own = result.figures() if figures is None else figures
    shown = _tables(result) if tables is None else tables
    drawn = [*own, *((one.telling(), figure) for one in beside for _, figure in one.figures())]
    data = {
        "title": name, "line": repr(result), "sentence": _fresh(result), "grids": grids,
        "charts": [] if grids else [{"caption": caption, "payload": charts.pack(figure)}
                                    for caption, figure in drawn],
        "tables": [_table(caption, table)
                   for caption, table in [*shown, *(pair for one in beside for pair in _tables(one))]],
        "provenance": json.dumps(dict(provenance), indent=2, ensure_ascii=False, default=str),
    }  # fmt: skip
    return page_of(name, data, "resultpage", [FOLDER / "charts.js", FOLDER / "resultpage.js"])


def _fresh(result: Result) -> str:
    """The sentence, unless the one line says it already."""
    said = result.telling()
    return "" if said in repr(result) else said


def _about(result: Result) -> str:
    """The models it is about, as far as the result or its provenance names them."""
    for field in ("models", "by", "model"):
        if named := getattr(result, field, None):
            return named if isinstance(named, str) else " and ".join(map(str, named))
    named = getattr(result, "provenance", {}).get("model", "")
    return named if isinstance(named, str) else ""


def _tables(result: Result) -> list[tuple[str, pd.DataFrame]]:
    try:
        return [(caption, table) for caption, table in result.tables() if len(table)]
    except WorkbenchError:  # nothing was measured yet
        return []


def _table(caption: str, table: pd.DataFrame) -> dict[str, Any]:
    shown = flat(table)
    part = shown.head(MOST_ROWS)
    kinds = ["number" if pd.api.types.is_numeric_dtype(part[name]) and not pd.api.types.is_bool_dtype(part[name])
             else "text" for name in part.columns]  # fmt: skip
    return {
        "caption": caption, "of": len(shown),
        "columns": [{"name": str(name), "kind": kind} for name, kind in zip(part.columns, kinds, strict=True)],
        "rows": [[_plain(value) for value in row] for row in part.itertuples(index=False, name=None)],
    }  # fmt: skip


def _plain(value: Any) -> Any:
    """A JSON value; None for what is missing."""
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _grids(result: Grid) -> list[dict[str, Any]]:
    """For each task the grids of two models and their difference, or of each of more models by itself."""
    found: list[dict[str, Any]] = []
    cells = result.cells
    for task in dict.fromkeys(cells["task"]):
        part = cells[cells["task"] == task].rename(columns={"right": "score"})
        placed = part["depth"].notna().any()
        part = part.fillna({"depth": 0.0})
        named = [name for name in result.models if name in set(part["model"])]
        groups = [named] if len(named) <= 2 else [[name] for name in named]
        trials = result.trials[result.trials["task"] == task].fillna({"depth": 0.0})
        kept = trials.head(MOST_TRIALS)
        rows = [
            {"model": str(row["model"]), "length": int(row["length"]), "depth": float(row["depth"]),
             "case": int(row["case"]), "expected": _plain(row["expected"]), "answer": _plain(row["answer"]),
             "right": bool(row["right"]), "logprob": _plain(float(row["logprob"]) / int(row["expected_tokens"]))}
            for row in kept.to_dict("records")
        ]  # fmt: skip
        for names in groups:
            payload = grid.pack(part, names, depth="depth of the needle" if placed else "no depth: one row")
            caption = f"Task {task}" + ("" if len(groups) == 1 else f": {names[0]}")
            mine = [row for row in rows if row["model"] in names]
            found.append({"caption": caption, "payload": payload, "trials": mine})
    return found
