"""What changed between two models, without running them: files, switches, tokenizer, template, and every tensor."""

from __future__ import annotations

import importlib
import json
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from workbench.comparison.progress import Progress
from workbench.comparison.stated import Change, stated_changes
from workbench.comparison.weights import TensorDistance, distances, grouped_table, names_of, tensor_table
from workbench.errors import ComparisonError
from workbench.inspection.provenance import provenance
from workbench.results import Result

if TYPE_CHECKING:
    from workbench.model import Model

_NAMED = 3


@dataclass(frozen=True, eq=False)
class Changes(Result):
    """``stated``: every difference outside the weights. ``tensors``: every tensor compared so far, of ``planned``; 0
    planned where the weights were left out, for the reason ``unread`` or because nobody asked."""

    by: tuple[str, str]
    stated: tuple[Change, ...]
    tensors: tuple[TensorDistance, ...] = ()
    planned: int = 0
    unread: str = ""
    provenance: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def same(self) -> bool:
        """Nothing that was looked at differs."""
        return not self.stated and all(one.same for one in self.tensors)

    @cached_property
    def sentences(self) -> tuple[str, ...]:
        """One for each thing that differs, and one on the weights."""
        found = [one.sentence for one in self.stated]
        if self.unread:
            found.append(self.unread)
        if self.planned:
            found.append(self._weights())
        return tuple(found) if found else ("nothing differs in config, tokenizer and chat template",)

    def _weights(self) -> str:
        differ = sorted((one for one in self.tensors if not one.same), key=_apart, reverse=True)
        n, compared = len(differ), len(self.tensors)
        short = "" if compared == self.planned else f"; stopped after {compared} of {self.planned}"
        if not n:
            return f"all {compared} tensors are identical{short}"
        verb = "differs" if n == 1 else "differ"
        named = ", ".join(str(one) for one in differ[:_NAMED])
        more = "" if n <= _NAMED else f" and {n - _NAMED} more, the largest first"
        return f"{n} of {compared} tensors {verb}: {named}{more}{short}"

    def table(self) -> pd.DataFrame:
        """A row for each difference outside the weights: kind, name, a, b, sentence."""
        return pd.DataFrame([vars(one) for one in self.stated], columns=["kind", "name", "a", "b", "sentence"])

    @cached_property
    def weights(self) -> pd.DataFrame:
        """A row for each tensor; see `weights.tensor_table`."""
        return tensor_table(self.tensors)

    @cached_property
    def grouped(self) -> pd.DataFrame:
        """Relative distance by layer and kind of tensor; see `weights.grouped_table`."""
        return grouped_table(self.tensors)

    def as_json(self) -> dict[str, Any]:
        """Sentences, tables and provenance as JSON-able data; NaN as None."""
        weights = self.weights.reset_index()
        return {
            "by": list(self.by), "same": self.same, "sentences": list(self.sentences),
            "stated": [vars(one) for one in self.stated], "planned": self.planned,
            "tensors": json.loads(weights.to_json(orient="records", double_precision=15)),
            "grouped": json.loads(self.grouped.to_json(orient="split", double_precision=15)),
            "provenance": self.provenance,
        }  # fmt: skip

    @property
    def sentence(self) -> str:
        """All `sentences` as one text."""
        return "; ".join(self.sentences) + "."

    def to_dataframe(self, weights: bool = False) -> pd.DataFrame:
        """`table`: a row a difference outside the weights; with ``weights`` a row a tensor."""
        return self.weights.reset_index() if weights else self.table()

    def figure(self) -> Any:
        """A plotly figure: relative distance of the weights by layer and kind of tensor. Raises WorkbenchError without
        plotly or where the weights were not compared."""
        return importlib.import_module("workbench.figures.maps").changes_figure(self)

    def tables(self) -> list[tuple[str, pd.DataFrame]]:
        """What the files state, then the tensors where they were compared."""
        found = [("Outside the weights", self.table())]
        return [*found, ("Tensors", self.weights)] if self.tensors else found

    def __repr__(self) -> str:
        differ = sum(not one.same for one in self.tensors)
        tensors = f"{differ} of {len(self.tensors)} tensors differ" if self.planned else "weights not compared"
        return f"Changes({self.by[0]} | {self.by[1]}: {len(self.stated)} differences outside the weights, {tensors})"


def changes(
    a: Model, b: Model, *, weights: bool = True, stop: threading.Event | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Changes:  # fmt: skip
    """Everything that differs between two models, without running them: switches, config fields, generation config,
    dtype, tokenizer, special tokens, chat template, and with ``weights`` the distance of every tensor, one pair in
    memory at a time. ``stop`` ends it with what is compared; ``progress`` is told after each tensor.

    The models may have different tokenizers and shapes. Raises ComparisonError for what is no model.
    """
    steps = changing(a, b, weights, stop)
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            found: Changes = end.value
            return found
        if progress is not None:
            progress(step)


def changing(
    a: Model, b: Model, weights: bool = True, stop: threading.Event | None = None
) -> Generator[Progress, None, Changes]:  # fmt: skip
    """`changes` in steps: yields how many tensors are compared, and returns the result."""
    for model in (a, b):
        if not hasattr(model, "generate"):
            raise ComparisonError(f"A {type(model).__name__} was given", expected="two models of wb.load")
    stated = tuple(stated_changes(a, b))
    packed = next((model for model in (a, b) if model.quantization is not None), None)
    unread = f"the weights were not compared: {packed.name} is loaded as {packed.quantization}" if packed else ""
    found: list[TensorDistance] = []
    planned = len(names_of(a, b)) if weights and packed is None else 0
    if planned:
        for one in distances(a, b, stop):
            found.append(one)
            yield Progress(len(found), planned, f"tensor {len(found)} of {planned}, {one.name}")
    settings = {"weights": bool(planned)}
    origin = {side: provenance(model.loaded, [], settings) for side, model in (("a", a), ("b", b))}
    return Changes((a.name, b.name), stated, tuple(found), planned, unread if weights else "", origin)


def _apart(one: TensorDistance) -> float:
    """For sorting: what cannot be compared at all is farthest."""
    return one.distance if one.distance == one.distance else float("inf")
