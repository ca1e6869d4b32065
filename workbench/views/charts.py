"""Payload of charts: what `charts.js` draws of a plotly figure, of the kinds that the workbench's figures are made of,
so that a page without plotly's 4 MB shows the same numbers."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from workbench.views.arrays import number

_FIELD = re.compile(r"%\{(x|y|z|text|customdata\[(\d+)\])(?::([^}]*))?\}")
MOST_MARKS = 20_000
"""Of one chart: more of them are cut, and the chart says so."""


def pack(figure: Any) -> dict[str, Any]:
    """{"panels": [...], "rows": [[panel, ...]], "cut": bool}. A panel: title, x and y (an axis: title, kind "linear",
    "log" or "category", reversed, range, ticks), marks and lines ({"x" or "y": number}). A mark: kind "dots", "line",
    "area", "bars" or "map", name, colours, values, interval ends and a text for each."""
    panels: dict[tuple[str, str], dict[str, Any]] = {}
    layout, left = figure.layout, MOST_MARKS
    for trace in figure.data:
        key = (trace.xaxis or "x", trace.yaxis or "y")
        panel = panels.setdefault(key, {
            "title": "", "x": _axis(layout, key[0]), "y": _axis(layout, key[1]), "marks": [], "lines": [],
        })  # fmt: skip
        marks = _marks(trace, layout)
        left -= max((len(mark["x"]) * (len(mark["y"]) if mark["kind"] == "map" else 1) for mark in marks), default=0)
        if left < 0:
            break
        panel["marks"] += marks
    for panel in panels.values():
        for side in "xy":
            texts = [mark[side] for mark in panel["marks"] if mark[side]]
            if panel[side]["kind"] != "category" and any(isinstance(value, str) for one in texts for value in one):
                panel[side]["kind"] = "category"
    for shape in layout.shapes or ():
        for side, start, end in (("x", "x0", "x1"), ("y", "y0", "y1")):
            axis = str(getattr(shape, f"{side}ref") or side)
            for key, panel in panels.items():
                if key["xy".index(side)] == axis and getattr(shape, start) == getattr(shape, end):
                    panel["lines"].append({side: number(getattr(shape, start))})
    for note in layout.annotations or ():
        if note.xref == "paper" and note.text:
            near = min(panels, key=lambda key: _apart(layout, key, note))
            panels[near]["title"] = str(note.text)
    rows: dict[float, list[tuple[float, int]]] = {}
    for place, key in enumerate(panels):
        low = _domain(layout, "y", key[1])[0]
        rows.setdefault(round(1 - low, 3), []).append((_domain(layout, "x", key[0])[0], place))
    return {"panels": list(panels.values()), "rows": [[at for _, at in sorted(rows[low])] for low in sorted(rows)],
            "cut": left < 0}  # fmt: skip


def _marks(trace: Any, layout: Any) -> list[dict[str, Any]]:
    x, y = _values(trace.x), _values(trace.y)
    base = {"name": str(trace.name or ""), "legend": trace.showlegend is not False and bool(trace.name), "x": x, "y": y}
    if trace.type == "heatmap":
        z = np.asarray(trace.z, float)
        scale = layout.coloraxis if trace.coloraxis else trace
        low, high = (getattr(scale, name, None) for name in (("cmin", "cmax") if trace.coloraxis else ("zmin", "zmax")))
        low = float(np.nanmin(z, initial=0.0)) if low is None else float(low)
        high = float(np.nanmax(z, initial=0.0)) if high is None else float(high)
        known = [[number(value, 5) for value in row] for row in z]
        bar = scale.colorbar.title.text if scale.colorbar else ""
        said = [
            [_said(trace, {"x": a, "y": b, "z": z[j, i], "text": _at(trace.text, j, i)}, ()) for i, a in enumerate(x)]
            for j, b in enumerate(y)
        ]
        return [base | {"kind": "map", "z": known, "low": low, "high": high, "bar": bar or "", "said": said}]
    if trace.type == "bar":
        flat = trace.orientation == "h"
        error = _ends(trace.error_x if flat else trace.error_y, x if flat else y)
        bars = {"kind": "bars", "flat": flat, "colours": _colours(trace.marker.color, len(x))}
        return [base | bars | {"said": _each(trace, x, y)} | error]
    if trace.fill == "toself":
        return [base | {"kind": "area", "legend": False, "colour": trace.fillcolor or "#888"}]
    found, mode = [], str(trace.mode or "lines")
    if "lines" in mode:
        colour = trace.line.color or "#2a6fb0"
        found.append(base | {"kind": "line", "colour": colour, "dash": trace.line.dash or "solid"})
    if "markers" in mode:
        ends = _ends(trace.error_x, x) if trace.error_x.array is not None else _ends(trace.error_y, y)
        flat = trace.error_x.array is not None
        symbols = trace.marker.symbol or "circle"
        named = [symbols] * len(x) if isinstance(symbols, str) else [str(one) for one in symbols]
        written = [str(one) for one in trace.text] if "text" in mode and trace.text is not None else None
        found.append(base | {
            "kind": "dots", "flat": flat, "colours": _colours(trace.marker.color or trace.line.color, len(x)),
            "symbols": named, "said": _each(trace, x, y), "written": written, "legend": base["legend"] and not found,
        } | ends)  # fmt: skip
    return found


def _each(trace: Any, x: list[Any], y: list[Any]) -> list[str]:
    texts = trace.text if trace.text is not None and not isinstance(trace.text, str) else [""] * len(x)
    custom = trace.customdata if trace.customdata is not None else [()] * len(x)
    return [_said(trace, {"x": a, "y": b, "text": c}, d) for a, b, c, d in zip(x, y, texts, custom, strict=False)]


def _said(trace: Any, values: dict[str, Any], custom: Any) -> str:
    """The text of plotly's hovertemplate for one mark, in lines; "x: y" without one."""
    template = trace.hovertemplate or "%{x}: %{y}"

    def filled(found: re.Match[str]) -> str:
        value = custom[int(found.group(2))] if found.group(2) is not None else values.get(found.group(1))
        if value is None:
            return ""
        if isinstance(value, str):
            return value
        try:
            return format(value, found.group(3)) if found.group(3) else f"{value:.6g}"
        except (ValueError, TypeError):
            return str(value)

    return _FIELD.sub(filled, template.replace("<extra></extra>", "").replace("<br>", "\n"))


def _ends(error: Any, centre: list[Any]) -> dict[str, Any]:
    if error is None or error.array is None:
        return {}
    above = np.asarray(error.array, float)
    below = above if error.arrayminus is None else np.asarray(error.arrayminus, float)
    middle = np.asarray(centre, float)
    return {"from": [number(one, 6) for one in middle - below], "to": [number(one, 6) for one in middle + above]}


def _colours(given: Any, count: int) -> list[str]:
    if given is None or isinstance(given, str):
        return [given or "#2a6fb0"] * count
    return [str(one) for one in given]


def _values(given: Any) -> list[Any]:
    if given is None:
        return []
    return [one if isinstance(one, str) else number(one, 6) for one in np.asarray(given, dtype=object).tolist()]


def _at(texts: Any, row: int, column: int) -> str:
    return "" if texts is None else str(texts[row][column])


def _of(layout: Any, axis: str) -> Any:
    return layout[f"{axis[0]}axis{axis[1:]}"]


def _axis(layout: Any, name: str) -> dict[str, Any]:
    axis = _of(layout, name)
    ticks = None
    if axis.tickvals is not None and axis.ticktext is not None:
        ticks = [[number(a, 6), str(b)] for a, b in zip(axis.tickvals, axis.ticktext, strict=False)]
    matched = _of(layout, str(axis.matches)) if axis.matches and str(axis.matches)[0] in "xy" else axis
    kind = axis.type or matched.type
    return {
        "title": str(axis.title.text or ""), "kind": kind if kind in ("log", "category") else "linear",
        "reversed": (axis.autorange or matched.autorange) == "reversed", "ticks": ticks,
        "range": [number(one) for one in axis.range] if axis.range is not None else None,
    }  # fmt: skip


def _domain(layout: Any, side: str, axis: str) -> tuple[float, float]:
    domain = _of(layout, axis).domain
    return (float(domain[0]), float(domain[1])) if domain is not None else (0.0, 1.0)


def _apart(layout: Any, key: tuple[str, str], note: Any) -> float:
    """How far a title stands from the middle of a panel's upper edge."""
    across, up = _domain(layout, "x", key[0]), _domain(layout, "y", key[1])
    return abs(sum(across) / 2 - float(note.x)) + abs(up[1] - float(note.y))
