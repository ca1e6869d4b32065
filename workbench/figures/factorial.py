"""A factorial as a chart: effects with their intervals on the left, the cells that they come from on the right."""

from __future__ import annotations

import math
from typing import Any

from workbench.comparison.effects import TIMES
from workbench.comparison.factorial_result import TITLES, UNITS, Factorial
from workbench.errors import ComparisonError

BLUE, ORANGE, GREY, PALE = "#2a6fb0", "#c8641c", "#8a8a8a", "#c3c3c3"
"""Told apart with colour-blindness, too (Okabe and Ito's blue and vermillion, darkened)."""
_ROW = 300


def figure(found: Factorial, outcome: str | None = None, where: str | None = None) -> Any:
    """The plotly figure of one ``outcome`` in one range, or of each outcome in its farthest. A main effect is a filled
    circle, an interaction an open one; grey where the interval does not leave 0 out. Raises ComparisonError where
    plotly is not installed, or nothing was measured."""
    try:
        import plotly.graph_objects as go
        from plotly.subplots import make_subplots
    except ImportError:
        raise ComparisonError(
            "A figure needs plotly, which is not installed", remedy="pip install plotly, or use .effects and .cells"
        ) from None
    last = {one: place for one, place in found.outcomes if not found.paired(one, place).empty}
    chosen = [(one, where or place) for one, place in last.items() if outcome in (None, one)]
    if not chosen:
        raise ComparisonError("There is no outcome to draw", expected="at least one item measured in every cell")
    rows = len(chosen)
    titles = [title for one, place in chosen for title in (f"{TITLES[one]}, {_words(place)}: effects", "cells")]
    chart = make_subplots(
        rows=rows, cols=2, subplot_titles=titles, column_widths=[0.52, 0.48], horizontal_spacing=0.22,
        vertical_spacing=min(0.1, 0.3 / rows),
    )  # fmt: skip
    for row, (one, place) in enumerate(chosen, 1):
        _effects(chart, go, row, found, one, place)
        _cells(chart, go, row, found, one, place)
    chart.update_layout(
        height=60 + _ROW * rows, showlegend=False, template="plotly_white", margin={"l": 150, "r": 20, "t": 50, "b": 40}
    )
    return chart


def _effects(chart: Any, go: Any, row: int, found: Factorial, outcome: str, where: str) -> None:
    named = found.of(outcome, where)
    names = list(named)[::-1]
    values = [named[name] for name in names]
    chart.add_trace(
        go.Scatter(
            x=[one.estimate for one in values], y=names, mode="markers",
            error_x={
                "type": "data", "symmetric": False, "thickness": 1.5, "color": GREY,
                "array": [_width(one.high, one.estimate) for one in values],
                "arrayminus": [_width(one.estimate, one.low) for one in values],
            },
            marker={
                "size": 10, "line": {"width": 2, "color": [_shade(one.sure) for one in values]},
                "color": [_shade(one.sure) for one in values],
                "symbol": ["circle-open" if TIMES in name else "circle" for name in names],
            },
            customdata=[[one.low, one.high, one.n] for one in values],
            hovertemplate="%{y}: %{x:.4f}<br>95 % %{customdata[0]:.4f} to %{customdata[1]:.4f}, "
            "%{customdata[2]} items<extra></extra>",
        ),
        row=row, col=1,
    )  # fmt: skip
    chart.add_vline(x=0, line={"color": GREY, "width": 1}, row=row, col=1)
    chart.update_xaxes(title_text=f"b less a ({UNITS[outcome]})", zeroline=False, row=row, col=1)


def _cells(chart: Any, go: Any, row: int, found: Factorial, outcome: str, where: str) -> None:
    table = found.cells.xs((outcome, where), level=["outcome", "where"])
    labels = [" · ".join(str(line[name]) for name in found.names) for _, line in table.iterrows()]
    own = {"a" * len(found.factors): ORANGE, "b" * len(found.factors): BLUE}
    chart.add_trace(
        go.Bar(
            x=table["mean"], y=labels, orientation="h", marker={"color": [own.get(cell, PALE) for cell in table.index]},
            error_x={
                "type": "data", "symmetric": False, "thickness": 1.5, "color": GREY,
                "array": [_width(h, m) for h, m in zip(table["high"], table["mean"], strict=True)],
                "arrayminus": [_width(m, low) for low, m in zip(table["low"], table["mean"], strict=True)],
            },
            hovertemplate="%{y}: %{x:.4f}<extra></extra>",
        ),
        row=row, col=2,
    )  # fmt: skip
    chart.update_yaxes(autorange="reversed", row=row, col=2)
    chart.update_xaxes(title_text=UNITS[outcome], row=row, col=2)


def _width(high: float, low: float) -> float:
    return 0.0 if math.isnan(high - low) else high - low


def _shade(sure: bool) -> str:
    return BLUE if sure else GREY


def _words(where: str) -> str:
    return "all tokens" if where == "all" else f"{where} tokens"
