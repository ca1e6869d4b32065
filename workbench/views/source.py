"""One door to the payloads: what a host calls when a view asks for data. A request never runs the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.errors import CaptureError
from workbench.views import attention, cache, lens, next, tokens
from workbench.views.actions import taken

if TYPE_CHECKING:
    from workbench.inspection import Inspection


def open_run(inspection: Inspection, run: str, map_bytes: int = attention.MAP_BYTES) -> dict[str, Any]:
    """The opening payload of every view of one run, whose layers' maps may take ``map_bytes`` each. The pieces of its
    tokens are in that of the token strip only: `inspector.js` gives them to the others."""
    found = {
        "tokens": tokens.pack(inspection, run),
        "attention": attention.pack(inspection, run, map_bytes),
        "lens": lens.pack(inspection, run),
        "cache": cache.pack(inspection, run),
        "next": next.pack(inspection, run),
    }
    for name in ("attention", "lens", "cache", "next"):
        del found[name]["tokens"]
    return found


def answer(inspection: Inspection, run: str, request: dict[str, Any]) -> dict[str, Any]:
    """The payload for a ``request`` {"kind": "open" | "layer" | "row" | "lens" | "next", "token", "layer"}, or what an
    action of a panel takes away: {"kind": "data" | "code", "panel", ...}, see `actions.taken`.

    Raises CaptureError, in a sentence, for a token, layer or kind that does not exist in the run.
    """
    kind = request.get("kind")
    if kind == "open":
        return open_run(inspection, run)
    if kind == "layer":
        return attention.pack_layer(inspection, _index(request, "layer", int(inspection.model["layers"])))
    token = _index(request, "token", len(inspection.ids))
    if kind in ("data", "code"):
        return taken(inspection, request | {"token": token})
    if kind == "row":
        return attention.pack_row(inspection, token, _index(request, "layer", int(inspection.model["layers"])))
    if kind == "lens":
        return lens.pack_around(inspection, token)
    if kind == "next":
        return next.pack_at(inspection, token)
    raise CaptureError(f"a view asked for {str(kind)[:40]!r}", expected="open, layer, row, lens, next, data or code")


def _index(request: dict[str, Any], name: str, size: int) -> int:
    value = request.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < size:
        raise CaptureError(f"{name} {str(value)[:40]} does not exist in this run", expected=f"0 to {size - 1}")
    return value
