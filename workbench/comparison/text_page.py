"""A comparison over texts as one HTML page: no script, no file beside it."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from workbench.comparison.text_result import TextComparison

_STYLE = """
:root { color-scheme: light dark; --a: #9a4a0b; --b: #0b5f85; }
@media (prefers-color-scheme: dark) { :root { --a: #f0a35e; --b: #6cc0e5; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; font-size: 13px; } caption { text-align: left; font-weight: 600; padding: 1.2rem 0 .3rem; }
td, th { padding: 3px 12px 3px 0; text-align: right; border-top: 1px solid color-mix(in srgb, currentcolor 18%, transparent); }
td:first-child, th:first-child, .text { text-align: left; } .text { font-family: ui-monospace, monospace; max-width: 26rem; overflow-wrap: anywhere; }
div { overflow-x: auto; } pre { font-size: 12px; overflow-x: auto; } svg { max-width: 100%; height: auto; } svg text { font-size: 12px; fill: currentcolor; }
"""  # noqa: E501


def write_page(found: TextComparison, path: Path, title: str | None = None) -> Path:
    """Write the page; every text in it is escaped."""
    name = html.escape(title or f"{found.by[0]} and {found.by[1]} over {len(found.table())} texts")
    positions = found.positions.drop(columns=["n"])
    largest = found.largest(40)[["text", "position", "before", "piece", "logprob_a", "logprob_b", "difference"]]
    parts = [
        f"<h1>{name}</h1><p>{html.escape(found.sentence)}</p>", _chart(found.table()),
        _table("Each text (loss in nats a token; difference: b less a)", found.table()),
        _table("By tokens read before (95 % t interval over texts)", positions),
        _table("Tokens whose log-probability differs most (b less a)", largest.set_index("text")),
        f"<h2>Where this comes from</h2><pre>{html.escape(json.dumps(found.provenance, indent=1, default=str))}</pre>",
    ]  # fmt: skip
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title><style>{_STYLE}</style>'
    path.write_text(head + "\n".join(parts) + "</html>\n", encoding="utf-8")
    return path


def _table(caption: str, table: pd.DataFrame) -> str:
    head = "".join(f"<th>{html.escape(str(name))}</th>" for name in (table.index.name or "", *table.columns))
    rows = "".join(
        f"<tr><td>{html.escape(str(name))}</td>" + "".join(_cell(value) for value in row) + "</tr>"
        for name, row in zip(table.index, table.itertuples(index=False), strict=True)
    )
    return f'<div tabindex="0"><table><caption>{html.escape(caption)}</caption><tr>{head}</tr>{rows}</table></div>'


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"<td>{value:.3f}</td>"
    return f'<td class="text">{html.escape(str(value))}</td>' if isinstance(value, str) else f"<td>{value}</td>"


def _chart(table: pd.DataFrame) -> str:
    """Each text's loss difference as a bar from 0: to the right b finds it less likely (a's colour)."""
    shown = table.head(40)
    most = max(1e-9, float(shown["difference"].abs().max())) if len(shown) else 1.0
    rows = []
    for i, (name, value) in enumerate(shown["difference"].items()):
        width = abs(value) / most * 220
        x, tone = (380, "a") if value > 0 else (380 - width, "b")
        label = html.escape(str(name)[:18])
        rows.append(
            f'<text x="0" y="{20 * i + 14}">{label}</text><rect x="{x:.1f}" y="{20 * i + 4}" width="{width:.1f}" '
            f'height="12" fill="var(--{tone})"/><text x="615" y="{20 * i + 14}">{value:+.3f}</text>'
        )
    height = 20 * len(shown)
    label = "Loss of b less loss of a, nats a token, by text"
    line = f'<line x1="380" x2="380" y1="0" y2="{height}" stroke="currentcolor"/>'
    return f'<svg viewBox="0 0 680 {height}" width="680" role="img" aria-label="{label}">{"".join(rows)}{line}</svg>'
