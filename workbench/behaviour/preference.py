"""Who is preferred: wins, ties and losses of paired answers, with intervals.

With two models a Bradley-Terry model says nothing that the share of wins does not, so there is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from workbench.statistics import bootstrap_mean, sign_test, wilson

ALL = "all"


class Outcome(NamedTuple):
    """One vote or verdict on an item: 1 the first model's answer is better, 0 the second's, 0.5 neither."""

    item: str
    category: str
    value: float


class Tally(NamedTuple):
    """What the votes on one category say of ``model`` against the other.

    An item counts once, however many ``votes`` it has: it is won where their mean is above one half, tied at one half.
    ``win_rate`` is the mean over items with ties as half, (``low``, ``high``) its 95 % percentile bootstrap over items
    (NaN below two items; it has no width where all items agree). ``decided`` is the share won of the items that are not
    tied, (``decided_low``, ``decided_high``) Wilson's 95 % interval of it, ``p`` the exact two-sided sign test of the
    same.
    """

    model: str
    category: str
    items: int
    votes: int
    wins: int
    ties: int
    losses: int
    win_rate: float
    low: float
    high: float
    decided: float
    decided_low: float
    decided_high: float
    p: float


class Position(NamedTuple):
    """Whether the place decided: ``first_place`` of ``n`` decided votes went to what was shown first (left, or A), with
    Wilson's 95 % interval and the sign test's p. Places are balanced, so a half is expected whichever model is
    better."""

    first_place: int
    n: int
    share: float
    low: float
    high: float
    p: float


def tallies(models: tuple[str, str], outcomes: Iterable[Outcome]) -> list[Tally]:
    """For all items together ("all") and each category, a row for each of the two models."""
    found = list(outcomes)
    categories = dict.fromkeys(one.category for one in found if one.category and one.category != ALL)
    rows = []
    for category in (ALL, *categories):
        chosen = [one for one in found if category in (ALL, one.category)]
        rows.append(_tally(models[0], category, chosen))
        rows.append(_tally(models[1], category, [one._replace(value=1 - one.value) for one in chosen]))
    return rows


def _tally(model: str, category: str, outcomes: Sequence[Outcome]) -> Tally:
    by_item: dict[str, list[float]] = {}
    for one in outcomes:
        by_item.setdefault(one.item, []).append(one.value)
    values = np.array([sum(votes) / len(votes) for votes in by_item.values()])
    wins, losses = int((values > 0.5).sum()), int((values < 0.5).sum())
    rate = float(values.mean()) if len(values) else float("nan")
    decided = wins / (wins + losses) if wins + losses else float("nan")
    return Tally(
        model, category, len(values), len(outcomes), wins, len(values) - wins - losses, losses, rate,
        *bootstrap_mean(values), decided, *wilson(wins, wins + losses), sign_test(wins, losses),
    )  # fmt: skip


def position(first_place: int, n: int) -> Position:
    """The position check of ``first_place`` votes for what was shown first among ``n`` decided ones."""
    share = first_place / n if n else float("nan")
    return Position(first_place, n, share, *wilson(first_place, n), sign_test(first_place, n - first_place))


def table(rows: Sequence[Tally]) -> pd.DataFrame:
    """`Tally` as a table by model and category."""
    return pd.DataFrame(rows, columns=list(Tally._fields)).set_index(["model", "category"])


def plain(rows: Sequence[Tally | Position]) -> list[dict[str, Any]]:
    """Each row as JSON-able data; None where there is no number."""
    return [{name: None if value != value else value for name, value in row._asdict().items()} for row in rows]


def sentence(rows: Sequence[Tally]) -> str:
    """The overall result in words: which interval is which is said."""
    one, other = rows[0], rows[1]
    if not one.items:
        return "No votes yet."
    said = f"{one.model} against {other.model}: {one.wins} won, {one.ties} tied, {one.losses} lost of {one.items} items"
    bounds = "" if np.isnan(one.low) else f", {one.low:.0%} to {one.high:.0%} by bootstrap over items"
    said += f"; win rate {one.win_rate:.0%} with ties as half{bounds}"
    if one.wins + one.losses:
        said += f"; {one.decided:.0%} of the decided ones ({one.decided_low:.0%} to {one.decided_high:.0%}, Wilson)"
    return f"{said}; sign test p = {one.p:.2g}."
