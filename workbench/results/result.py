"""What every result of the workbench can do, wherever it comes from: be read, tabulated, drawn, saved and opened."""

from __future__ import annotations

import html
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import pandas as pd

from workbench.errors import WorkbenchError
from workbench.results.markup import table_html

ROWS = 40
"""Of the table that a result shows of itself."""


class Result:
    """The manners of a result. A result class writes its one-line ``__repr__`` and `to_dataframe`, and whichever of
    ``figure``, ``to_xarray`` and ``widget`` mean something for it; the rest is here.

    ``sentence`` says in words what was found, where there is something to say. Everything shown is escaped: pieces,
    names and answers are untrusted.
    """

    def to_dataframe(self) -> pd.DataFrame:
        """The result as one flat table."""
        raise NotImplementedError

    def to_html(self, path: str | Path, title: str | None = None) -> Path:
        """Write one self-contained HTML page (sentence, figures, tables, provenance) and return its path. It opens
        from disk and asks nobody. The page is made by a room above this one, so it is looked up only here."""
        return importlib.import_module("workbench.result_page").write_page(self, path, title)  # type: ignore[no-any-return]

    def save(self, path: str | Path) -> Path:
        """Write everything to one file (safetensors with a JSON record) and return its path; `workbench.open` and the
        class's own ``open`` read it back. Raises FileFormatError when it cannot be written."""
        from workbench.results.saved import save_result

        return save_result(self, path)

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """The result of this kind that ``save`` wrote to ``path``. Raises FileFormatError for a file that is missing,
        damaged, too large, or of another kind."""
        from workbench.results.saved import open_result

        return open_result(path, cls)  # type: ignore[no-any-return]

    def telling(self) -> str:
        """The sentence, "" where nothing can be said (yet)."""
        try:
            return str(getattr(self, "sentence", ""))
        except WorkbenchError:
            return ""

    def tables(self) -> Sequence[tuple[str, pd.DataFrame]]:
        """(caption, table) of each table of the page, the main one first."""
        return [("", self.to_dataframe())]

    def figures(self) -> Sequence[tuple[str, Any]]:
        """(caption, plotly figure) of each figure of the page; none where there is nothing to draw."""
        if not hasattr(self, "figure"):
            return []
        try:
            return [("", self.figure())]
        except WorkbenchError:
            return []

    def contradiction(self) -> str | None:
        """What is wrong with a result that was read from a file; None for a sound one."""
        return None

    def _repr_html_(self) -> str:
        """What it found and its main table, in HTML that needs no script; every text is escaped."""
        told, shown = self.telling(), repr(self)
        parts = [shown] + ([told] if told and told not in shown else [])
        try:
            table = table_html(self.tables()[0][1], ROWS)
        except WorkbenchError:  # nothing was measured yet
            table = ""
        return "".join(f"<p>{html.escape(one)}</p>" for one in parts) + table

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Plain text, and HTML that needs no script."""
        told, shown = self.telling(), repr(self)
        plain = shown if not told or told in shown else f"{shown}\n{told}"
        return {"text/plain": plain, "text/html": self._repr_html_()}

    def __dir__(self) -> list[str]:
        """The public names: what a completion offers."""
        return sorted(name for name in super().__dir__() if not name.startswith("_") and name not in _INNER)


_INNER = ("telling", "tables", "figures", "contradiction")
