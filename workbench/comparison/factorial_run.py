"""A factorial under way: every item in every cell, one item after the other; what is done is there at any time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import torch

from workbench.comparison.design import design
from workbench.comparison.factorial_result import ALL, UNITS, Factorial, grouped, ranges
from workbench.comparison.items import Item, in_turn, question_item, spread, text_item
from workbench.comparison.outcomes import KL_EVERY, Reference, answer, read_text
from workbench.comparison.progress import Progress
from workbench.comparison.questions import Question, Text, questions_of, texts_of
from workbench.errors import ComparisonError
from workbench.inspection.provenance import provenance

if TYPE_CHECKING:
    from workbench.model import Model

MEASURES = ("loss", "retrieval", "kl")
_PROBED = 256  # tokens read to tell the speed


@dataclass(frozen=True)
class Cost:
    """What a run reads: ``tokens`` over all cells, and about how many ``seconds`` that takes where it was tried."""

    cells: int
    texts: int
    questions: int
    tokens: int
    seconds: float | None = None

    def __str__(self) -> str:
        items = [f"{n} {what}" for n, what in ((self.texts, "texts"), (self.questions, "questions")) if n]
        said = f"{self.cells} cells x {' and '.join(items)}: {self.tokens:,} tokens to read"
        return said if self.seconds is None else f"{said}, about {max(1, round(self.seconds))} s"


class FactorialRun:
    """``for progress in run: ...`` measures; ``run.result`` is the `Factorial` as far as it came, also after Stop.

    Arguments: see `factorial`. Items of all kinds come in turn, each in every cell before the next, so that a run that
    is stopped has whole items of every kind; ``measured`` counts them.
    """

    def __init__(
        self, a: Model, b: Model, *, measures: Sequence[str] = MEASURES, texts: Any = None, questions: Any = None,
        reference: Literal["a", "b"] = "a", edges: Sequence[int] | None = None, most: int | None = None,
        stop: threading.Event | None = None,
    ) -> None:  # fmt: skip
        self.design = design(a, b)
        self._a, self._b, self.stop = a, b, stop or threading.Event()
        self.measures = _measures(measures)
        if reference not in ("a", "b"):
            raise ComparisonError(f"The reference is {str(reference)[:40]!r}", expected='"a" or "b"')
        if most is not None and (not isinstance(most, int) or most < 1):
            raise ComparisonError(f"most is {most!r}", expected="a number of items of at least 1, or None for all")
        self.reference: Literal["a", "b"] = reference
        read = [spread(texts_of(texts), most)] if {"loss", "kl"} & set(self.measures) else [[]]
        asked = [spread(questions_of(questions), most)] if "retrieval" in self.measures else [[]]
        self._items = in_turn([text_item(a, one) for one in read[0]], [question_item(a, one) for one in asked[0]])
        self.edges = _edges(edges, a, b, max((len(one.ids) for one in self._items), default=0))
        self._values: list[tuple[str, str, str, str, float]] = []
        self.measured = 0
        self._failed: dict[str, list[str]] = {}
        self._iterator = self._steps()

    @property
    def cost(self) -> Cost:
        """What the run reads."""
        texts = sum(isinstance(one.source, Text) for one in self._items)
        cells = len(self.design.models)
        return Cost(cells, texts, len(self._items) - texts, cells * sum(one.tokens for one in self._items))

    def estimate(self) -> Cost:
        """The cost with its time, from one item of each kind in one cell: a guess."""
        cost, model = self.cost, next(iter(self.design.models.values()))
        seconds = 0.0
        for kind in (Text, Question):
            items = [one for one in self._items if isinstance(one.source, kind)]
            if not items:
                continue
            middle = sorted(items, key=lambda one: one.tokens)[len(items) // 2]
            tokens = middle.tokens if kind is Question else min(_PROBED, middle.tokens)
            took = min(self._once(model, middle, tokens) for _ in range(2))  # the first one also warms up
            seconds += took * cost.cells * sum(one.tokens for one in items) / tokens
        return replace(cost, seconds=seconds)

    def _once(self, model: Model, item: Item, tokens: int) -> float:
        """Seconds that ``tokens`` of an item take in one cell."""
        kl, ids = "kl" in self.measures, item.ids[: max(2, min(tokens, model.context))]
        against = None
        if isinstance(item.source, Text) and kl:  # the reference itself is read once for all cells
            first = read_text(model, ids, None, kl)
            against = first.reference if first is not None else None
        began = time.perf_counter()
        if isinstance(item.source, Text):
            read_text(model, ids, against, kl)
        elif item.tokens <= model.context:
            answer(model, item.source)
        return time.perf_counter() - began

    def __iter__(self) -> Iterator[Progress]:
        return self._iterator

    def __next__(self) -> Progress:
        return next(self._iterator)

    def _steps(self) -> Iterator[Progress]:
        done, total = 0, self.cost.tokens
        order = sorted(self.design.models, key=lambda cell: cell != self._own)  # the reference first
        for number, item in enumerate(self._items, 1):
            found: list[tuple[str, str, str, str, float]] = []
            against: Reference | None = None
            for place, cell in enumerate(order, 1):
                if self.stop.is_set():
                    return
                outcome, against = self._tried(cell, item, against)
                if self.stop.is_set():
                    return
                found += outcome
                done += item.tokens
                said = f"item {number} of {len(self._items)} ({item.key}), cell {place} of {len(order)}"
                if place == len(order):  # whole items only: a stopped run has no item in some cells
                    self._values += found
                    self.measured += 1
                yield Progress(done, total, said)

    @property
    def _own(self) -> str:
        """The cell of the reference model itself."""
        return self.reference * len(self.design.factors)

    def _tried(
        self, cell: str, item: Item, against: Reference | None
    ) -> tuple[list[tuple[str, str, str, str, float]], Reference | None]:
        """The outcomes of an item in a cell; none, with a note, where it cannot be run."""
        model = self.design.models[cell]
        if item.tokens > model.context:
            return self._cannot(cell, f"has room for {model.context} tokens"), against
        try:
            if isinstance(item.source, Question):
                return self._asked(model, cell, item), against
            return self._read(model, cell, item, against)
        except (torch.OutOfMemoryError, MemoryError):
            return self._cannot(cell, "needs more memory than there is"), against

    def _asked(self, model: Model, cell: str, item: Item) -> list[tuple[str, str, str, str, float]]:
        assert isinstance(item.source, Question)
        found = answer(model, item.source, self.stop)
        if found is None:
            return []
        length = np.array([len(item.ids)])
        rows = grouped("retrieval", np.array([float(found.right)]), length, self.edges)
        rows += grouped("answer", np.array([found.logprob]), length, self.edges)
        return [(outcome, where, item.key, cell, value) for outcome, where, value in rows]

    def _read(
        self, model: Model, cell: str, item: Item, against: Reference | None
    ) -> tuple[list[tuple[str, str, str, str, float]], Reference | None]:
        kl = "kl" in self.measures
        if kl and against is None and cell != self._own:  # the reference could not be run
            return self._cannot(cell, f"has no reference: {self.reference} could not be run"), None
        found = read_text(model, item.ids, against, kl, self.stop)
        if found is None:
            return [], against
        read = np.arange(1, len(item.ids))  # tokens read before each that is predicted
        rows = grouped("loss", -found.logprob, read, self.edges) if "loss" in self.measures else []
        if found.kl is not None:
            rows += grouped("kl", found.kl, read[::KL_EVERY], self.edges)
        return [(outcome, where, item.key, cell, value) for outcome, where, value in rows], found.reference

    def _cannot(self, cell: str, why: str) -> list[tuple[str, str, str, str, float]]:
        self._failed.setdefault(cell, []).append(why)
        return []

    @property
    def result(self) -> Factorial:
        """What is known so far."""
        notes = list(self.design.dropped)
        for cell, reasons in self._failed.items():
            notes += [
                f"The cell {self.design.described(cell)} {why}: {reasons.count(why)} of {len(self._items)} items were "
                "not run there and count in no effect."
                for why in dict.fromkeys(reasons)
            ]
        settings = {
            "measures": list(self.measures), "reference": self.reference, "edges": list(self.edges),
            "kl_every": KL_EVERY, "items": [one.key for one in self._items],
        }  # fmt: skip
        ids = [token for one in self._items for token in one.ids]
        origin = {name: provenance(one.loaded, ids, settings) for name, one in (("a", self._a), ("b", self._b))}
        values = pd.DataFrame(self._values, columns=["outcome", "where", "item", "cell", "value"])
        order = {name: i for i, name in enumerate([*UNITS, ALL, *(name for name, _, _ in ranges(self.edges))])}
        values = values.sort_values(
            ["outcome", "where"], key=lambda column: column.map(order), kind="stable", ignore_index=True
        )
        return Factorial(
            self.design.factors, values, self.reference, len(self._items), self.measured, tuple(notes), origin
        )


def factorial(
    a: Model, b: Model, *, measures: Sequence[str] = MEASURES, texts: Iterable[Any] | str | Path | None = None,
    questions: Iterable[Any] | Path | None = None, reference: Literal["a", "b"] = "a",
    edges: Sequence[int] | None = None, most: int | None = None, stop: threading.Event | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Factorial:  # fmt: skip
    """Which of weights, window and theta is responsible for what differs between ``a`` and ``b``: every combination of
    the three is measured (`Model.switched`, no weight is copied), and the effects are worked out over the items.

    ``measures``: "loss" of ``texts``, "retrieval" of ``questions``, "kl" of every cell to ``reference``'s own on the
    texts, at every fourth position. ``texts`` and ``questions``: see `texts_of` and `questions_of`; held-out ones of
    the twins' language when None. ``edges``: numbers of tokens read at which outcomes are told apart; by default the
    windows and trained lengths of both. ``most`` items of each kind, evenly chosen. ``stop`` ends it with what is
    measured; ``progress`` is told after each item in each cell. A window no smaller than a text changes nothing there.

    Raises ComparisonError for models that do not share a tokenizer or do not differ, PromptError for items.
    """
    run = FactorialRun(
        a, b, measures=measures, texts=texts, questions=questions, reference=reference, edges=edges, most=most,
        stop=stop,
    )  # fmt: skip
    for step in run:
        if progress is not None:
            progress(step)
    return run.result


def _measures(wanted: Sequence[str]) -> tuple[str, ...]:
    chosen = [wanted] if isinstance(wanted, str) else list(wanted)
    if not chosen or (unknown := [one for one in chosen if one not in MEASURES]):
        what = f"{str(unknown[0])[:40]!r} is no measure" if chosen else "No measure was chosen"
        raise ComparisonError(what, expected=", ".join(MEASURES))
    return tuple(one for one in MEASURES if one in chosen)


def _edges(wanted: Sequence[int] | None, a: Model, b: Model, longest: int) -> tuple[int, ...]:
    if wanted is None:
        known = {a.window, b.window, a.trained_context, b.trained_context}
        return tuple(sorted(edge for edge in known if edge is not None and edge < longest))
    if not all(isinstance(edge, int) and edge > 0 for edge in wanted):
        raise ComparisonError(f"The edges are {list(wanted)}", expected="numbers of tokens of at least 1")
    return tuple(sorted(set(wanted)))
