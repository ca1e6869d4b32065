"""`workbench needle --estimate`: what a study costs, by the shapes of its models and, where they are, their pace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.cli import named
from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    from rich.console import Console

    from workbench.context.forecast import Forecast
    from workbench.context.task import Task
    from workbench.models.shape import ModelShape


def foreseen(
    console: Console, words: Sequence[str], lengths: Sequence[int] | None, depths: Sequence[float],
    tasks: Sequence[str], cases: int, utilisation: float, csv: Path | None,
) -> None:  # fmt: skip
    """Print trials, tokens, operations and bytes of each model, and hours here and on GPUs; also as CSV. Nothing is
    downloaded: a pace is measured on models whose weights are part of this package or in a folder."""
    import pandas as pd
    from rich.box import MARKDOWN
    from rich.table import Table
    from rich.text import Text

    from workbench.capture.cost import readable
    from workbench.cli import files
    from workbench.context.forecast import forecast
    from workbench.context.tasks import task as of_name
    from workbench.planning import ACCELERATORS

    if not 0 < utilisation <= 1:
        raise WorkbenchError(f"--utilisation is {utilisation}", expected="a share of the peak, above 0 and at most 1")
    shapes = [_shape(word) for word in words]
    shortest = min(shape.context for shape in shapes)
    asked = list(lengths) if lengths else [round(shortest * part / 5) for part in range(1, 6)]
    wanted = [of_name(one) for one in tasks]
    found = [forecast(shape, asked, depths, wanted, cases) for shape in shapes]
    table = Table("model", "trials", "tokens read", "alone", "operations", "KV cache", "needs", "here", box=MARKDOWN)
    rows = []
    for word, one in zip(words, found, strict=True):
        here = _here(word, wanted[0], asked)
        said = "not measured" if here is None else _hours(one.seconds(here))
        table.add_row(Text(one.shape.name), f"{one.trials}", _count(one.tokens), _count(one.whole), _count(one.flop),
                      readable(one.kv_bytes), readable(one.need), said)  # fmt: skip
        rows.append(_row(one, here))
    console.print(table)
    cards = Table("time on one", *(one.shape.name for one in found), box=MARKDOWN)
    for card in ACCELERATORS:
        cells = []
        for one, row in zip(found, rows, strict=True):
            spent = one.seconds(card.peak * utilisation, card.bandwidth)
            fits = one.need <= card.card.usable
            row[f"{card.name}, hours"] = spent / 3600 if fits else float("nan")
            cells.append(_hours(spent) if fits else "does not fit")
        cards.add_row(card.name, *cells)
    console.print(cards)
    console.print(
        f"Operations at {utilisation:.0%} of the peak for dense bfloat16, and every answer written to its budget.\n"
        "Needs: weights and three caches of the longest text, in bfloat16. n GPUs take an n-th of the time.",
        highlight=False,
    )
    if csv is not None:
        with files.whole(csv) as target:
            pd.DataFrame(rows).to_csv(target, index=False)
        console.print(f"Written {csv}", markup=False, highlight=False)


def _shape(word: str) -> ModelShape:
    from dataclasses import replace

    from workbench.models.shape import ModelShape

    name, switches = named.parted(word)
    shape = ModelShape.of(name)
    if "window" in switches:
        shape = replace(shape, window=switches["window"])
    return replace(shape, name=word)


def _here(word: str, task: Task, lengths: Sequence[int]) -> float | None:
    """Operations a second here, on a text of the middle length but of 2048 tokens at most; None for a model that would
    have to be downloaded."""
    from workbench.context.forecast import pace
    from workbench.models.registry import resolve

    if resolve(named.parted(word)[0]).kind == "hub":
        return None
    (model,) = named.loaded([word], "auto", None, None, True)
    return pace(model, task, min(2048, sorted(lengths)[len(lengths) // 2]))


def _row(one: Forecast, here: float | None) -> dict[str, object]:
    return {
        "model": one.shape.name, "trials": one.trials, "tokens": one.tokens, "tokens_alone": one.whole,
        "flop": one.flop, "kv_bytes": one.kv_bytes, "need_bytes": one.need,
        "here, hours": float("nan") if here is None else one.seconds(here) / 3600,
    }  # fmt: skip


def _count(value: float) -> str:
    """Three digits and a power of 1000."""
    for unit, size in (("E", 1e18), ("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f}"


def _hours(seconds: float) -> str:
    if seconds < 1:
        return "under 1 s"
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min" if seconds < 5400 else (
        f"{seconds / 3600:.1f} h"
    )  # fmt: skip
