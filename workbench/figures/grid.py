"""The retrieval grid as a plotly figure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    from workbench.context.grid import Grid

ABREAST = 4
"""Models side by side; more of them go below."""


def cells_of(grid: Grid, task: str | None = None) -> tuple[list[str], pd.DataFrame]:
    """The models in the order they were asked, and the cells of ``task`` (by default the first), a depth of -1 where
    there is none. Raises WorkbenchError for an empty grid or a task that it has not."""
    cells = grid.cells
    if not len(cells):
        raise WorkbenchError("There is nothing to draw yet", expected="at least one answered question")
    task = task or str(cells["task"].iloc[0])
    cells = cells[cells["task"] == task].fillna({"depth": -1.0})
    if not len(cells):
        raise WorkbenchError(f"The grid has no task {task[:40]!r}", expected=", ".join(sorted(set(grid.cells["task"]))))
    return [name for name in grid.models if name in set(cells["model"])], cells


def grid_figure(grid: Grid, task: str | None = None) -> Any:
    """Depth by length for each model of ``task`` (by default the first), coloured by the share of right answers, its
    interval and n in the label. Raises WorkbenchError without plotly or for an empty grid."""
    try:
        import plotly.graph_objects as go
        from plotly.subplots import make_subplots
    except ImportError:
        raise WorkbenchError("Figures need plotly", remedy="pip install 'mistral-workbench[notebooks]'") from None
    models, cells = cells_of(grid, task)
    columns = min(ABREAST, len(models))
    rows = -(-len(models) // columns)
    tall = 34 * max(4, cells["depth"].nunique())
    figure = make_subplots(
        rows=rows, cols=columns, subplot_titles=models, shared_yaxes=True, shared_xaxes=True,
        vertical_spacing=40 / (rows * (tall + 40)), horizontal_spacing=0.03,
    )  # fmt: skip
    for i, model in enumerate(models):
        part = cells[cells["model"] == model]
        shown = part.pivot(index="depth", columns="length", values="right")
        label = part.assign(said=[f"{r.right:.2f} ({r.low:.2f} to {r.high:.2f}), n = {r.n}" for r in part.itertuples()])
        words = label.pivot(index="depth", columns="length", values="said").to_numpy()
        figure.add_trace(
            go.Heatmap(
                z=shown.to_numpy(), x=[f"{length}" for length in shown.columns],
                y=["all" if depth < 0 else f"{depth:.0%}" for depth in shown.index], zmin=0, zmax=1,
                text=words, coloraxis="coloraxis", xgap=1, ygap=1,
                hovertemplate="%{x} tokens, depth %{y}<br>%{text}<extra></extra>",
            ), row=1 + i // columns, col=1 + i % columns,
        )  # fmt: skip
    figure.update_layout(
        coloraxis={"colorscale": "Cividis", "cmin": 0, "cmax": 1, "colorbar": {"title": "right"}},
        height=90 + rows * (tall + 40),
        margin={"t": 46, "b": 46},
        title=None,
    )
    for note in figure.layout.annotations:
        note.font.size = 12
    figure.update_xaxes(type="category")
    figure.update_xaxes(title="tokens of context", row=rows)
    figure.update_yaxes(type="category", autorange="reversed")
    figure.update_yaxes(title="depth", col=1)
    return figure
