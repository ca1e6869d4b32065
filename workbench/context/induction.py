"""The induction curve: random tokens, then the same again; how surely the second copy is told, and by which heads.

Random tokens have no other regularity, so what is gained on the second copy was read from the first (Olsson et al.
2022, In-context learning and induction heads).
"""

from __future__ import annotations

import importlib
import random
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from workbench.context.loss import token_losses
from workbench.errors import ContextLengthError, WorkbenchError
from workbench.inspection.provenance import provenance
from workbench.models.given import models_given
from workbench.results import Result
from workbench.statistics import bootstrap_mean

if TYPE_CHECKING:
    from workbench.model import Model


@dataclass(frozen=True, eq=False)
class InductionCurve(Result):
    """``table``: by model and period (tokens of one copy): first and second (mean nats a token of each copy), gain
    (first - second) with its 95 % bootstrap interval low and high over ``rows`` draws."""

    table: pd.DataFrame = field(repr=False)
    provenance: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def models(self) -> list[str]:
        """The models' names, in the order they were read."""
        return list(dict.fromkeys(self.table["model"]))

    def to_dataframe(self) -> pd.DataFrame:
        """`table`: a row a model and period, nats a token."""
        return self.table.copy()

    def to_xarray(self) -> xr.Dataset:
        """first, second, gain, low and high (nats a token) over (model, period), periods in tokens."""
        return self.table.set_index(["model", "period"])[["first", "second", "gain", "low", "high"]].to_xarray()

    def figure(self) -> Any:
        """A plotly figure of the gain by period with its interval, a line a model. Raises WorkbenchError without plotly
        or before anything was read."""
        return importlib.import_module("workbench.figures.dots").induction_figure(self.table)

    def __repr__(self) -> str:
        if not len(self.table):
            return "InductionCurve(nothing was read yet)"
        best = self.table.iloc[int(self.table["gain"].to_numpy().argmax())]
        return f"InductionCurve({len(self.table)} periods; at most {best.gain:.2f} nats gained by {best.model})"


def repeated(vocabulary: int, period: int, seed: int, bos: int | None = 1) -> list[int]:
    """BOS and ``period`` random ids, twice. Ids are drawn from the ordinary ones (260 and above where there are)."""
    rng = random.Random(f"induction/{period}/{seed}")
    low = 260 if vocabulary > 1000 else 3
    row = [rng.randrange(low, vocabulary) for _ in range(period)]
    return [*([] if bos is None else [bos]), *row, *row]


def induction(
    models: Model | Sequence[Model],
    periods: Sequence[int],
    rows: int = 4,
    seed: int = 0,
    stop: threading.Event | None = None,
) -> Iterator[InductionCurve]:
    """Yields the `InductionCurve` after every period of every model. Raises ContextLengthError for a period that does
    not fit twice."""
    models = models if isinstance(models, Sequence) else [models]
    models_given(*models)
    if not models:
        raise WorkbenchError("There is no model", expected="at least one")
    found, said = [], {}
    for model in models:
        said[model.name] = provenance(model.loaded, (), {"periods": list(periods), "rows": rows, "seed": seed})
        most = (model.context - 1) // 2
        if wrong := [period for period in periods if not 2 <= period <= most]:
            raise ContextLengthError(f"A period of {wrong[0]} tokens", expected=f"2 to {most} for {model.name}")
        for period in periods:
            firsts, seconds = [], []
            for row in range(rows):
                if stop is not None and stop.is_set():
                    return
                ids = repeated(model.vocab_size, period, seed * 1000 + row, model.tokenizer.bos_id)
                losses = np.concatenate(list(token_losses(model, ids)))
                lead = len(ids) - 2 * period
                firsts.append(losses[: lead - 1 + period].mean())
                seconds.append(losses[lead + period :].mean())  # the copy's first token cannot be known
            gain = np.array(firsts) - np.array(seconds)
            low, high = bootstrap_mean(gain)
            found.append((model.name, period, float(np.mean(firsts)), float(np.mean(seconds)), float(gain.mean()), low,
                          high, rows))  # fmt: skip
            names = ["model", "period", "first", "second", "gain", "low", "high", "rows"]
            yield InductionCurve(pd.DataFrame(found, columns=names), dict(said))
