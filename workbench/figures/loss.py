"""Loss by position as a plotly figure."""

from __future__ import annotations

from typing import Any

import pandas as pd

from workbench.errors import WorkbenchError

COLOURS = ("#c8641c", "#2a6fb0", "#5b616b", "#7d4cb2", "#1c6b3a", "#a3326b")
"""One a model; told apart with colour-blindness by their order of brightness and the line's dash, too."""
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


def loss_figure(curve: pd.DataFrame) -> Any:
    """The curves of `LossByPosition.curve` with their bands, over the middle of each range on a log scale. Raises
    WorkbenchError without plotly."""
    try:
        import plotly.graph_objects as go
    except ImportError:
        raise WorkbenchError("Figures need plotly", remedy="pip install 'mistral-workbench[notebooks]'") from None
    figure = go.Figure()
    for i, (model, part) in enumerate(curve.groupby("model", sort=False)):
        middle = ((part["start"] + part["stop"]) / 2).tolist()
        colour, dash = COLOURS[i % len(COLOURS)], DASHES[i % len(DASHES)]
        figure.add_trace(go.Scatter(
            x=middle + middle[::-1], y=part["high"].tolist() + part["low"].tolist()[::-1], fill="toself",
            fillcolor=colour, opacity=0.15, line={"width": 0}, hoverinfo="skip", showlegend=False,
        ))  # fmt: skip
        said = [f"{r.start} to {r.stop}: {r.loss:.3f} ({r.low:.3f} to {r.high:.3f}), {r.tokens} tokens"
                for r in part.itertuples()]  # fmt: skip
        figure.add_trace(go.Scatter(
            x=middle, y=part["loss"], name=str(model), mode="lines+markers", line={"color": colour, "dash": dash},
            text=said, hovertemplate="%{text}",
        ))  # fmt: skip
    figure.update_layout(
        xaxis={"title": "position in the text (tokens)", "type": "log"}, yaxis={"title": "loss (nats a token)"},
        legend={"orientation": "h", "y": 1.12}, margin={"t": 46, "b": 46}, height=360,
    )  # fmt: skip
    return figure
