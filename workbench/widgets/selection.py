"""What is selected in a widget: a run, a token of it, a layer and a head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from workbench.errors import CaptureError

if TYPE_CHECKING:
    from workbench.inspection import Inspection

PARTS = ("run", "token", "layer", "head")


def heads_of(inspection: Inspection) -> list[int]:
    """The heads that can be selected, by their place in the model: the captured ones."""
    if inspection.attention is None:
        return list(range(int(inspection.model["heads"])))
    return [int(head) for head in inspection.attention.heads]


def first_look(runs: Mapping[str, Inspection], token: int | None = None) -> dict[str, Any]:
    """Where a widget opens: ``token`` of the first run, else the first token of its reply, else the last one; the
    layer that the views open with; the mean of all heads."""
    name, inspection = next(iter(runs.items()))
    last = len(inspection.ids) - 1
    place = min(inspection.prompt_length, last) if token is None else min(token, last)
    return {"run": name, "token": place, "layer": min(1, int(inspection.model["layers"]) - 1), "head": None}


def checked(runs: Mapping[str, Inspection], wanted: Any, now: Mapping[str, Any]) -> dict[str, Any]:
    """``wanted`` with what it leaves out taken from ``now``: {"run": a name in ``runs``, "token": position, "layer",
    "head": its place in the model, None for the mean of all}. Negative positions and layers count from the end.

    Raises CaptureError for what does not exist in the run.
    """
    if not isinstance(wanted, Mapping) or not set(wanted) <= set(PARTS):
        given = ", ".join(map(str, wanted))[:60] if isinstance(wanted, Mapping) else type(wanted).__name__
        raise CaptureError(f"a selection of {given} is unknown", expected="some of run, token, layer and head")
    found = {**now, **wanted}
    if not isinstance(found["run"], str) or found["run"] not in runs:
        raise CaptureError(f"this widget has no run {str(found['run'])[:40]!r}", expected=" or ".join(map(repr, runs)))
    inspection = runs[found["run"]]
    found["token"] = _place(found["token"], len(inspection.ids), "token")
    found["layer"] = _place(found["layer"], int(inspection.model["layers"]), "layer")
    heads = heads_of(inspection)
    if found["head"] is not None and (isinstance(found["head"], bool) or found["head"] not in heads):
        raise CaptureError(
            f"head {str(found['head'])[:40]} was not captured in this run",
            expected=f"one of {', '.join(map(str, heads))}, or None for their mean",
        )
    return {name: found[name] for name in PARTS}


def _place(value: Any, size: int, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not -size <= value < size:
        raise CaptureError(f"{name} {str(value)[:40]} does not exist in this run", expected=f"0 to {size - 1}")
    return value % size
