"""The test of found heads: silence them, and as many others drawn at random, and ask the same questions again.

A head of an earlier layer may feed those that were found (an induction head needs a previous-token head below it), so
it is no fair control: sets with such heads are told apart from sets without.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from workbench.context.grid import Grid
from workbench.context.study import RetrievalStudy, needle
from workbench.errors import WorkbenchError
from workbench.models.given import models_given
from workbench.results import Result
from workbench.statistics import bootstrap_mean, sign_test, wilson

if TYPE_CHECKING:
    from workbench.model import Model

Head = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Ablation(Result):
    """``grid`` of one model as it is and with each of ``sets`` silenced; the first set holds the found heads, the
    others are controls."""

    model: str
    sets: tuple[tuple[Head, ...], ...]
    grid: Grid = field(repr=False)
    switches: tuple[str, ...] = field(repr=False)
    """The ``switches`` column of the grid's trials: of the model as it is, then of each set."""

    def table(self) -> pd.DataFrame:
        """A row a set, first the model as it is: silenced ("none", "found", "control 1" ...), heads, below (how many of
        them stand in a layer before the first found head, and may feed it), n, right with Wilson's interval low and
        high, logprob (nats a token of the expected answer), p of McNemar's exact test against the model as it is."""
        trials = self.grid.trials
        if not len(trials):
            raise WorkbenchError("Nothing was answered yet", remedy="Iterate the study first")
        said = ["none", "found", *(f"control {i}" for i in range(1, len(self.sets)))]
        rows = []
        first = min(layer for layer, _ in self.sets[0])
        whole = trials[trials["switches"] == self.switches[0]].set_index("item")["right"].astype(bool)
        for name, heads, switches in zip(said, ((), *self.sets), self.switches, strict=True):
            part = trials[trials["switches"] == switches].set_index("item")
            if not len(part):
                continue
            right = part["right"].astype(bool)
            shared = whole.index.intersection(right.index)
            a, b = whole[shared], right[shared]
            rows.append((name, " ".join(f"{layer}.{head}" for layer, head in heads),
                         sum(layer < first for layer, _ in heads), len(right), right.mean(),
                         *wilson(int(right.sum()), len(right)), (part["logprob"] / part["expected_tokens"]).mean(),
                         sign_test(int((b & ~a).sum()), int((a & ~b).sum()))))  # fmt: skip
        names = ["silenced", "heads", "below", "n", "right", "low", "high", "logprob", "p"]
        return pd.DataFrame(rows, columns=names)

    def controls(self, below: bool) -> tuple[int, float, float, float]:
        """Of the control sets with a head ``below`` the found ones, or without: how many were asked, the mean of their
        shares of right answers, and its 95 % bootstrap interval over the sets (NaN for fewer than two)."""
        table = self.table()
        mine = ~table["silenced"].isin(["none", "found"]) & ((table["below"] > 0) == below)
        shares = table.loc[mine, "right"].to_numpy(float)
        return len(shares), float(shares.mean()) if len(shares) else float("nan"), *bootstrap_mean(shares)

    @property
    def sentence(self) -> str:
        """The shares in words."""
        table = self.table().set_index("silenced")
        if "found" not in table.index or "none" not in table.index:
            return f"{self.model}: not finished"
        whole, found = _share(table.loc["none"]), _share(table.loc["found"])
        words = [f"{self.model} answers {whole}", f"without {_count(self.sets[0])} {found}"]
        for below, place in ((False, "none of them in an earlier layer"), (True, "some of them in an earlier layer")):
            draws, mean, low, high = self.controls(below)
            if draws:
                s, average = ("", "") if draws == 1 else ("s", " on average")
                band = "" if draws < 2 or low == high else f" (95 % over the draws: {low:.2f} to {high:.2f})"
                words.append(f"without as many others, {place}, {mean:.2f}{average}{band} in {draws} draw{s}")
        return "; ".join(words) + "."

    def figure(self) -> Any:
        """A plotly figure of the shares with their intervals."""
        return importlib.import_module("workbench.figures.heads").ablation_figure(self)

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Of the grid."""
        return self.grid.provenance

    def to_dataframe(self) -> pd.DataFrame:
        """`table`: a row a set of silenced heads. Raises WorkbenchError before anything was answered."""
        return self.table()

    def __repr__(self) -> str:
        return f"Ablation({self.sentence if len(self.grid) else 'nothing was answered yet'})"


class AblationStudy(RetrievalStudy):
    """A `RetrievalStudy` whose models are one model with and without heads; ``found`` is the `Ablation` so far."""

    model: Model
    sets: tuple[tuple[Head, ...], ...]

    @property
    def found(self) -> Ablation:
        """What has been answered so far, also when it was stopped."""
        models = [self.model, *(self.model.switched(silent=list(one)) for one in self.sets)]
        switches = tuple(json.dumps(dict(one.switches), sort_keys=True) for one in models)
        asked = {item.key for item in self.plan.items()}
        rows = self.grid.trials
        if len(rows):  # a folder may hold other models, and other questions
            rows = rows[(rows["weights"] == self.model.weights_hash) & rows["item"].isin(asked)]
        return Ablation(self.model.name, self.sets, Grid(rows, self.grid.provenance), switches)


def ablation(
    model: Model, heads: Iterable[Head], control: Iterable[Iterable[Head]] = (), **asked: Any
) -> AblationStudy:  # fmt: skip
    """An `AblationStudy` of ``model`` as it is, without ``heads``, and without each set of ``control`` heads, on the
    same questions; ``asked`` are the keywords of `needle`. Iterate it, then its ``found``. Raises WorkbenchError for no
    heads or two equal sets."""
    models_given(model)
    sets = tuple(tuple(sorted((int(layer), int(head)) for layer, head in one)) for one in (heads, *control))
    if not all(sets) or len(set(sets)) < len(sets):
        raise WorkbenchError("A set of heads is empty or comes twice", expected="different sets of (layer, head)")
    if asked.get("caches"):
        raise WorkbenchError("An ablation is measured with the model's own cache", expected="no cache policies")
    different = {one.name: one for one in (model, *(model.switched(silent=list(one)) for one in sets))}
    plan = needle(list(different.values()), **{k: v for k, v in asked.items() if k not in _OF_THE_STUDY}).plan
    study = AblationStudy(plan, **{k: v for k, v in asked.items() if k in _OF_THE_STUDY})
    study.model, study.sets = model, sets
    return study


_OF_THE_STUDY = ("folder", "stop", "share")


def _share(row: Any) -> str:
    return f"{round(row['right'] * row['n'])} of {int(row['n'])} ({row['low']:.2f} to {row['high']:.2f})"


def _count(heads: Sequence[Head]) -> str:
    return "the found head" if len(heads) == 1 else f"the {len(heads)} found heads"
