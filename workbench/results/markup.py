"""Tables as HTML: every name and value is escaped, numbers are short, lengths have a limit."""

from __future__ import annotations

import html
import math
from typing import Any

import numpy as np
import pandas as pd

LONGEST = 240
"""Characters of a cell."""


def flat(table: pd.DataFrame) -> pd.DataFrame:
    """``table`` with a named index as columns, and without one that only counts; names of two parts are joined."""
    found = table.copy()
    if found.columns.nlevels > 1:
        found.columns = [" ".join(str(part) for part in name if part != "") for name in found.columns]
    return found.reset_index() if any(name is not None for name in found.index.names) else found.reset_index(drop=True)


def table_html(table: pd.DataFrame, rows: int = 40, caption: str = "") -> str:
    """``table`` as a <table>; after ``rows`` a line says how many more there are. "" for a table without rows."""
    shown = flat(table)
    if not len(shown):
        return ""
    head = "".join(f"<th>{html.escape(str(name))}</th>" for name in shown.columns)
    body = "".join(
        "<tr>" + "".join(_cell(value) for value in row) + "</tr>"
        for row in shown.head(rows).itertuples(index=False, name=None)
    )
    more = len(shown) - rows
    last = f'<tr><td colspan="{len(shown.columns)}">… and {more:,} more rows</td></tr>' if more > 0 else ""
    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}{last}</tbody></table>"


def _cell(value: Any) -> str:
    text = plain(value)
    kind = ' class="number"' if isinstance(value, int | float | np.number) and not isinstance(value, bool) else ""
    return f"<td{kind}>{html.escape(text if len(text) <= LONGEST else text[: LONGEST - 1] + '…')}</td>"


def plain(value: Any) -> str:
    """A value in a few characters: four significant digits of a fraction, nothing for a missing one."""
    if value is None or value is pd.NA or value is pd.NaT:
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        number = float(value)
        if math.isnan(number):
            return ""
        return f"{number:,.0f}" if abs(number) >= 1e4 and math.isfinite(number) else f"{number:.4g}"
    if isinstance(value, np.ndarray):
        return ", ".join(plain(one) for one in value.ravel()[:8].tolist()) + (", …" if value.size > 8 else "")
    return str(value)
