"""The questions behind one cell of a retrieval grid, as the page asks for them; each answer, and why."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import workbench as wb
from apps.studio.asked_grid import WITHOUT, AskedGrid, deep
from apps.studio.named_models import Named
from workbench.context.mechanism import Mechanism
from workbench.errors import WorkbenchError
from workbench.views.questions import mechanism, question


def questions(
    grid: wb.Grid, asked: AskedGrid, folder: Path | None, model: wb.Model, task: str, length: int, depth: float
) -> list[dict[str, Any]]:
    """By case what `views.questions.question` packs, and "same": the question is the one that was asked then.
    ``model`` gives the tokenizer."""
    found = []
    table = _at(grid, task, length, depth)
    for case, part in table.groupby("case", sort=True):
        item = asked.item(model.tokenizer, folder, task, length, depth, int(case))  # type: ignore[call-overload]
        found.append(question(item, part.to_dict("records")) | {"same": item.key in set(part["item"])})
    return found


def _at(grid: wb.Grid, task: str, length: int, depth: float) -> Any:
    table = grid.trials
    if not len(table):
        return table
    here = table["depth"].isna() | np.isclose(table["depth"].to_numpy(float), depth, atol=1e-5)
    return table[(table["task"] == task) & (table["length"] == length) & here]


def why(found: Mechanism, named: Named, asked: AskedGrid) -> dict[str, Any]:
    """What `views.questions.mechanism` packs, with the model's name and title and the code that repeats it."""
    item = found.item
    depth = 0.5 if item.depth is None else item.depth
    return mechanism(found, named.title) | {
        "model": named.name, "title": named.title,
        "code": "\n".join([
            "import workbench as wb",
            "from workbench.context.tasks import task", "", f"model = {named.code}",
            f"item = task({'yours.jsonl' if item.task == 'own' else item.task!r}).make(model.tokenizer, {item.length}, "
            f"{depth}, case={item.case}, seed={item.seed}, form={item.form!r})",
            "found = wb.mechanism(model, item)", "print(found)", "found.heads(), found.rank",
        ]) + "\n",
    }  # fmt: skip


def chosen(asked: AskedGrid, request: Mapping[str, Any]) -> tuple[str, int, float]:
    """Task, length and depth of a cell of the grid. Raises WorkbenchError for a cell that it has not."""
    task, length, depth = request.get("task"), request.get("length"), request.get("depth")
    if task not in asked.tasks or length not in asked.lengths or not isinstance(depth, int | float):
        raise WorkbenchError("This cell is not in the grid", expected="a cell of the picture")
    if not deep(str(task)):
        return str(task), int(length), WITHOUT
    near = min(asked.depths, key=lambda one: abs(one - depth))
    return str(task), int(length), float(near)
