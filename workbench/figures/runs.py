"""Runs and comparisons as plotly figures: surprise by token, attention map, lens, cache, two runs beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import CaptureError, WorkbenchError
from workbench.figures.dots import COLOURS, plotly
from workbench.inspection.predictions import predictions
from workbench.inspection.tabular import labelled_part

if TYPE_CHECKING:
    from workbench.comparison.comparison import Comparison
    from workbench.inspection.inspection import Inspection

PARTS = ("tokens", "attention", "lens", "cache")
MOST = 400
"""Tokens or positions drawn: the last ones of the run."""
TICKS = 60
"""Places up to which every token is written at the axis."""


def inspection_figure(
    found: Inspection, part: str | None = None, layer: int | None = None, head: int | None = None
) -> Any:
    """See `Inspection.figure`."""
    if part is None:
        lens = found.lens is not None and found.lens.sizes["position"] > 0
        mapped = found.attention is not None and found.attention.map is not None
        part = "lens" if lens else "attention" if mapped else "tokens"
    if part not in PARTS:
        raise CaptureError(f"There is no part {str(part)[:40]!r}", expected=", ".join(PARTS))
    if part == "attention":
        return _attention(found, layer, head)
    return {"tokens": _tokens, "lens": _lens, "cache": _cache}[part](found)


def _tokens(found: Inspection) -> Any:
    go, said = plotly(), predictions(found)
    places = np.arange(max(0, len(found.ids) - MOST), len(found.ids))
    figure = go.Figure(go.Bar(
        x=places, y=-said.logprob[places], text=[found.tokens[i] for i in places], textposition="none",
        marker={"color": [COLOURS[1] if i >= found.prompt_length else "#c3c3c3" for i in places]},
        hovertemplate="%{text} at %{x}: %{y:.3f} nats<extra></extra>", showlegend=False,
    ))  # fmt: skip
    figure.update_layout(height=320, margin={"t": 30, "b": 60}, yaxis={"title": "surprise (nats)"},
                         xaxis=_ticks(found, places))  # fmt: skip
    return figure


def _attention(found: Inspection, layer: int | None, head: int | None) -> Any:
    go, whole = plotly(), labelled_part(found, "map")
    layers, heads = whole.layer.values.tolist(), whole["head"].values.tolist()
    layer = layers[len(layers) // 2] if layer is None else layer
    if layer not in layers or (head is not None and head not in heads):
        raise CaptureError(f"Layer {layer}, head {head} was not captured", expected=f"layers {layers}, heads {heads}")
    one = whole.sel(layer=layer)
    values = (one.mean("head") if head is None else one.sel(head=head)).values
    starts = whole["key_block"].values
    figure = go.Figure(go.Heatmap(
        z=np.sqrt(values), x=starts, y=starts, text=[[f"{value:.4f}" for value in row] for row in values],
        coloraxis="coloraxis", hovertemplate="query %{y} reads key %{x}: %{text}<extra></extra>",
    ))  # fmt: skip
    name = "mean of all heads" if head is None else f"head {head}"
    block = found.attention.block if found.attention is not None else 1
    figure.update_layout(
        coloraxis={"colorscale": "Cividis", "cmin": 0, "cmax": 1, "colorbar": {"title": "share (root)"}},
        height=480, margin={"t": 30, "b": 46}, yaxis={"title": "query", "autorange": "reversed"},
        xaxis={"title": f"key; layer {layer}, {name}, {block} tokens a cell"},
    )  # fmt: skip
    return figure


def _lens(found: Inspection) -> Any:
    go, lens = plotly(), labelled_part(found, "lens")
    part = lens.isel(position=slice(max(0, lens.sizes["position"] - MOST), None))
    if not part.sizes["position"]:
        raise CaptureError("The lens read no position", remedy='Run it again with LensCapture(positions="all")')
    places = part.position.values
    words = [[found.piece(one) for one in row] for row in part.top_id.isel(rank=0).values]
    figure = go.Figure(go.Heatmap(
        z=np.exp(part.target_logprob.values), x=places, y=part.layer.values, text=words, coloraxis="coloraxis",
        hovertemplate="layer %{y}, position %{x}: guesses %{text}, gives what came %{z:.3f}<extra></extra>",
    ))  # fmt: skip
    figure.update_layout(
        coloraxis={"colorscale": "Cividis", "cmin": 0, "cmax": 1, "colorbar": {"title": "p of what came"}},
        height=160 + 20 * part.sizes["layer"], margin={"t": 30, "b": 60}, yaxis={"title": "layer (0: embedding)"},
        xaxis=_ticks(found, places),
    )  # fmt: skip
    return figure


def _cache(found: Inspection) -> Any:
    go, cache = plotly(), labelled_part(found, "cache")
    figure = go.Figure(go.Bar(
        x=cache.layer.values, y=cache.bytes.values / 2**20, marker={"color": COLOURS[1]}, showlegend=False,
        customdata=np.stack([cache.physical_length.values, cache.logical_length.values], 1),
        hovertemplate="layer %{x}: %{y:.3f} MiB, %{customdata[0]} of %{customdata[1]} tokens<extra></extra>",
    ))  # fmt: skip
    figure.update_layout(height=300, margin={"t": 30, "b": 46}, xaxis={"title": "layer"}, yaxis={"title": "MiB"})
    return figure


def comparison_figure(found: Comparison) -> Any:
    """See `Comparison.figure`."""
    go = plotly()
    from plotly.subplots import make_subplots

    table = found.table[found.table["reply"]]
    table = (table if len(table) else found.table).tail(MOST)
    if not len(table):
        raise WorkbenchError("There is nothing to draw", expected="two runs with at least one token")
    place = np.arange(len(table))
    measured = table["kl_ab"].notna().any()
    figure = make_subplots(rows=2 if measured else 1, cols=1, shared_xaxes=True, vertical_spacing=0.1)
    for side, run, colour, mark in (("a", found.a, COLOURS[0], "circle"), ("b", found.b, COLOURS[1], "square")):
        figure.add_trace(go.Scatter(
            x=place, y=table[f"logprob_{side}"], name=f"{side}: {run.model['name']}", mode="markers+lines",
            line={"color": colour, "width": 1}, marker={"size": 8, "symbol": mark, "color": colour},
            text=table["piece"], hovertemplate="%{text}: %{y:.3f} nats<extra></extra>",
        ), row=1, col=1)  # fmt: skip
    figure.update_yaxes(title="log-probability (nats)", row=1, col=1)
    if measured:
        for name, colour, words in (("kl_ab", COLOURS[2], "KL(a || b)"), ("kl_ba", "#5b616b", "KL(b || a)")):
            figure.add_trace(go.Bar(
                x=place, y=table[name], name=words, marker={"color": colour}, text=table["piece"], textposition="none",
                hovertemplate="%{text}: %{y:.4f} nats<extra></extra>",
            ), row=2, col=1)  # fmt: skip
        figure.update_yaxes(title="KL (nats)", row=2, col=1)
    ticks = {"tickmode": "array", "tickvals": place, "ticktext": table["piece"].tolist()} if len(place) <= TICKS else {}
    figure.update_xaxes(title="tokens of the reply, as aligned", row=2 if measured else 1, col=1, **ticks)
    figure.update_layout(height=520 if measured else 340, margin={"t": 46, "b": 60},
                         legend={"orientation": "h", "y": 1.1})  # fmt: skip
    return figure


def _ticks(found: Inspection, places: np.ndarray) -> dict[str, Any]:
    """An axis of token positions: numbers, so that equal tokens never merge, with the tokens written where few."""
    axis: dict[str, Any] = {"title": "position"}
    if len(places) <= TICKS:
        axis |= {"tickmode": "array", "tickvals": places, "ticktext": [found.tokens[int(i)] for i in places]}
    return axis
