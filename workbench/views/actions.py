"""What a panel's actions take away from a host with Python: its data as a file, its code as text."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

from workbench.errors import CaptureError
from workbench.views import snippets, tables

if TYPE_CHECKING:
    from workbench.inspection import Inspection


def taken(inspection: Inspection, request: dict[str, Any]) -> dict[str, Any]:
    """{"code": text} for kind "code"; for kind "data" {"name": file name, "type": media type, "data": base64} of
    ``request["file"]``: a table of `tables.TABLES` as CSV, or "npz".

    ``request``: kind, panel, token, layer, head (index among the captured heads, -1 for their mean). Raises
    CaptureError for what does not exist or was not captured.
    """
    panel, token = str(request.get("panel")), int(request["token"])
    if panel not in tables.TABLES:
        raise CaptureError(f"there is no panel {panel[:20]!r}", expected=", ".join(tables.TABLES))
    layer = _among(request.get("layer"), int(inspection.model["layers"]), "layer")
    heads = list(range(int(inspection.model["heads"]))) if inspection.attention is None else inspection.attention.heads
    place = _among(request.get("head"), len(heads), "head", least=-1)
    head = None if place < 0 else heads[place]
    if request["kind"] == "code":
        return {"code": snippets.code(inspection, panel, token, layer, head)}
    file = str(request.get("file"))
    if file == "npz":
        data, kind = tables.npz_bytes(tables.arrays(inspection, panel, token, layer)), "application/octet-stream"
    else:
        text = tables.csv_text(tables.table(inspection, panel, file, token, layer, head))
        data, kind = (
            text.encode("utf-8-sig"),
            "text/csv",
        )  # with its mark: spreadsheets guess another encoding otherwise
    name = file_name(inspection, panel, token, "npz" if file == "npz" else "csv", layer, file)
    return {"name": name, "type": kind, "data": base64.b64encode(data).decode("ascii")}


def file_name(
    inspection: Inspection, panel: str, token: int, ending: str, layer: int | None = None, part: str = ""
) -> str:
    """A name that says what is in the file: model, panel, part, layer and token, without a character of a path."""
    model = re.sub(r"[^\w.-]+", "-", str(inspection.model["name"]).rstrip("/").rsplit("/", 1)[-1]).strip("-.")
    parts = [model[:60], panel, part if part not in ("", "npz", panel) else ""]
    parts += [f"layer{layer}" if panel == "attention" and layer is not None else "", f"token{token}"]
    return "_".join(one for one in parts if one) + f".{ending}"


def _among(value: Any, size: int, name: str, least: int = 0) -> int:
    """``value`` when it is one of ``least`` to ``size`` - 1; ``least`` for None. Raises CaptureError."""
    if value is None:
        return least
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < max(size, least + 1):
        raise CaptureError(f"{name} {str(value)[:40]} does not exist in this run", expected=f"{least} to {size - 1}")
    return value
