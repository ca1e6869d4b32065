"""What is selected in a widget: a run, a token of it, a layer and a head."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    found["token"] = placed(found["token"], len(inspection.ids), "token")
    found["layer"] = placed(found["layer"], int(inspection.model["layers"]), "layer")
    heads = heads_of(inspection)
    if found["head"] is not None and (isinstance(found["head"], bool) or found["head"] not in heads):
        raise CaptureError(
            f"head {str(found['head'])[:40]} was not captured in this run",
            expected=f"one of {', '.join(map(str, heads))}, or None for their mean",
        )
    return {name: found[name] for name in PARTS}


def placed(value: Any, size: int, name: str) -> int:
    """``value`` as a place among ``size``; negative ones count from the end. CaptureError where there is none."""
    if not isinstance(value, int) or isinstance(value, bool) or not -size <= value < size:
        raise CaptureError(f"{name} {str(value)[:40]} does not exist in this run", expected=f"0 to {size - 1}")
    return value % size


def fitted(runs: Iterable[Mapping[str, Any]], other: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """What the selection ``other`` of a linked widget means in one whose runs are ``runs`` (its trait) and whose own is
    ``now``: a run that it does not have, and a token, layer or head that its run does not have, stay as they are.
    loader.js says the same in the page."""
    known = {run["name"]: run for run in runs}
    if now.get("run") not in known:
        return dict(now)
    name = other["run"] if other.get("run") in known else now["run"]
    run, found = known[name], {**now, "run": name}
    for part, size in (("token", run["tokens"]), ("layer", run["layers"])):
        if part not in now:
            continue
        if isinstance(value := other.get(part), int) and 0 <= value < size:
            found[part] = value
        found[part] = min(found[part], size - 1)
    if "head" not in now:
        return found
    heads = [None, *run["heads"]]
    wanted = other["head"] if other.get("head", -1) in heads else found["head"]
    return found | {"head": wanted if wanted in heads else None}
