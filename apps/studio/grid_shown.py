"""A retrieval grid as the page draws it: cells, pictures of each model, pairs on identical items, effective lengths."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pandas as pd

import workbench as wb
from apps.studio.asked_grid import WITHOUT, AskedGrid, deep, planned
from workbench.context.tasks import TASKS
from workbench.views.grid import pack

MEASURES = {
    "right": ("share of right answers", (0.0, 1.0)),
    "logprob": ("log-probability of the answer, nats a token", (-4.0, 0.0)),
}
"""Columns of the cells that can be drawn: what they are called, and the values of no colour and of full colour."""


def shown(grid: wb.Grid, asked: AskedGrid, study: str, threshold: float) -> dict[str, Any]:
    """All of it as JSON: study, models, tasks, lengths, depths, cases, done and of (trials), cells, by_length,
    effective, pairs [{a, b, rows}], views {task: {measure: {model: payload of grid.js}}}, code, provenance."""
    names = [one.name for one in asked.models]
    there = [name for name in names if len(grid) and (grid.trials["model"] == name).any()]
    return {
        "study": study, "models": [one.as_json() for one in asked.models], "cases": asked.cases, "seed": asked.seed,
        "tasks": [{"name": name, "title": title_of(name), "deep": deep(name)} for name in asked.tasks],
        "lengths": list(asked.lengths), "depths": list(asked.depths), "form": asked.form,
        "done": len(grid), "of": planned(asked), "cells": rows(grid.cells), "by_length": rows(grid.by_length()),
        "effective": effective(grid, threshold), "threshold": threshold,
        "pairs": [{"a": a, "b": b, "rows": paired(grid, a, b)} for a, b in itertools.combinations(there, 2)],
        "views": {task: {measure: _views(grid, asked, task, measure) for measure in MEASURES} for task in asked.tasks},
        "code": asked.code, "provenance": json.loads(json.dumps(dict(grid.provenance), default=str)),
    }  # fmt: skip


def effective(grid: wb.Grid, threshold: float) -> list[dict[str, Any]]:
    """`Grid.effective_length` as rows."""
    return rows(grid.effective_length(threshold)) if len(grid) else []


def paired(grid: wb.Grid, a: str, b: str) -> list[dict[str, Any]]:
    """`Grid.paired` as rows; none where the two share no item yet."""
    items = [set(grid.trials["item"][grid.trials["model"] == name]) for name in (a, b)]
    return rows(grid.paired(a, b)) if items[0] & items[1] else []


def title_of(task: str) -> str:
    return "Questions of your own" if task == "own" else TASKS[task].title


def _views(grid: wb.Grid, asked: AskedGrid, task: str, measure: str) -> dict[str, Any]:
    """One model's grid each, every place that was asked for in it; what is not answered yet has n 0."""
    depths = asked.depths if deep(task) else (WITHOUT,)
    cells = grid.cells[grid.cells["task"] == task]
    cells = cells.assign(score=cells[measure], depth=cells["depth"].astype(float).fillna(WITHOUT).round(6))
    label, limits = MEASURES[measure]
    interval = ["low", "high"] if measure == "right" else []
    places = pd.MultiIndex.from_product(
        [asked.lengths, [round(depth, 6) for depth in depths]], names=["length", "depth"]
    )
    found = {}
    for one in asked.models:
        mine = cells[cells["model"] == one.name].set_index(["length", "depth"])[["score", "n", *interval]]
        table = mine.reindex(places).reset_index().assign(model=one.title)
        words = "depth of the needle" if deep(task) else "all of the text (this task has no depth)"
        found[one.name] = pack(table.fillna({"n": 0}), limits=limits, score=label, depth=words)
    return found


def rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A table's rows as JSON, NaN as nothing."""
    found: list[dict[str, Any]] = json.loads(table.to_json(orient="records", double_precision=12))
    return found
