"""The retrieval grid as one SVG file: small, without scripts, readable in a light and a dark page."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from workbench.figures.grid import ABREAST, cells_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from workbench.context.grid import Grid

CELL, ROW, LEFT, TOP, GAP, BELOW = 34, 22, 44, 58, 18, 22
"""Pixels: width and height of a cell, room for the depths, for a panel's title, between panels, for the lengths."""
STEPS = 10
"""Shades from no answer right to all."""
STYLE = """
text { font: 11px system-ui, sans-serif; fill: #1d2433 } .t { font-weight: 600; font-size: 12px } .m { fill: #5b616b }
.g { fill: #ffffff } .c text { text-anchor: middle } .c .d { fill: #ffffff } .e { text-anchor: end }
SHADES
@media (prefers-color-scheme: dark) { text { fill: #e8ebf0 } .m { fill: #a7adb8 } .g { fill: #14171c }
DARKSHADES
.c .d, .c .h { fill: #10131a } }
"""


def grid_svg(grid: Grid, task: str | None = None) -> str:
    """An SVG: for each model depth by length, coloured by the share of right answers, the right answers of n as the
    number in the cell. Every cell's tooltip says its interval. Raises WorkbenchError for an empty grid."""
    models, cells = cells_of(grid, task)
    lengths, depths = sorted(set(cells["length"])), sorted(set(cells["depth"]))
    columns = min(ABREAST, len(models))
    rows = -(-len(models) // columns)
    wide, tall = CELL * len(lengths), TOP + ROW * len(depths) + BELOW
    width, height = LEFT + columns * (wide + GAP), rows * tall + 34
    body: list[str] = []
    for i, model in enumerate(models):
        x, y = LEFT + (i % columns) * (wide + GAP), (i // columns) * tall
        body += _panel(model, cells[cells["model"] == model], x, y, lengths, depths, labelled=i % columns == 0)
    shares = sorted(set(cells["n"]))
    n = f"{shares[0]}" if len(shares) == 1 else f"{shares[0]} to {shares[-1]}"
    said = (
        f"Task {cells['task'].iloc[0]}: right answers in each cell, n = {n}, by tokens of context (across) and depth "
        f"of what has to be found (down)."
    )
    style = STYLE.replace("DARKSHADES", _shades((38, 43, 52), (116, 178, 240))).replace(
        "SHADES", _shades((236, 239, 243), (24, 84, 150))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img"><title>{html.escape(said)}</title><style>{style}</style>'
        f'<rect class="g" width="{width}" height="{height}"/>{"".join(body)}'
        f'<text class="m" x="{LEFT}" y="{height - 12}">{html.escape(said)}</text></svg>\n'
    )


def _panel(
    model: str, part: pd.DataFrame, x: int, y: int, lengths: list[int], depths: list[float], labelled: bool
) -> Iterator[str]:
    """One model's cells with its name above; the switches on a line of their own."""
    name, _, switches = model.partition(" (")
    yield f'<text class="t" x="{x}" y="{y + 26}">{html.escape(name)}</text>'
    said = switches.removesuffix(")") or "as it is"
    yield f'<text class="m" x="{x}" y="{y + 42}">{html.escape(said)}</text>'
    if labelled:
        for j, depth in enumerate(depths):
            word = "all" if depth < 0 else f"{depth:.0%}"
            yield f'<text class="m e" x="{x - 6}" y="{y + TOP + ROW * j + 15}">{word}</text>'
    yield '<g class="c">'
    for cell in part.to_dict("records"):
        share, n, length = float(cell["right"]), int(cell["n"]), int(cell["length"])
        left, top = x + CELL * lengths.index(length), y + TOP + ROW * depths.index(cell["depth"])
        dark = ' class="d"' if share > 0.7 else ' class="h"' if share > 0.5 else ""  # 4.4 to 1 or better
        told = f"{length} tokens: {share:.2f} right, 95 % {cell['low']:.2f} to {cell['high']:.2f}, n = {n}"
        yield (
            f'<rect class="s{round(share * STEPS)}" x="{left}" y="{top}" width="{CELL - 1}" height="{ROW - 1}">'
            f"<title>{told}</title></rect><text{dark} "
            f'x="{left + CELL / 2:g}" y="{top + 15}">{round(share * n)}</text>'
        )
    for i, length in enumerate(lengths):
        yield f'<text class="m" x="{x + CELL * i + CELL / 2:g}" y="{y + TOP + ROW * len(depths) + 14}">{length}</text>'
    yield "</g>"


def _shades(low: tuple[int, int, int], high: tuple[int, int, int]) -> str:
    """A class for each share, evenly between two colours."""
    parts = []
    for step in range(STEPS + 1):
        mixed = (round(a + (b - a) * step / STEPS) for a, b in zip(low, high, strict=True))
        parts.append(f".s{step} {{ fill: #{''.join(f'{value:02x}' for value in mixed)} }}")
    return " ".join(parts)
