"""The induction curve: random tokens, then the same again; how surely the second copy is told, and by which heads.

Random tokens have no other regularity, so what is gained on the second copy was read from the first (Olsson et al.
2022, In-context learning and induction heads).
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from workbench.context.loss import token_losses
from workbench.errors import ContextLengthError
from workbench.statistics import bootstrap_mean

if TYPE_CHECKING:
    from workbench.model import Model


@dataclass(frozen=True, eq=False)
class InductionCurve:
    """``table``: by model and period (tokens of one copy): first and second (mean nats a token of each copy), gain
    (first - second) with its 95 % bootstrap interval low and high over ``rows`` draws."""

    table: pd.DataFrame = field(repr=False)

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
    models: Sequence[Model], periods: Sequence[int], rows: int = 4, seed: int = 0, stop: threading.Event | None = None
) -> Iterator[InductionCurve]:
    """Yields the `InductionCurve` after every period of every model. Raises ContextLengthError for a period that does
    not fit twice."""
    found = []
    for model in models:
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
            yield InductionCurve(pd.DataFrame(found, columns=["model", "period", "first", "second", "gain", "low",
                                                              "high", "rows"]))  # fmt: skip
