"""The workbench in a notebook: anywidgets around the views of the page and of the report, and links between them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    from workbench.comparison import Comparison
    from workbench.inspection import Inspection
    from workbench.widgets.inspector import (
        AttentionView,
        CacheView,
        DifferenceView,
        Inspector,
        LensView,
        NextTokenView,
    )
    from workbench.widgets.links import Link, link
    from workbench.widgets.strip import TokenStrip

_VIEWS = ("AttentionView", "CacheView", "DifferenceView", "Inspector", "LensView", "NextTokenView")
_HOMES = dict.fromkeys(_VIEWS, "inspector") | {"Link": "links", "TokenStrip": "strip", "link": "links"} | {
    "Chat": "chat", "Switchboard": "switchboard", "RetrievalGrid": "grid",
}  # fmt: skip
_NEEDED = ("anywidget", "ipywidgets", "traitlets")

__all__ = [
    "AttentionView",
    "CacheView",
    "Chat",
    "DifferenceView",
    "Inspector",
    "LensView",
    "Link",
    "NextTokenView",
    "RetrievalGrid",
    "Switchboard",
    "TokenStrip",
    "link",
    "widget",
]


def widget(found: Inspection | Comparison, **selection: Any) -> Inspector:
    """The widget of an inspection or of a comparison, at ``selection`` (run, token, layer, head) where it names one.

    Raises WorkbenchError where anywidget is not installed, CaptureError for a selection that does not exist.
    """
    return __getattr__("Inspector")(found, **selection)  # type: ignore[no-any-return]


def __getattr__(name: str) -> Any:
    """Widgets load when they are first named: the library itself needs none of ipywidgets."""
    if name not in _HOMES:
        raise AttributeError(f"module 'workbench.widgets' has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(f"workbench.widgets.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _NEEDED:
            raise
        raise WorkbenchError(
            f"The widget needs {error.name}, which is not installed",
            remedy="pip install 'mistral-workbench[notebooks]'",
        ) from None


def __dir__() -> list[str]:
    return sorted(__all__)
