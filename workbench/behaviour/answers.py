"""What models answered to a suite: side by side, checked, and compared with intervals."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from math import sqrt
from pathlib import Path
from statistics import NormalDist
from typing import Any, NamedTuple

import pandas as pd

from workbench.behaviour.store import read_items, read_rows, read_study
from workbench.behaviour.suite import Item, Suite
from workbench.errors import ComparisonError
from workbench.models.given import path_given
from workbench.results import Result
from workbench.statistics import CONFIDENCE, sign_test, wilson

ALL = "all"


class Paired(NamedTuple):
    """Two models on the same ``n`` answers that can be checked: how many ``both`` passed, ``only_first``,
    ``only_second`` and ``neither``.

    ``difference`` is the second's share less the first's, (``low``, ``high``) its interval (`paired_interval`), ``p``
    McNemar's exact two-sided p.
    """

    first: str
    second: str
    category: str
    n: int
    both: int
    only_first: int
    only_second: int
    neither: int
    difference: float
    low: float
    high: float
    p: float


@dataclass(frozen=True, eq=False)
class Answers(Result):
    """The answers of a folder: ``rows`` as they are kept (see `workbench.behaviour.store`), in the suite's order.

    An answer passes when it passes every check of its item (of the last turn); items without checks count nowhere.
    """

    suite: Suite
    models: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]
    provenance: dict[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, folder: str | Path) -> Answers:
        """The answers in a folder of `run_suite`, finished or not. Raises FileFormatError."""
        study, suite = read_study(folder), read_items(folder)
        place = {item.id: i for i, item in enumerate(suite.items)}
        models = tuple(study["models"])
        rows = [row for row in read_rows(folder) if row["item"] in place and row["model"] in study["models"]]
        rows.sort(key=lambda row: (place[row["item"]], row.get("sample", 0), models.index(row["model"])))
        return cls(suite, models, tuple(rows), study)

    @cached_property
    def _items(self) -> dict[str, Item]:
        return {item.id: item for item in self.suite.items}

    @cached_property
    def _by_place(self) -> dict[tuple[str, int], dict[str, dict[str, Any]]]:
        """(item, sample) -> model -> row, in the suite's order."""
        found: dict[tuple[str, int], dict[str, dict[str, Any]]] = {}
        for row in self.rows:
            found.setdefault((row["item"], row.get("sample", 0)), {})[row["model"]] = row
        return found

    @cached_property
    def _passed(self) -> dict[str, bool | None]:
        """By key: whether the last answer passes; None where nothing is checked."""
        return {row["key"]: self._items[row["item"]].passed(self._last(row)) for row in self.rows}

    def _last(self, row: dict[str, Any]) -> str:
        """The answer to the last turn; empty where it was never reached."""
        answers = row["answers"]
        return answers[-1] if len(answers) == len(self._items[row["item"]].turns) else ""

    def side_by_side(self) -> list[dict[str, Any]]:
        """An object an item and sample, JSON-able: {"item", "sample", "category", "system", "turns", "reference",
        "checks": [names], "answers": {model: {"answers": [a text each turn], "tokens", "finish", "seconds", "passed":
        true, false or null, "why": [a sentence for each check that failed], "error"}}}."""
        found = []
        for (name, sample), by_model in self._by_place.items():
            item = self._items[name]
            answers = {}
            for model in self.models:
                if (row := by_model.get(model)) is None:
                    continue
                failed = [(one.name, one.check(self._last(row))) for one in item.checks]
                answers[model] = {
                    "answers": row["answers"], "tokens": row.get("tokens", []), "finish": row.get("finish", []),
                    "seconds": row.get("seconds"), "passed": self._passed[row["key"]],
                    "why": [f"{check}: {why}" for check, (passed, why) in failed if not passed],
                    "error": row.get("error", ""),
                }  # fmt: skip
            found.append({
                "item": name, "sample": sample, "category": item.category, "system": item.system,
                "turns": list(item.turns), "reference": list(item.reference),
                "checks": [one.name for one in item.checks], "answers": answers,
            })  # fmt: skip
        return found

    def table(self) -> pd.DataFrame:
        """A row for each turn of an item and sample: item, category, sample, turn, prompt; for each model its answer
        (the model's name), and on the last turn "<model> passed" (True, False, or None without checks) and
        "<model> why" it did not."""
        rows = []
        for one in self.side_by_side():
            for turn, prompt in enumerate(one["turns"]):
                row: dict[str, Any] = {"item": one["item"], "category": one["category"], "sample": one["sample"],
                                       "turn": turn + 1, "prompt": prompt}  # fmt: skip
                for model in self.models:
                    found = one["answers"].get(model)
                    last = found is not None and turn == len(one["turns"]) - 1
                    said = found is not None and turn < len(found["answers"])
                    row[model] = found["answers"][turn] if said else None
                    row[f"{model} passed"] = found["passed"] if last else None
                    row[f"{model} why"] = ("; ".join(found["why"]) or found["error"]) if last else None
                rows.append(row)
        names = ["item", "category", "sample", "turn", "prompt"]
        names += [name for model in self.models for name in (model, f"{model} passed", f"{model} why")]
        return pd.DataFrame(rows, columns=names).astype(object)

    def scores(self) -> pd.DataFrame:
        """By model and category ("all" first): passed, n (answers that can be checked), share, and Wilson's 95 %
        interval of it (low, high). Several samples of an item count as answers of their own."""
        rows = []
        for model in self.models:
            for category in self._checked_categories:
                marks = [passed for _, passed in self._marks(model, category)]
                share = sum(marks) / len(marks) if marks else float("nan")
                rows.append((model, category, sum(marks), len(marks), share, *wilson(sum(marks), len(marks))))
        names = ["model", "category", "passed", "n", "share", "low", "high"]
        return pd.DataFrame(rows, columns=names).set_index(["model", "category"])

    @cached_property
    def _checked_categories(self) -> list[str]:
        found = dict.fromkeys(item.category for item in self.suite.items if item.checks and item.category)
        return [ALL, *(name for name in found if name != ALL)]

    def _marks(self, model: str, category: str) -> list[tuple[tuple[str, int], bool]]:
        found = []
        for place, by_model in self._by_place.items():
            row, item = by_model.get(model), self._items[place[0]]
            passed = None if row is None else self._passed[row["key"]]
            if passed is not None and category in (ALL, item.category):
                found.append((place, passed))
        return found

    def difference(self, first: str | None = None, second: str | None = None, category: str = ALL) -> Paired:
        """Two models (the first two by default) on the answers that both gave. Raises ComparisonError where there are
        no two, or no such model."""
        if len(self.models) < 2 and (first is None or second is None):
            raise ComparisonError("These are the answers of one model", expected="two", remedy="Run another one")
        first = self.models[0] if first is None else first
        second = next(one for one in self.models if one != first) if second is None else second
        for name in (first, second):
            if name not in self.models:
                raise ComparisonError(f"There are no answers of {name[:80]!r}", expected=" or ".join(self.models))
        one, other = dict(self._marks(first, category)), dict(self._marks(second, category))
        pairs = [(one[place], other[place]) for place in one if place in other]
        n, both = len(pairs), sum(a and b for a, b in pairs)
        a, b = sum(x and not y for x, y in pairs), sum(y and not x for x, y in pairs)
        difference = (b - a) / n if n else float("nan")
        interval = paired_interval(a, b, n)
        return Paired(first, second, category, n, both, a, b, n - both - a - b, difference, *interval, sign_test(a, b))

    @property
    def safe_prompt(self) -> bool:
        """Whether Mistral's safe prompt stood before every conversation."""
        return self.provenance.get("safe_prompt") is True

    @property
    def complete(self) -> bool:
        """Whether every item was answered by every model, as often as was asked for."""
        samples = self.provenance.get("samples", 1)
        return bool(self.models) and len(self.rows) == len(self.suite) * len(self.models) * samples

    def to_csv(self, path: str | Path) -> None:
        """Write `table` as CSV. A text that a spreadsheet would compute (it begins with =, +, - or @) gets an
        apostrophe in front; `to_jsonl` keeps every text as it is."""
        self.table().map(_guarded).to_csv(path_given(path), index=False)

    def to_jsonl(self, path: str | Path) -> None:
        """Write `side_by_side`, one object a line."""
        lines = [json.dumps(one, ensure_ascii=False) + "\n" for one in self.side_by_side()]
        path_given(path).write_text("".join(lines), encoding="utf-8")

    @property
    def sentence(self) -> str:
        """How the models did, in a sentence or two; it says so where the safe prompt was on."""
        if not self.rows:
            return "Nothing is answered yet."
        scores = self.scores().xs(ALL, level="category")
        told = [f"{name} passed {row.passed:.0f} of {row.n:.0f} ({row.share:.0%}, {row.low:.0%} to {row.high:.0%})"
                for name, row in scores.iterrows() if row.n]  # fmt: skip
        if not told:
            before = "Answered with the safe prompt. " if self.safe_prompt else ""
            return f"{before}No item has a check: the answers are for people and judges."
        found = ("With the safe prompt, " if self.safe_prompt else "") + "; ".join(told) + "."
        if len(self.models) == 2 and (pair := self.difference()).n:
            found += (
                f" {pair.second} less {pair.first}: {pair.difference:+.0%} ({pair.low:+.0%} to {pair.high:+.0%}), "
                f"{pair.only_first} passed only by {pair.first}, {pair.only_second} only by {pair.second}, "
                f"McNemar p = {pair.p:.2g}."
            )
        return found

    def to_dataframe(self, turns: bool = False) -> pd.DataFrame:
        """`scores` as a flat table, a row a model and category; with ``turns`` the answers themselves (`table`)."""
        return self.table() if turns else self.scores().reset_index()

    def figure(self) -> Any:
        """A plotly figure: the share of answers that pass, with its interval, by model and category. Raises
        WorkbenchError without plotly or where nothing is checked."""
        return importlib.import_module("workbench.figures.dots").scores_figure(self.scores().reset_index())

    def tables(self) -> list[tuple[str, pd.DataFrame]]:
        """Scores (where there is a check), then the answers side by side."""
        scores = self.scores()
        return [("Answers that pass, with Wilson's 95 % interval", scores[scores["n"] > 0]),
                ("Answers, side by side", self.table())]  # fmt: skip

    def __repr__(self) -> str:
        state = (", safe prompt" if self.safe_prompt else "") + ("" if self.complete else ", unfinished")
        return f"Answers({self.suite.name}: {len(self.rows)} answers of {', '.join(self.models) or 'no model'}{state})"


def paired_interval(
    only_first: int, only_second: int, n: int, confidence: float = CONFIDENCE
) -> tuple[float, float]:  # fmt: skip
    """The interval of a paired difference of shares (second less first): Wald's after half an observation is added to
    each of the four cells (Agresti and Min, Statistics in Medicine 24, 2005, section 3). (-1, 1) for no pairs."""
    if n == 0:
        return -1.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    a, b, total = only_first + 0.5, only_second + 0.5, n + 2
    middle = (b - a) / total
    half = z * sqrt((a + b) / total - middle**2) / sqrt(total)
    return max(-1.0, middle - half), min(1.0, middle + half)


def _guarded(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in tuple("=+-@\t\r\n") and value else value
