"""The widget with everything: token strips and the inspector of one run, or of two and their difference."""

from __future__ import annotations

from typing import Any

import traitlets

from workbench.comparison import Comparison
from workbench.errors import CaptureError
from workbench.inspection import Inspection
from workbench.widgets.runview import RunView

TABS = ("attention", "lens", "cache", "next")


class Inspector(RunView):
    """What `Inspection.widget` and `Comparison.widget` return.

    ``selection``: {"run", "token", "layer", "head"}, see `RunView`. ``tab``: one of attention, lens, cache, next.
    ``difference``: two runs are shown as one. All three are read and set from Python and changed by a click.
    """

    DRAWN_BY = "widget"

    tab = traitlets.Enum(TABS, default_value="attention").tag(sync=True)
    difference = traitlets.Bool(False).tag(sync=True)

    def __init__(self, found: Inspection | Comparison, **selection: Any) -> None:
        """Raises CaptureError for a selection that does not exist."""
        super().__init__(found, selection, difference=isinstance(found, Comparison) and "run" not in selection)

    @traitlets.validate("difference")
    def _comparable(self, proposal: Any) -> bool:
        if proposal["value"] and self._comparison is None:
            raise CaptureError("one run has no difference", expected="the widget of wb.compare(...)")
        return bool(proposal["value"])
