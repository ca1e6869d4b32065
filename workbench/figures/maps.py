"""What differs between two checkpoints' weights as a plotly map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import WorkbenchError
from workbench.figures.dots import plotly

if TYPE_CHECKING:
    from workbench.comparison.changes import Changes


def changes_figure(found: Changes) -> Any:
    """Layer by kind of tensor, coloured by the relative Frobenius distance. Raises WorkbenchError without plotly or
    where the weights were not compared."""
    go = plotly()
    if not found.tensors:
        raise WorkbenchError("The weights were not compared", remedy="wb.changes(a, b, weights=True)")
    table = found.grouped.astype(float)
    most = float(np.nanmax(table.to_numpy(), initial=0.0))
    figure = go.Figure(go.Heatmap(
        z=table.to_numpy(), x=[str(one) for one in table.columns], y=[str(one) for one in table.index],
        coloraxis="coloraxis", xgap=1, ygap=1, hovertemplate="%{y}, %{x}: %{z:.4g}<extra></extra>",
    ))  # fmt: skip
    figure.update_layout(
        coloraxis={"colorscale": "Cividis", "cmin": 0, "cmax": max(most, 1e-9), "colorbar": {"title": "distance"}},
        height=140 + 26 * len(table), margin={"t": 30, "b": 60}, xaxis={"type": "category", "title": "kind of tensor"},
        yaxis={"type": "category", "autorange": "reversed", "title": "layer"},
    )  # fmt: skip
    return figure
