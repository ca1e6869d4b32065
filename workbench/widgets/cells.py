"""The cells of a retrieval grid: how they are drawn, the questions behind one, and why they were answered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from workbench.context.apart import apart, plain
from workbench.context.grid import Grid
from workbench.context.item import Item
from workbench.context.mechanism import Mechanism, mechanism
from workbench.context.study import RetrievalStudy
from workbench.context.task import Task
from workbench.context.tasks import TASKS, task
from workbench.errors import WorkbenchError
from workbench.model import Model
from workbench.views import questions
from workbench.views.grid import pack

MEASURES = {
    "right": ("share of right answers", (0.0, 1.0)),
    "logprob": ("log-probability of the answer, nats a token", (-4.0, 0.0)),
}
"""Columns of `Grid.cells` that can be drawn: what they are called, and the values of no colour and of full colour."""
MIDDLE = 0.5  # where a task without depths is drawn
Place = tuple[str, int, float]
"""Task, length in tokens, depth as a share."""


class Cells:
    """``places``: (length, depth) of every cell by task, of a study those that are asked for; a task that stands for
    several is named as in `context.apart`, "needle [noise]". ``mechanisms``: those that were worked out, by task,
    length, depth, case and model."""

    def __init__(self, found: RetrievalStudy | Grid, models: Iterable[Model]) -> None:
        self._found = found
        self._models = {model.name: model for model in models}
        self._asked = _asked(found) if isinstance(found, RetrievalStudy) else {}
        self.places = _places(found, self._asked)
        self.mechanisms: dict[tuple[str, int, float, int, str], Mechanism] = {}

    @property
    def grid(self) -> Grid:
        """The results so far."""
        return self._found if isinstance(self._found, Grid) else self._found.grid

    def picture(self, name: str, measure: str, models: Sequence[str]) -> dict[str, Any]:
        """The payload of `grid.js` for one task and one or two models; what is not answered yet has n 0."""
        label, limits = MEASURES[measure]
        cells = self.grid.cells
        cells = cells[cells["task"] == self._label(name)]
        cells = cells.assign(score=cells[measure], depth=cells["depth"].astype(float).fillna(MIDDLE).round(6))
        interval = ["low", "high"] if measure == "right" else []
        places = pd.MultiIndex.from_tuples(self.places[name], names=["length", "depth"])
        tables = []
        for model in models:
            mine = cells[cells["model"] == model].set_index(["length", "depth"])[["score", "n", *interval]]
            tables.append(mine.astype(float).reindex(places).reset_index().assign(model=short(model)))
        kind = self._asked.get(name) or TASKS.get(plain(name))
        deep = kind is None or kind.deep
        words = "depth of the needle" if deep else "all of the text (this task has no depth)"
        return pack(pd.concat(tables).fillna({"n": 0}), limits=limits, score=label, depth=words)

    def place(self, wanted: Mapping[str, Any]) -> Place:
        """The cell at {"task", "length", "depth"}. Raises WorkbenchError for one that the grid has not."""
        name, length, depth = (wanted.get(part) for part in ("task", "length", "depth"))
        near = [
            at
            for at in self.places.get(str(name), [])
            if at[0] == length and isinstance(depth, int | float) and abs(at[1] - depth) < 1e-5
        ]
        if not near:
            raise WorkbenchError("This cell is not in the grid", expected='{"task", "length", "depth"} of one that is')
        return str(name), near[0][0], near[0][1]

    def items(self, at: Place) -> dict[int, tuple[Item, pd.DataFrame]]:
        """By case the question that was asked at ``at`` and its rows of ``grid.trials``. Raises WorkbenchError where no
        model is there to encode it."""
        name, length, depth = at
        if not self._models:
            raise WorkbenchError(
                "Without a model the questions cannot be written again",
                remedy='Give one: RetrievalGrid(grid, models=[wb.load("...")])',
            )
        trials = self.grid.trials
        if not len(trials):
            return {}
        here = trials["depth"].isna() | np.isclose(trials["depth"].to_numpy(float), depth, atol=1e-5)
        table = trials[(trials["task"] == self._label(name)) & (trials["length"] == length) & here]
        tokenizer = next(iter(self._models.values())).tokenizer
        found = {}
        for number, rows in table.groupby("case", sort=True):
            case, row = int(str(number)), rows.iloc[0]
            made = self._task(name, str(row["haystack"]))
            item = made.make(tokenizer, length, depth, case, int(row["seed"]), str(row["form"]))
            if item.key in set(rows["item"]):  # another tokenizer, or another text of one's own, asks something else
                found[case] = (item, rows)
        return found

    def _label(self, name: str) -> str:
        """What the grid calls the task ``name`` of a study: its folder may hold others of that name, told apart."""
        trials = self.grid.trials
        if name not in self._asked or not len(trials):
            return name
        asked = self._asked[name]
        label = apart(asked.name, asked.variant)
        same = trials[trials["task"] == asked.name]
        others = len(same) and "variant" in same and not (same["variant"].fillna("") == asked.variant).any()
        return label if others or (trials["task"] == label).any() else asked.name

    def _task(self, name: str, haystack: str) -> Any:
        if name in self._asked:
            return self._asked[name]
        own = task(plain(name))
        return own if haystack in ("", own.own_haystack) else task(plain(name), haystack)

    def questions(self, at: Place) -> list[dict[str, Any]]:
        """`views.questions.question` of every case that was asked at ``at``."""
        return [questions.question(item, _rows(rows)) for item, rows in self.items(at).values()]

    def explain(self, at: Place, case: int, model: str) -> Mechanism:
        """Why ``model`` answered question ``case`` at ``at`` as it did."""
        key = (*at, case, model)
        if key not in self.mechanisms:
            if model not in self._models:
                raise WorkbenchError(f"{model[:80]} is not here", expected=" or ".join(self._models) or "a model")
            asked = self.items(at)
            if case not in asked:
                raise WorkbenchError(f"Question {case} was not asked in this cell", expected=f"one of {list(asked)}")
            self.mechanisms[key] = mechanism(self._models[model], asked[case][0])
        return self.mechanisms[key]


def _asked(study: RetrievalStudy) -> dict[str, Task]:
    """The tasks of a study by name; where one name stands for several, told apart."""
    names = [one.name for one in study.plan.tasks]
    return {one.name if names.count(one.name) == 1 else apart(one.name, one.variant): one for one in study.plan.tasks}


def _places(found: RetrievalStudy | Grid, tasks: Mapping[str, Task]) -> dict[str, list[tuple[int, float]]]:
    places: dict[str, list[tuple[int, float]]] = {}
    if isinstance(found, RetrievalStudy):
        names = {one: name for name, one in tasks.items()}
        asked = [(names[group.task], *at) for group in found.plan.groups() for at in group.places]
    else:
        asked = [tuple(row) for row in found.cells[["task", "length", "depth"]].itertuples(index=False)]
    for name, length, depth in asked:
        at = (int(length), MIDDLE if np.isnan(depth) else round(float(depth), 6))
        if at not in places.setdefault(name, []):
            places[name].append(at)
    return {name: sorted(known) for name, known in places.items()}


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def short(name: str) -> str:
    """The last part of a model's name, which may be a folder."""
    return name.rstrip("/").rsplit("/", 1)[-1]
