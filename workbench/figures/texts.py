"""A comparison over texts as a chart: the loss difference of each text, and by position, with intervals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from workbench.errors import ComparisonError

if TYPE_CHECKING:
    from workbench.comparison.text_result import TextComparison

BLUE, ORANGE, GREY = "#2a6fb0", "#c8641c", "#8a8a8a"
"""Told apart with colour-blindness, too: a is the more likely where a bar is orange, b where it is blue."""


def figure(found: TextComparison) -> Any:
    """The plotly figure; n and the interval are in each label. Raises ComparisonError where plotly is not installed, or
    no text was read."""
    try:
        import plotly.graph_objects as go
        from plotly.subplots import make_subplots
    except ImportError:
        raise ComparisonError(
            "A figure needs plotly, which is not installed", remedy="pip install plotly, or use .table() and .positions"
        ) from None
    texts, places = found.table(), found.positions
    if not len(texts):
        raise ComparisonError("There is nothing to draw", expected="at least one text that was read")
    chart = make_subplots(rows=1, cols=2, subplot_titles=["each text", "by tokens read before"])
    chart.add_trace(
        go.Bar(
            y=[str(name) for name in texts.index], x=texts["difference"], orientation="h",
            marker={"color": [ORANGE if value > 0 else BLUE for value in texts["difference"]]},
            customdata=texts[["tokens", "loss_a", "loss_b", "kl_ab"]].to_numpy(),
            hovertemplate="%{y}: %{x:.4f}<br>%{customdata[0]} tokens, loss %{customdata[1]:.3f} in a, "
            "%{customdata[2]:.3f} in b, KL %{customdata[3]:.3f}<extra></extra>",
        ),
        row=1, col=1,
    )  # fmt: skip
    chart.add_trace(
        go.Scatter(
            x=list(places.index), y=places["difference"], mode="markers+lines", line={"color": GREY, "width": 1},
            error_y={
                "type": "data", "symmetric": False, "thickness": 1.5, "color": GREY,
                "array": [_width(*pair) for pair in zip(places["high"], places["difference"], strict=True)],
                "arrayminus": [_width(*pair) for pair in zip(places["difference"], places["low"], strict=True)],
            },
            marker={"size": 9, "color": BLUE}, customdata=places[["low", "high", "n"]].to_numpy(),
            hovertemplate="%{x}: %{y:.4f}<br>95 % %{customdata[0]:.4f} to %{customdata[1]:.4f}, "
            "%{customdata[2]} texts<extra></extra>",
        ),
        row=1, col=2,
    )  # fmt: skip
    said = f"loss of {found.by[1]} less loss of {found.by[0]} (nats a token)"
    chart.update_xaxes(title_text=said, row=1, col=1)
    chart.update_yaxes(autorange="reversed", type="category", row=1, col=1)
    chart.update_xaxes(type="category", row=1, col=2)
    chart.add_hline(y=0, line={"color": GREY, "width": 1}, row=1, col=2)
    chart.update_layout(height=160 + 22 * max(8, len(texts)), showlegend=False, template="plotly_white")
    return chart


def _width(high: float, low: float) -> float:
    return 0.0 if math.isnan(high - low) else high - low
