"""Inspections in a notebook: one anywidget around the views of the page and of the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    from workbench.comparison import Comparison
    from workbench.inspection import Inspection
    from workbench.widgets.inspector import Inspector

__all__ = ["widget"]


def widget(found: Inspection | Comparison, **selection: Any) -> Inspector:
    """The widget of an inspection or of a comparison, at ``selection`` (run, token, layer, head) where it names one.

    Raises WorkbenchError where anywidget is not installed, CaptureError for a selection that does not exist.
    """
    try:
        from workbench.widgets.inspector import Inspector
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("anywidget", "ipywidgets", "traitlets"):
            raise
        raise WorkbenchError(
            f"The widget needs {error.name}, which is not installed",
            remedy="pip install 'mistral-workbench[notebooks]'",
        ) from None
    return Inspector(found, **selection)
