"""Which heads bring the needle into the answer, over many questions; and the test of that claim: take them out.

A head that reads the needle while the answer is written may still not matter. So the found heads are silenced
(`ablation`), and as many heads drawn at random are silenced as a control, on the very same questions.
"""

from __future__ import annotations

import importlib
import random
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd
import xarray as xr

from workbench.context.ablation import Head, ablation
from workbench.context.item import Item
from workbench.context.mechanism import Mechanism, mechanism
from workbench.errors import WorkbenchError
from workbench.models.given import models_given
from workbench.results import Result

if TYPE_CHECKING:
    from workbench.model import Model


@dataclass(frozen=True, eq=False)
class RetrievalHeads(Result):
    """``mechanisms`` of one model on several items."""

    model: str
    mechanisms: tuple[Mechanism, ...] = field(repr=False)

    @cached_property
    def table(self) -> pd.DataFrame:
        """By layer and head: score (mean share of told tokens that the head looks up in the needle, over the items that
        have any), needle_mass (mean attention on the needle while they are written), items; best first."""
        parts = pd.concat([one.heads().assign(item=one.item.key) for one in self.mechanisms])
        found = parts.groupby(["layer", "head"]).agg(
            score=("copied", "mean"), needle_mass=("needle_mass", "mean"), items=("item", "nunique")
        )
        return found.sort_values(["score", "needle_mass"], ascending=False).reset_index()

    @cached_property
    def by_length(self) -> pd.DataFrame:
        """By length: items, answered (share where the model's own guess is right at every told token), settles (mean
        layer from which on the lens guesses them, over those), needle_mass and score of the best ten heads of the
        table, logprob (nats a told token)."""
        best = set(map(tuple, self.table.head(10)[["layer", "head"]].to_numpy().tolist()))
        rows = []
        for one in self.mechanisms:
            heads = one.heads()
            mine = heads[[(layer, head) in best for layer, head in zip(heads["layer"], heads["head"], strict=True)]]
            told = one.told if one.told.any() else ~one.told
            rows.append({
                "length": one.item.length, "answered": one.settles is not None, "settles": one.settles,
                "needle_mass": mine["needle_mass"].mean(), "score": mine["copied"].mean(),
                "logprob": float(one.logprob.values[-1][told].mean()),
            })  # fmt: skip
        table = pd.DataFrame(rows)
        table["settles"] = pd.to_numeric(table["settles"])
        found = table.groupby("length").agg(
            items=("answered", "size"), answered=("answered", "mean"), settles=("settles", "mean"),
            needle_mass=("needle_mass", "mean"), score=("score", "mean"), logprob=("logprob", "mean"),
        )  # fmt: skip
        return found.reset_index()

    def top(self, least: float = 0.5, most: int | None = None) -> list[Head]:
        """The heads with a score of at least ``least``, best first, at most ``most`` of them."""
        found = self.table[self.table["score"] >= least]
        return [(int(layer), int(head)) for layer, head in found[["layer", "head"]].to_numpy()[:most]]

    def control(self, count: int, seed: int = 0, below: float = 0.1, first_layer: int = 0) -> list[Head]:
        """``count`` heads drawn at random from those with a score under ``below``, of ``first_layer`` and later ones:
        from the layer of the first found head on, none of them can feed it. WorkbenchError when there are not so
        many."""
        mine = (self.table["score"].fillna(0) < below) & (self.table["layer"] >= first_layer)
        others = self.table.loc[mine, ["layer", "head"]].to_numpy().tolist()
        if len(others) < count:
            place = f" from layer {first_layer} on" if first_layer else ""
            raise WorkbenchError(
                f"Only {len(others)} heads have a score under {below:g}{place}", expected=f"{count} for the control",
                remedy="Silence fewer heads",
            )  # fmt: skip
        drawn = random.Random(seed).sample(sorted(others), count)
        return sorted((int(layer), int(head)) for layer, head in drawn)

    def figure(self) -> Any:
        """A plotly figure: layer by head, coloured by the score and by the attention on the needle."""
        return importlib.import_module("workbench.figures.heads").heads_figure(self)

    @property
    def provenance(self) -> dict[str, Any]:
        """Of the model, and the items that were looked at."""
        first = self.mechanisms[0].provenance if self.mechanisms else {}
        return {**first, "settings": {"items": [one.item.key for one in self.mechanisms]}}

    def to_dataframe(self) -> pd.DataFrame:
        """`table`: a row a layer and head, best first."""
        return self.table.copy()

    def to_xarray(self) -> xr.Dataset:
        """score and needle_mass (layer, head), shares."""
        return self.table.set_index(["layer", "head"])[["score", "needle_mass"]].to_xarray()

    def tables(self) -> list[tuple[str, pd.DataFrame]]:
        """The heads, and what happens by length."""
        return [("Heads, best first", self.table), ("By length of the context", self.by_length)]

    def __repr__(self) -> str:
        top = self.top()
        named = ", ".join(f"{layer}.{head}" for layer, head in top[:6]) or "none"
        return (
            f"RetrievalHeads({self.model}, {len(self.mechanisms)} items: {len(top)} heads with a score of 0.5: {named})"
        )


@dataclass(frozen=True)
class Looked:
    """``done`` of ``of`` items, the last ``mechanism``."""

    done: int
    of: int
    mechanism: Mechanism


class HeadSearch:
    """Iterate it for a `Looked` an item; ``found`` are the `RetrievalHeads` so far."""

    def __init__(self, model: Model, items: Iterable[Item], stop: threading.Event | None = None) -> None:
        """Raises WorkbenchError without items."""
        models_given(model)
        self.model, self.items, self.stop = model, list(items), stop or threading.Event()
        if not self.items:
            raise WorkbenchError("There are no items to look at", expected="at least one, with a needle")
        self._seen: list[Mechanism] = []

    def __iter__(self) -> Iterator[Looked]:
        for item in self.items[len(self._seen) :]:
            if self.stop.is_set():
                return
            self._seen.append(mechanism(self.model, item))
            yield Looked(len(self._seen), len(self.items), self._seen[-1])

    @property
    def found(self) -> RetrievalHeads:
        """WorkbenchError when nothing was looked at."""
        if not self._seen:
            raise WorkbenchError("No item was looked at yet", remedy="Iterate the search first")
        return RetrievalHeads(self.model.name, tuple(self._seen))


def retrieval_heads(model: Model, items: Iterable[Item], stop: threading.Event | None = None) -> RetrievalHeads:
    """The `RetrievalHeads` of a model on ``items``, all of them at once."""
    search = HeadSearch(model, items, stop)
    for _ in search:
        pass
    return search.found


__all__ = ["Head", "HeadSearch", "Looked", "RetrievalHeads", "ablation", "retrieval_heads"]
