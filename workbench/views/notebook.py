"""A run as a notebook: the run made again in its first cells, then a cell for every panel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.errors import WorkbenchError
from workbench.views import snippets

if TYPE_CHECKING:
    from workbench.inspection import Inspection

TITLES = {"tokens": "Tokens", "attention": "Attention", "lens": "Logit lens", "cache": "KV cache", "next": "Next token"}


def notebook(inspection: Inspection, token: int | None = None, layer: int | None = None) -> str:
    """An .ipynb file (nbformat 4) that makes the run again and shows each panel at ``token`` (the first one generated,
    else the last) and ``layer`` (the middle one). Raises WorkbenchError when nbformat is not installed."""
    try:
        import nbformat
        from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
    except ImportError:
        raise WorkbenchError(
            "A notebook is written with nbformat, which is not installed", remedy="pip install nbformat"
        ) from None
    last = len(inspection.ids) - 1
    token = min(int(inspection.prompt_length), last) if token is None else token
    layer = int(inspection.model["layers"]) // 2 if layer is None else layer
    captured = {"attention": inspection.attention, "lens": inspection.lens, "cache": inspection.kv_cache}
    name = str(inspection.model["name"]).rstrip("/").rsplit("/", 1)[-1]
    cells = [
        new_markdown_cell(f"# A run of `{name.replace('`', '')}`\n\nThe same model, prompt, settings and capture."),
        new_code_cell(snippets.beginning(inspection).rstrip()),
        new_code_cell("found"),
    ]
    for panel in snippets.PANELS:
        if panel in captured and captured[panel] is None:
            continue
        rows, span = snippets.row_source(inspection, token), snippets.lens_span(inspection, token)
        cells += [new_markdown_cell(f"## {TITLES[panel]}")]
        cells += [new_code_cell(snippets.ending(panel, token, layer, None, rows, span).rstrip())]
    for i, cell in enumerate(cells):
        cell["id"] = f"cell-{i}"  # the same run gives the same file
    made = new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    return str(nbformat.writes(made))
