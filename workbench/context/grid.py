"""What a retrieval study found: cells with their intervals, models against each other on identical items, the longest
context that still works."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from workbench.context.apart import known, told_apart
from workbench.context.store import read_settings, read_trials
from workbench.errors import WorkbenchError
from workbench.models.given import path_given
from workbench.results import Result
from workbench.statistics import bootstrap_mean, sign_test, wilson

CELL = ["task", "model", "length", "depth"]
THRESHOLD = 0.856
"""RULER's bar for an effective length: what Llama-2-7B reaches at 4k there."""


@dataclass(frozen=True, eq=False)
class Grid(Result):
    """``trials``: a row for each (see `study.as_row`); one name that stands for several models or tasks in a shared
    folder is told apart (`apart.told_apart`). ``provenance``: the study's settings, and each model's."""

    trials: pd.DataFrame
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "trials", told_apart(self.trials))

    @classmethod
    def open(cls, path: str | Path) -> Grid:
        """The results in a study's folder, or in the file that ``save`` wrote. Raises FileFormatError for what is
        neither."""
        if path_given(path, "file or folder").is_file():
            return super().open(path)
        return cls(read_trials(path), {"settings": read_settings(path)})

    @property
    def caution(self) -> str:
        """What intervals and p do not know: a sentence where questions share their text ("" elsewhere)."""
        repeated = self.trials[self.trials["haystack"] == "noise"] if "haystack" in self.trials else self.trials[:0]
        if not len(repeated):
            return ""
        tasks = " and ".join(sorted(set(repeated["task"].astype(str))))
        return (f"Questions of {tasks} repeat one noise and share it within a cell; intervals and p take each for a "
                "text of its own, and are too narrow there.")  # fmt: skip

    @cached_property
    def cells(self) -> pd.DataFrame:
        """By task, model, length and depth (NaN for tasks without): n, right (share of right answers) with Wilson's
        95 % interval low and high, found (mean share of references found), logprob (mean nats a token of the expected
        answer), seconds."""
        rows = []
        for place, part in self._groups(CELL):
            right = int(part["right"].sum())
            low, high = wilson(right, len(part))
            rows.append((*place, len(part), right / len(part), low, high, part["share"].mean(),
                         (part["logprob"] / part["expected_tokens"]).mean(), part["seconds"].sum()))  # fmt: skip
        names = [*CELL, "n", "right", "low", "high", "found", "logprob", "seconds"]
        return pd.DataFrame(rows, columns=names)

    def by_length(self, task: str | None = None) -> pd.DataFrame:
        """By task, model and length, over all depths: n, right, low, high, logprob."""
        rows = []
        for place, part in self._groups(["task", "model", "length"]):
            right = int(part["right"].sum())
            per_token = (part["logprob"] / part["expected_tokens"]).mean()
            rows.append((*place, len(part), right / len(part), *wilson(right, len(part)), per_token))
        found = pd.DataFrame(rows, columns=["task", "model", "length", "n", "right", "low", "high", "logprob"])
        return found if task is None else found[found["task"] == task].reset_index(drop=True)

    def effective_length(self, threshold: float = THRESHOLD) -> pd.DataFrame:
        """By task and model: effective_length, the longest length whose share of right answers, and that of every
        shorter one asked, reaches ``threshold`` (0 where even the shortest does not); sure, the same by the low end of
        the interval; longest, the longest that was asked."""
        if not 0 < threshold <= 1:
            raise WorkbenchError(f"A threshold of {threshold}", expected="a share between 0 and 1")
        rows = []
        for (task, model), part in self.by_length().groupby(["task", "model"], sort=True):
            part = part.sort_values("length")
            rows.append((task, model, *(_reached(part["length"], part[name] >= threshold) for name in ("right", "low")),
                         int(part["length"].max())))  # fmt: skip
        return pd.DataFrame(rows, columns=["task", "model", "effective_length", "sure", "longest"])

    def paired(self, a: str, b: str) -> pd.DataFrame:
        """Models ``a`` and ``b`` on the items both have answered, by task and length: n, both, only_a, only_b, neither
        right; difference of the shares (b - a); p of McNemar's exact test; logprob_difference (mean nats a token, b -
        a) with its 95 % bootstrap interval low and high. Raises WorkbenchError when they share no item."""
        known((a, b), self.trials["model"])
        sides = [self.trials[self.trials["model"] == name].set_index("item") for name in (a, b)]
        shared = sides[0].index.intersection(sides[1].index)
        if not len(shared):
            raise WorkbenchError(f"{a} and {b} have answered no item in common", expected="two models of one study")
        left, right = (side.loc[shared] for side in sides)
        table = pd.DataFrame({
            "task": left["task"], "length": left["length"], "a": left["right"].astype(bool),
            "b": right["right"].astype(bool),
            "gain": right["logprob"] / right["expected_tokens"] - left["logprob"] / left["expected_tokens"],
        })  # fmt: skip
        rows = []
        for (task, length), part in table.groupby(["task", "length"], sort=True):
            won, lost = int((part["b"] & ~part["a"]).sum()), int((part["a"] & ~part["b"]).sum())
            both, neither = int((part["a"] & part["b"]).sum()), int((~part["a"] & ~part["b"]).sum())
            gain = part["gain"].to_numpy()
            rows.append((task, length, len(part), both, lost, won, neither, (won - lost) / len(part),
                         sign_test(won, lost), gain.mean(), *bootstrap_mean(gain)))  # fmt: skip
        return pd.DataFrame(rows, columns=["task", "length", "n", "both", "only_a", "only_b", "neither", "difference",
                                           "p", "logprob_difference", "low", "high"])  # fmt: skip

    def save_csv(self, path: str | Path) -> Path:
        """Write the cells as CSV."""
        target = path_given(path)
        self.cells.to_csv(target, index=False)
        return target

    def save_jsonl(self, path: str | Path) -> Path:
        """Write every trial as a line of JSON, the first one being the provenance: for others to recompute."""
        target = path_given(path)
        with target.open("w", encoding="utf-8") as file:
            file.write(json.dumps({"provenance": dict(self.provenance)}, default=str) + "\n")
            for row in self.trials.to_dict("records"):
                file.write(json.dumps(row, default=_plain, ensure_ascii=False) + "\n")
        return target

    @property
    def models(self) -> list[str]:
        """The models' names, in the order they were asked; by name where that is not known."""
        answered = set(self.trials["model"]) if len(self.trials) else set()
        asked = [label for name in self.provenance.get("models", ())
                 for label in sorted(answered) if label == name or label.startswith(f"{name} [")]  # fmt: skip
        asked = list(dict.fromkeys(asked))
        return asked + sorted(answered - set(asked))

    def save_svg(self, path: str | Path, task: str | None = None) -> Path:
        """Write the grid as one SVG picture: right answers in each cell, one panel a model."""
        target, drawn = path_given(path), importlib.import_module("workbench.figures.grid_svg").grid_svg(self, task)
        target.write_text(drawn, encoding="utf-8")
        return target

    def figure(self, task: str | None = None) -> Any:
        """A plotly figure: depth by length for each model, coloured by the share of right answers."""
        return importlib.import_module("workbench.figures.grid").grid_figure(self, task)

    def _groups(self, names: list[str]) -> list[tuple[tuple[Any, ...], pd.DataFrame]]:
        if not len(self.trials):
            return []
        found = self.trials.groupby(names, sort=True, dropna=False)
        return [(tuple(place) if isinstance(place, tuple) else (place,), part) for place, part in found]

    def __len__(self) -> int:
        return len(self.trials)

    def to_dataframe(self, trials: bool = False) -> pd.DataFrame:
        """A row a cell, the columns of `cells`; with ``trials`` a row a trial, as `study.as_row` names its columns."""
        return self.trials.copy() if trials else self.cells.copy()

    def to_xarray(self) -> xr.Dataset:
        """right, low, high, found (shares), logprob (nats a token) and n over (task, model, length, depth), length in
        tokens, depth a share of the context; NaN, and n 0, where nothing was asked. A task without depths has the one
        depth -1."""
        cells = self.cells.fillna({"depth": -1.0}).set_index(CELL)
        if not len(cells):
            raise WorkbenchError("Nothing was answered yet", remedy="Iterate the study first")
        found = cells[["right", "low", "high", "found", "logprob", "n"]].to_xarray()
        return found.assign(n=found["n"].fillna(0).astype(int))

    def widget(self, models: Any = ()) -> Any:
        """The grid in a notebook (`widgets.grid.RetrievalGrid`): a click on a cell shows its questions and answers, and
        with ``models``, the `Model`s that were asked, their mechanism. Raises WorkbenchError where anywidget is not
        installed, and for an empty grid."""
        return importlib.import_module("workbench.widgets").RetrievalGrid(self, models)

    def tables(self) -> list[tuple[str, pd.DataFrame]]:
        """Shares by length first, then every cell, the longest contexts that work, and models on the same items."""
        if not len(self.trials):
            return []
        title = "Right answers by length, with Wilson's 95 % interval"
        found = [(f"{title}. {self.caution}".rstrip(". "), self.by_length()), ("Cells", self.cells),
                 (f"Longest context with a share of {THRESHOLD:g} right", self.effective_length())]  # fmt: skip
        models = self.models
        for other in models[1:]:
            try:
                found.append((f"{models[0]} (a) and {other} (b) on identical items", self.paired(models[0], other)))
            except WorkbenchError:
                continue
        return found

    def figures(self) -> list[tuple[str, Any]]:
        """A figure for each task."""
        tasks = sorted(set(self.trials["task"])) if len(self.trials) else []
        return [(f"Task {task}", self.figure(task)) for task in tasks]

    def __repr__(self) -> str:
        if not len(self.trials):
            return "Grid(nothing was answered yet)"
        cells = self.cells
        share = self.trials.groupby("model")["right"].mean()
        said = ", ".join(f"{model} {part:.2f} right" for model, part in share.items())
        return f"Grid({len(self.trials)} trials in {len(cells)} cells: {said})"


def _reached(lengths: pd.Series, good: pd.Series) -> int:
    """The last of the leading lengths that are good."""
    passed = np.cumprod(good.to_numpy(bool)).sum()
    return int(lengths.iloc[passed - 1]) if passed else 0


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else str(value)
