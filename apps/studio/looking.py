"""What a view asks about one run, answered from its inspection; never runs a model."""

from __future__ import annotations

from typing import Any

import workbench as wb
from workbench.report import panel_page
from workbench.views import answer


def looked(inspection: wb.Inspection, run: str, request: dict[str, Any]) -> dict[str, Any]:
    """A payload of `views.answer`, or for kind "page" one panel as a page of its own: {"name", "html"}.

    Raises CaptureError, in a sentence, for what does not exist in the run.
    """
    if request.get("kind") != "page":
        return answer(inspection, run, request)
    token, layer, head = (request.get(name) for name in ("token", "layer", "head"))
    checked = answer(inspection, run, request | {"kind": "code"})  # the same bounds, the same sentences
    assert checked
    return panel_page(inspection, str(request.get("panel")), int(token or 0), layer, -1 if head is None else head)
