"""What a factorial found: outcomes of every cell, the effects of weights, window and theta, and a sentence."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from workbench.comparison.conclusion import conclusion, introduction
from workbench.comparison.design import Factor
from workbench.comparison.effects import Interval, corners, effects, interval
from workbench.errors import ComparisonError
from workbench.results import Result
from workbench.statistics import wilson

ALL = "all"
UNITS = {
    "loss": "nats a token", "retrieval": "share right", "answer": "nats a token", "kl": "nats a position",
}  # fmt: skip
TITLES = {
    "loss": "loss", "retrieval": "right answers", "answer": "log-probability of the answer", "kl": "KL",
}  # fmt: skip
"""Outcomes in words; "answer" comes with the measure "retrieval"."""


@dataclass(frozen=True, eq=False)
class Factorial(Result):
    """``values`` has a row for each outcome of an item in a cell: outcome ("loss", "retrieval", "answer", "kl"), where
    ("all", or a range of tokens read before, such as "past 512"), item, cell, value.

    loss: mean nats a token of the tokens there. retrieval: 1 for a right greedy answer. answer: mean log-probability
    of the tokens that spell it, nats. kl: mean of KL(``reference``'s own cell || cell) over the positions there, nats;
    it cannot go below its 0 in that cell, so effects on it do not add up as those on loss may.
    A cell names the level of each of ``factors`` in their order: "aba". ``planned`` and ``measured`` count items;
    ``notes``: a sentence for each cell that could not be run with every item, and for each factor that was dropped.
    """

    factors: tuple[Factor, ...]
    values: pd.DataFrame
    reference: str
    planned: int
    measured: int
    notes: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def finished(self) -> bool:
        """Whether every item was measured."""
        return self.measured == self.planned

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(one.name for one in self.factors)

    @cached_property
    def outcomes(self) -> list[tuple[str, str]]:
        """(outcome, where) of everything measured, in the order it is shown in."""
        found = self.values[["outcome", "where"]].drop_duplicates()
        return [(str(outcome), str(where)) for outcome, where in found.itertuples(index=False)]

    def paired(self, outcome: str, where: str = ALL) -> pd.DataFrame:
        """Value by item (rows) and cell (columns, in the order of `effects.corners`), of the items that every cell was
        measured on. Raises ComparisonError for an outcome that there is not."""
        chosen = self.values[(self.values["outcome"] == outcome) & (self.values["where"] == where)]
        if chosen.empty:
            raise ComparisonError(
                f"There is no {outcome!r} for {where!r} here",
                expected=", ".join(f"{one}: {place}" for one, place in self.outcomes) or "something measured",
            )
        order = list(dict.fromkeys(chosen["item"]))
        table = chosen.pivot(index="item", columns="cell", values="value")
        return table.reindex(index=order, columns=corners(len(self.factors))).dropna()

    @cached_property
    def cells(self) -> pd.DataFrame:
        """By outcome, where and cell: the level of each factor, the mean over the items that all cells share, its 95 %
        t interval (low, high; of shares Wilson's) and n."""
        rows = []
        for outcome, where in self.outcomes:
            table = self.paired(outcome, where)
            for cell in corners(len(self.factors)):
                found = interval(table[cell].to_numpy())
                if outcome == "retrieval" and found.n:
                    low, high = wilson(round(found.estimate * found.n), found.n)
                    found = found._replace(low=low, high=high)
                levels = [one.level(which) for one, which in zip(self.factors, cell, strict=True)]
                rows.append((outcome, where, cell, *levels, *found))
        names = ["outcome", "where", "cell", *self.names, "mean", "low", "high", "n"]
        return pd.DataFrame(rows, columns=names).set_index(["outcome", "where", "cell"])

    @cached_property
    def effects(self) -> pd.DataFrame:
        """By outcome, where and effect: estimate (b less a, in the outcome's unit; see `effects`), its 95 % t interval
        over items (low, high; each by itself, not corrected for their number) and n."""
        rows = [
            (outcome, where, name, *found)
            for outcome, where in self.outcomes
            for name, found in self.of(outcome, where).items()
        ]
        names = ["outcome", "where", "effect", "estimate", "low", "high", "n"]
        return pd.DataFrame(rows, columns=names).set_index(["outcome", "where", "effect"])

    def of(self, outcome: str, where: str = ALL) -> dict[str, Interval]:
        """Each effect on one outcome with its interval."""
        return effects(self.paired(outcome, where).to_numpy(), self.names)

    @cached_property
    def sentences(self) -> dict[tuple[str, str], str]:
        """By outcome and where: what is responsible, as far as the intervals tell."""
        found = {}
        for outcome, where in self.outcomes:
            means = self.paired(outcome, where).mean().to_numpy()
            title = f"{TITLES[outcome]} to {self.reference}'s own cell" if outcome == "kl" else TITLES[outcome]
            found[outcome, where] = conclusion(
                title, UNITS[outcome], where, self.factors, means, self.of(outcome, where)
            )
        return found

    @cached_property
    def sentence(self) -> str:
        """What is responsible for each outcome, in the farthest of the ranges it was measured in."""
        last = {outcome: where for outcome, where in self.outcomes if not self.paired(outcome, where).empty}
        told = [self.sentences[outcome, where] for outcome, where in last.items()]
        return " ".join([introduction(self.measured, self.planned), *told, *self.notes]).strip()

    def figure(self, outcome: str | None = None, where: str | None = None) -> Any:
        """A plotly figure: the effects with their intervals beside the cells, of one outcome or, by default, of each in
        its farthest range. Raises ComparisonError where plotly is not installed."""
        return importlib.import_module("workbench.figures.factorial").figure(self, outcome, where)

    def as_json(self) -> dict[str, Any]:
        """Tables, sentences and provenance as JSON-able data; NaN as None."""
        tables = {"cells": self.cells, "effects": self.effects}
        return {
            "factors": [vars(one) for one in self.factors],
            "reference": self.reference, "planned": self.planned, "measured": self.measured,
            "notes": list(self.notes), "sentence": self.sentence,
            "sentences": [{"outcome": o, "where": w, "sentence": said} for (o, w), said in self.sentences.items()],
            **{name: json.loads(one.reset_index().to_json(orient="records")) for name, one in tables.items()},
            "provenance": self.provenance,
        }  # fmt: skip

    def to_dataframe(self, cells: bool = False) -> pd.DataFrame:
        """`effects` as a flat table; with ``cells`` the cells' means."""
        return (self.cells if cells else self.effects).reset_index()

    def tables(self) -> list[tuple[str, pd.DataFrame]]:
        """Effects, then cells."""
        return [("Effects (b less a, 95 % t interval over items)", self.effects), ("Cells", self.cells)]

    def __repr__(self) -> str:
        levels = ", ".join(f"{one.name} {one.a} | {one.b}" for one in self.factors)
        items = f"{self.measured} items" if self.finished else f"unfinished, {self.measured} of {self.planned} items"
        return f"Factorial({levels}: {2 ** len(self.factors)} cells, {items})"


def grouped(outcome: str, values: np.ndarray, read: np.ndarray, edges: tuple[int, ...]) -> list[tuple[str, str, float]]:
    """(outcome, where, mean) of ``values`` (n,): all of them, and those in each range of ``read`` (n,), the tokens read
    before. With edges 256 and 512 the ranges are "to 256", "257 to 512" and "past 512"."""
    found = [(outcome, ALL, float(values.mean()))]
    for name, low, high in ranges(edges):
        inside = (read > low) & (read <= high)
        if inside.any():
            found.append((outcome, name, float(values[inside].mean())))
    return found


def ranges(edges: tuple[int, ...]) -> list[tuple[str, float, float]]:
    """Name, and the bounds (low, high] of each range of tokens read."""
    if not edges:
        return []
    found: list[tuple[str, float, float]] = [(f"to {edges[0]}", 0, edges[0])]
    found += [(f"{low + 1} to {high}", low, high) for low, high in pairwise(edges)]
    return [*found, (f"past {edges[-1]}", edges[-1], float("inf"))]
