"""What the heads do with a needle, as plotly figures: maps of layer x head, the lens by layer, an ablation's shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    import pandas as pd

    from workbench.context.ablation import Ablation
    from workbench.context.mechanism import Mechanism
    from workbench.context.retrieval_heads import RetrievalHeads

COLOURS = ("#c8641c", "#2a6fb0", "#7d4cb2", "#1c6b3a", "#a3326b", "#5b616b")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
PALE = "#8fb3d9"
WRITTEN = 100
"""Heads up to which a map has its numbers in it."""
SCALE = {"colorscale": "Cividis", "cmin": 0, "cmax": 1}


def heads_figure(found: RetrievalHeads) -> Any:
    """Layer by head: the retrieval score on the left, mean attention on the needle on the right. Raises WorkbenchError
    without plotly."""
    go, make_subplots = _plotly()
    shown = (("score", "looks the needle up (score)"), ("needle_mass", "attention on the needle"))
    figure = make_subplots(rows=1, cols=2, subplot_titles=[title for _, title in shown], shared_yaxes=True)
    for column, (name, _) in enumerate(shown, 1):
        table = found.table.pivot(index="layer", columns="head", values=name)
        figure.add_trace(_map(go, table), row=1, col=column)
    figure.update_layout(coloraxis=SCALE, height=130 + 26 * len(table), margin={"t": 46, "b": 46})
    figure.update_xaxes(title="head", dtick=1)
    figure.update_yaxes(title="layer", autorange="reversed", dtick=1, col=1)
    return figure


def mechanism_figure(several: Sequence[Mechanism], titles: Sequence[str] | None = None) -> Any:
    """Above, for each of ``several``, layer by head: attention on the needle while the answer's told tokens are
    written. Below, layer by layer, the mean log-probability of these tokens by the logit lens; a filled mark where all
    of them are its first guess. Raises WorkbenchError without plotly, or for none."""
    go, make_subplots = _plotly()
    if not several:
        raise WorkbenchError("There is no mechanism to draw", expected="at least one")
    names = list(titles or [f"{one.model}, {one.item.length} tokens, depth {one.item.depth}" for one in several])
    wide: dict[str, Any] = {"colspan": len(several)}
    figure = make_subplots(
        rows=2, cols=len(several), subplot_titles=[*names, ""], row_heights=[0.45, 0.55], vertical_spacing=0.2,
        specs=[[{} for _ in several], [wide] + [None] * (len(several) - 1)],
    )  # fmt: skip
    for column, one in enumerate(several, 1):
        table = one.heads().pivot(index="layer", columns="head", values="needle_mass")
        figure.add_trace(_map(go, table), row=1, col=column)
        seen = one.told if one.told.any() else ~one.told
        first = (one.rank.values[:, seen] == 1).all(1)
        i = (column - 1) % len(COLOURS)
        figure.add_trace(go.Scatter(
            x=one.logprob["layer"].values, y=one.logprob.values[:, seen].mean(1), name=names[column - 1],
            mode="lines+markers", line={"color": COLOURS[i], "dash": DASHES[i]},
            marker={"size": 8, "symbol": np.where(first, "circle", "circle-open").tolist()},
            hovertemplate="after layer %{x}: %{y:.2f} nats a token",
        ), row=2, col=1)  # fmt: skip
    figure.update_layout(
        coloraxis={**SCALE, "colorbar": {"title": "on the needle", "y": 0.8, "len": 0.45}}, height=560,
        margin={"t": 46, "b": 46}, legend={"orientation": "h", "y": -0.14},
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed", row=1)
    figure.update_yaxes(title="layer", row=1, col=1)
    figure.update_xaxes(title="head", row=1)
    figure.update_xaxes(title="layers read (0: the embedding)", dtick=1, row=2, col=1)
    figure.update_yaxes(title="answer by the lens (nats a token)", row=2, col=1)
    for note in figure.layout.annotations:
        note.font.size = 12
    return figure


def ablation_figure(found: Ablation) -> Any:
    """The share of right answers for each set of silenced heads, with its interval; controls with a head below the
    found ones are pale. Raises WorkbenchError without
    plotly."""
    go, _ = _plotly()
    table = found.table()
    shade = [_SETS.get(name, PALE if below else COLOURS[1]) for name, below in zip(table["silenced"], table["below"])]
    named = [f"{name}, {below} below" if below else name for name, below in zip(table["silenced"], table["below"])]
    figure = go.Figure(go.Scatter(
        x=table["right"], y=named, mode="markers",
        marker={"size": 11, "color": shade,
                "symbol": ["circle" if name in _SETS else "circle-open" for name in table["silenced"]]},
        error_x={"type": "data", "symmetric": False, "color": "#8a8a8a", "thickness": 1.5,
                 "array": table["high"] - table["right"], "arrayminus": table["right"] - table["low"]},
        customdata=table[["heads", "n", "low", "high", "below"]].to_numpy(),
        hovertemplate="%{y}: %{x:.2f} right (%{customdata[2]:.2f} to %{customdata[3]:.2f}), n = %{customdata[1]}"
                      "<br>without %{customdata[0]}, %{customdata[4]} of them below<extra></extra>",
    ))  # fmt: skip
    figure.update_layout(height=120 + 24 * len(table), margin={"t": 20, "b": 46}, showlegend=False)
    figure.update_xaxes(
        title=f"share of right answers, 95 % interval, n = {int(table['n'].max())}", range=[-0.04, 1.04]
    )
    figure.update_yaxes(autorange="reversed", title="silenced heads")
    return figure


_SETS = {"none": "#5b616b", "found": COLOURS[0]}


def _map(go: Any, table: pd.DataFrame) -> Any:
    """A heat map of layer x head with its numbers."""
    return go.Heatmap(
        z=table.to_numpy(), x=table.columns, y=table.index, coloraxis="coloraxis",
        texttemplate="%{z:.1f}" if table.size <= WRITTEN else None,
        hovertemplate="layer %{y}, head %{x}: %{z:.3f}<extra></extra>",
    )  # fmt: skip


def _plotly() -> tuple[Any, Any]:
    try:
        import plotly.graph_objects as go
        from plotly.subplots import make_subplots
    except ImportError:
        raise WorkbenchError("Figures need plotly", remedy="pip install 'mistral-workbench[notebooks]'") from None
    return go, make_subplots
