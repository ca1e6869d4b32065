"""Numbers with their intervals as plotly figures: a dot and a line for each, grouped by colour and mark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    from workbench.context.reach import Reach
    from workbench.planning.memory import MemoryPlan

COLOURS = ("#c8641c", "#2a6fb0", "#7d4cb2", "#1c6b3a", "#a3326b", "#5b616b")
MARKS = ("circle", "square", "diamond", "triangle-up", "cross", "x")
GREY = "#8a8a8a"


def dots(
    table: pd.DataFrame, value: str, label: Sequence[str], axis: str, *, group: str = "", n: str = "",
    low: str = "low", high: str = "high", zero: bool = False, share: bool = False,
) -> Any:  # fmt: skip
    """A plotly figure with a dot a row of ``table``: column ``value`` across with its interval (columns ``low`` and
    ``high``, where there are such), ``label``'s columns down, a colour for each ``group``; ``n`` names the column of
    counts. ``zero`` draws a line at 0, ``share`` spans 0 to 1. Raises WorkbenchError without plotly or rows."""
    go = plotly()
    shown = table[np.isfinite(table[value].to_numpy(float))] if len(table) else table
    if not len(shown):
        raise WorkbenchError("There is nothing to draw yet", expected="at least one measured number")
    figure = go.Figure()
    groups = list(dict.fromkeys(shown[group])) if group else [None]
    for i, name in enumerate(groups):
        part = shown if name is None else shown[shown[group] == name]
        x = part[value].to_numpy(float)
        bounds = {}
        if low in part and high in part:
            ends = [part[end].to_numpy(float) for end in (low, high)]
            bounds["error_x"] = {
                "type": "data", "symmetric": False, "color": GREY, "thickness": 1.5,
                "array": np.nan_to_num(ends[1] - x), "arrayminus": np.nan_to_num(x - ends[0]),
            }  # fmt: skip
        said = []
        for row, centre in zip(part.to_dict("records"), x, strict=True):
            text = f"{centre:.4g}"
            if low in row and high in row and np.isfinite([row[low], row[high]]).all():
                text += f" ({row[low]:.4g} to {row[high]:.4g})"
            said.append(text + (f", n = {row[n]:g}" if n and n in row else ""))
        figure.add_trace(go.Scatter(
            x=x, y=[" · ".join(str(one) for one in row if str(one)) for row in part[list(label)].to_numpy().tolist()],
            name="" if name is None else str(name), mode="markers", text=said,
            hovertemplate="%{y}: %{text}<extra></extra>", showlegend=len(groups) > 1,
            marker={"size": 10, "color": COLOURS[i % len(COLOURS)], "symbol": MARKS[i % len(MARKS)]}, **bounds,
        ))  # fmt: skip
    rows = shown[list(label)].drop_duplicates()
    figure.update_layout(
        height=150 + 26 * max(3, len(rows)), margin={"t": 40, "b": 46}, legend={"orientation": "h", "y": 1.12},
        xaxis={"title": axis} | ({"range": [-0.02, 1.02]} if share else {}),
        yaxis={"type": "category", "autorange": "reversed"},
    )  # fmt: skip
    if zero:
        figure.add_vline(x=0, line={"color": GREY, "width": 1})
    return figure


def scores_figure(scores: pd.DataFrame) -> Any:
    """Of `Answers`: the share that passes by category, a colour a model."""
    return dots(scores, "share", ["category"], "share of answers that pass", group="model", n="n", share=True)


def wins_figure(tallies: pd.DataFrame) -> Any:
    """Of `Votes` and `Verdicts`: win rates by category, a colour a model."""
    return dots(tallies, "win_rate", ["category"], "win rate (ties count half)", group="model", n="items", share=True)


def evaluation_figure(rows: pd.DataFrame) -> Any:
    """Of `Evaluation`: values by task and metric, and 1.96 standard errors either way."""
    error = 1.96 * pd.to_numeric(rows["stderr"], errors="coerce")
    shown = rows.assign(low=rows["value"] - error, high=rows["value"] + error)
    return dots(shown, "value", ["task", "metric", "filter"], "value (1.96 standard errors)", n="n")


def labels_figure(scores: pd.DataFrame) -> Any:
    """Of `Moderation`: the share of each label."""
    return dots(scores, "share", ["label"], "share of the probability of all labels", share=True)


def guarded_figure(replies: pd.DataFrame) -> Any:
    """Of `Guarded`: the change of each plain reply's log-probability."""
    shown = replies.assign(prompt=[str(one)[:40] for one in replies["prompt"]]) if len(replies) else replies
    axis = "log-probability of the plain reply with the safe prompt, less without (nats a token)"
    return dots(shown, "change", ["prompt"], axis, zero=True)


def costs_figure(costs: pd.DataFrame) -> Any:
    """Of `PromptCosts`: nats from the reference by form."""
    axis = "log-probability of a conversation's answers less the reference's (nats)"
    return dots(costs, "nats", ["form"], axis, group="scored", n="conversations", zero=True)


def lab_figure(loss: pd.DataFrame | None) -> Any:
    """Of `PromptLab`: the same of one conversation. Raises WorkbenchError where no loss was measured."""
    if loss is None:
        raise WorkbenchError("No loss was measured", remedy="Give a conversation with an answer, and loss=True")
    shown = loss[loss["answer"] == "all"]
    return dots(shown, "difference", ["form"], "log-probability of all answers less the reference's (nats)", zero=True)


def cache_figure(table: pd.DataFrame) -> Any:
    """Of `CacheFindings`: what each policy loses by the share of the full cache's bytes that it keeps."""
    go = plotly()
    texts = len(table) and table["loss"].notna().any()
    value, ends = ("loss_more", ("low", "high")) if texts else ("right", ("right_low", "right_high"))
    shown = table[table[value].notna()].reset_index()
    if not len(shown):
        raise WorkbenchError("There is nothing to draw yet", remedy="Iterate the study first")
    y, low, high = (shown[name].to_numpy(float) for name in (value, *ends))
    figure = go.Figure(go.Scatter(
        x=shown["of_full"], y=y, mode="markers+text", text=shown["policy"], textposition="top center",
        error_y={"type": "data", "symmetric": False, "color": GREY, "thickness": 1.5,
                 "array": np.nan_to_num(high - y), "arrayminus": np.nan_to_num(y - low)},
        marker={"size": 10, "color": COLOURS[1]}, customdata=shown[["bytes", "tokens"]].to_numpy(), showlegend=False,
        hovertemplate="%{text}: %{y:.4f}, %{customdata[0]:,.0f} bytes, %{customdata[1]:.1f} tokens a head"
        "<extra></extra>",
    ))  # fmt: skip
    words = "loss more than the full cache's (nats a token)" if texts else "share of right answers"
    figure.update_layout(
        height=380, margin={"t": 30, "b": 46}, xaxis={"title": "bytes, as a share of the full cache's"},
        yaxis={"title": words},
    )  # fmt: skip
    return figure


def induction_figure(table: pd.DataFrame) -> Any:
    """Of `InductionCurve`: the gain by period, a line a model."""
    go = plotly()
    if not len(table):
        raise WorkbenchError("Nothing was read yet", remedy="Iterate the study first")
    figure = go.Figure()
    for i, (model, part) in enumerate(table.groupby("model", sort=False)):
        figure.add_trace(go.Scatter(
            x=part["period"], y=part["gain"], name=str(model), mode="lines+markers",
            line={"color": COLOURS[i % len(COLOURS)]}, marker={"symbol": MARKS[i % len(MARKS)], "size": 9},
            error_y={"type": "data", "symmetric": False, "thickness": 1.5,
                     "array": np.nan_to_num(part["high"] - part["gain"]),
                     "arrayminus": np.nan_to_num(part["gain"] - part["low"])},
            hovertemplate="%{x} tokens: %{y:.3f} nats<extra></extra>",
        ))  # fmt: skip
    figure.update_layout(
        height=360, margin={"t": 46, "b": 46}, xaxis={"title": "period (tokens of one copy)", "type": "log"},
        yaxis={"title": "gained on the second copy (nats a token)"}, legend={"orientation": "h", "y": 1.12},
    )  # fmt: skip
    return figure


def reach_figure(found: Reach) -> Any:
    """Of `Reach`: influence by distance where there is any, on a log scale, and the limit by arithmetic."""
    go = plotly()
    table = found.table().dropna()
    positive = table[table["influence"] > 0]
    figure = go.Figure(go.Scatter(
        x=positive["distance"], y=positive["influence"], mode="markers", marker={"size": 7, "color": COLOURS[1]},
        hovertemplate="%{x} tokens back: %{y:.3g}<extra></extra>", showlegend=False,
    ))  # fmt: skip
    figure.add_vline(x=found.expected - 1, line={"color": GREY, "width": 1})
    figure.update_layout(
        height=340, margin={"t": 30, "b": 46}, yaxis={"title": f"influence ({found.method})", "type": "log"},
        xaxis={"title": f"tokens before the last; the line: {found.expected} tokens can reach it",
               "range": [-1, max(len(found.influence), found.expected)]},
    )  # fmt: skip
    return figure


def memory_figure(plan: MemoryPlan) -> Any:
    """Of `MemoryPlan`: gibibytes of each part."""
    go = plotly()
    table = plan.to_dataframe()
    inside = ["weights", "kv_cache", "activations", "capture"]
    figure = go.Figure(go.Bar(
        x=table["bytes"] / 2**30, y=[name.replace("_", " ") for name in table["part"]], orientation="h",
        marker={"color": [COLOURS[1] if name in inside else "#c3c3c3" for name in table["part"]]},
        hovertemplate="%{y}: %{x:.3f} GiB<extra></extra>",
    ))  # fmt: skip
    figure.update_layout(
        height=300, margin={"t": 30, "b": 46}, xaxis={"title": "GiB (grey: not part of the total)"},
        yaxis={"type": "category", "autorange": "reversed"}, showlegend=False,
    )  # fmt: skip
    return figure


def plotly() -> Any:
    """plotly.graph_objects. Raises WorkbenchError where plotly is not installed."""
    try:
        import plotly.graph_objects as go
    except ImportError:
        raise WorkbenchError("Figures need plotly", remedy="pip install 'mistral-workbench[notebooks]'") from None
    return go
