"""Two kept runs as a pair: compared for the difference views, and measured exactly when somebody asks."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Generator, Iterator
from typing import Any

import workbench as wb
from apps.studio.runs import RunStore
from apps.studio.shelf import Shelf
from workbench.comparison import Alignment, Divergence, measuring
from workbench.comparison.both import positions_of
from workbench.errors import WorkbenchError
from workbench.views.difference import answer_pair

PAIRS = 64
"""Pairs of which the alignment and the measured numbers are kept."""
EVERYWHERE = 2048
"""Tokens of a text that is measured at every position; of a longer one only the reply is."""

Measured = tuple[Divergence, Divergence]


class Pairs:
    """What is known of pairs of runs, by their ids. Inspections stay in the store alone: one that had to go is gone."""

    def __init__(self, runs: RunStore, shelf: Shelf) -> None:
        self._runs, self._shelf = runs, shelf
        self._known: OrderedDict[tuple[str, str], tuple[Alignment, Measured | None]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, run: Any, other: Any, tab: Any = None) -> wb.Comparison:
        """The comparison of two runs; WorkbenchError when one is gone, not the ``tab``'s to see (None: the app itself
        asks), or they cannot be compared."""
        a, b = self._runs.get(run, tab), self._runs.get(other, tab)
        with self._lock:
            alignment, measured = self._known.get((run, other), (None, None))
        found = wb.Comparison.of(a, b, measured, alignment)
        if alignment is None:
            self._keep((run, other), found.alignment, None)
        return found

    def difference(self, request: Any) -> dict[str, Any]:
        """What a view asks of two runs, {"run", "other", "part", ...} (`views.difference.answer_pair`), or
        {"error": sentence}. Never runs a model."""
        try:
            if not isinstance(request, dict):
                raise WorkbenchError("the page sent something else than a request")
            run, other = request.get("run"), request.get("other")
            return answer_pair(self.of(run, other, str(request.get("tab"))), str(run), str(other), request)
        except WorkbenchError as error:
            return {"error": str(error)}

    def measuring(self, run: Any, other: Any, stop: threading.Event, tab: Any = None) -> Iterator[float]:
        """Run both models on both texts; yields the share that is done, 0 to 1, and keeps the result. Nothing is done
        when it was measured before. WorkbenchError when the models of the runs are not the ones at hand."""
        found = self.of(run, other, tab)
        if found.measured is not None:
            yield 1.0
            return
        models = [self._model_of(one) for one in (found.a, found.b)]
        texts = [found.a] if found.alignment.same else [found.a, found.b]
        tokens = sum(len(one.ids) for one in texts)
        done, results = 0, []
        for one in texts:
            positions = positions_of(one, "all" if len(one.ids) <= EVERYWHERE else "reply")
            steps = measuring(models[0], models[1], one.ids.tolist(), positions, stop)
            result = yield from _shares(steps, done, tokens)
            results.append(result)
            done += len(one.ids)
        self._keep((str(run), str(other)), found.alignment, (results[0], results[-1]))
        yield 1.0

    def _model_of(self, inspection: wb.Inspection) -> wb.Model:
        """The model that made ``inspection``, with the same switches; WorkbenchError when it is not on the shelf."""
        said = inspection.provenance
        if policy := said.get("settings", {}).get("cache"):
            raise WorkbenchError(
                f"A run was made under the cache policy {policy}, and whole texts are measured under none",
                expected="runs with the models' own caches",
            )
        name = said.get("switched_from") or said.get("model")
        if name not in self._shelf.names:
            raise WorkbenchError(
                f"{str(name)[:60]} is not one of the models that are served here", expected="a run of one that is",
                remedy="Measure with wb.compare where that model is loaded",
            )  # fmt: skip
        model = self._shelf.get(name, said.get("switches") or None)
        if model.weights_hash != said.get("weights"):
            raise WorkbenchError(
                f"The run was made with other weights than those of {name} here", remedy="Ask again, and measure that"
            )
        return model

    def _keep(self, key: tuple[str, str], alignment: Alignment, measured: Measured | None) -> None:
        with self._lock:
            self._known[key] = (alignment, measured)
            self._known.move_to_end(key)
            while len(self._known) > PAIRS:
                self._known.popitem(last=False)


def _shares(steps: Generator[int, None, Divergence], done: int, tokens: int) -> Generator[float, None, Divergence]:
    """The share of all ``tokens`` that has been read, ``done`` before; returns what the steps return."""
    while True:
        try:
            read = next(steps)
        except StopIteration as end:
            found: Divergence = end.value
            return found
        yield (done + read) / tokens
