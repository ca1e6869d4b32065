"""What widgets of an inspection or a comparison share: runs, a selection in them, and answers from their payloads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.comparison import Comparison
from workbench.comparison.parting import names
from workbench.errors import CaptureError
from workbench.inspection import Inspection
from workbench.report import panel_page
from workbench.views import answer
from workbench.views.difference import answer_pair
from workbench.widgets.base import WITHOUT, View
from workbench.widgets.selection import checked, first_look, fitted, heads_of


class RunView(View):
    """A widget of one run, or of two and their difference.

    ``selection``: {"run", "token", "layer", "head"}; some of the four are enough to set it. run is the model's name,
    token a position (negative ones count from the end), head its place in the model or None for the mean of all heads.
    The runs stay in memory until ``close()``; nothing of them is in the state that a notebook saves.
    """

    def __init__(self, found: Inspection | Comparison, selection: Mapping[str, Any], **state: Any) -> None:
        if not isinstance(found, Inspection | Comparison):
            raise CaptureError(
                f"a widget of {type(found).__name__} cannot be made", expected="an Inspection or a Comparison",
                remedy="Give model.inspect(...), run.inspection or wb.compare(...)",
            )  # fmt: skip
        self._found = found
        self._comparison = found if isinstance(found, Comparison) else None
        inspections = (found,) if isinstance(found, Inspection) else (found.a, found.b)
        called = (name_of(found),) if isinstance(found, Inspection) else names(found.a, found.b)
        self._runs = dict(zip(called, inspections, strict=True))
        parted = None if self._comparison is None else self._comparison.parting.chosen[0]
        first = checked(self._runs, selection, first_look(self._runs, None if parted is None else parted.position))
        super().__init__(**state)
        self.set_trait("runs", shown_runs(self._runs))
        self.selection = first

    def check_selection(self, wanted: Any) -> dict[str, Any]:
        return checked(self._runs, wanted, self.selection or first_look(self._runs))

    def fit_selection(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return fitted(self.runs, other, self.selection)

    def answer(self, request: Any) -> dict[str, Any]:
        """The payload for {"kind": "script"}, {"kind": "difference", "part", ...} (`views.difference.answer_pair`), or
        {"run": name, "kind", ...} (`views.answer`, and "page": a panel as HTML). A request never runs the model.

        Raises WorkbenchError, in a sentence, for what does not exist.
        """
        if not isinstance(request, dict) or request.get("kind") == "script":
            return super().answer(request)
        return answered(self._runs, self._comparison, request)

    def static(self) -> str:
        return str(self._found._repr_mimebundle_()["text/html"])

    def __repr__(self) -> str:
        return f"{self._found!r} as a widget. {WITHOUT}"


def name_of(inspection: Inspection) -> str:
    """The last part of the model's name, which may be a folder."""
    return str(inspection.model["name"]).rstrip("/").rsplit("/", 1)[-1]


def answered(runs: Mapping[str, Inspection], found: object, request: dict[str, Any]) -> dict[str, Any]:
    """What `RunView.answer` gives of ``runs`` by their names; ``found`` is their comparison, where it is one."""
    kind = request.get("kind")
    if kind == "difference":
        if not isinstance(found, Comparison):
            raise CaptureError("one run has no difference", expected="the widget of a comparison")
        first, second = runs
        return answer_pair(found, first, second, request)
    inspection = runs.get(str(request.get("run")))
    if inspection is None:
        raise CaptureError(f"this widget has no run {str(request.get('run'))[:40]!r}")
    if kind != "page":
        return answer(inspection, str(request["run"]), request)
    answer(inspection, "", request | {"kind": "code"})  # the same bounds, the same sentences
    head = request.get("head")
    return panel_page(
        inspection, str(request.get("panel")), request["token"], request.get("layer"), -1 if head is None else head
    )


def shown_runs(runs: Mapping[str, Inspection]) -> list[dict[str, Any]]:
    """The trait ``runs`` of a widget of ``runs`` by their names."""
    return [_shown(*run, tone) for run, tone in zip(runs.items(), "ab", strict=False)]


def _shown(name: str, inspection: Inspection, tone: str) -> dict[str, Any]:
    length, speed = len(inspection.ids), inspection.timings.get("tokens_per_second")
    summary = f"{inspection.prompt_length} + {length - inspection.prompt_length} tokens"
    summary += (f", {speed:.1f} tokens/s" if speed else "") + f", {inspection.model['dtype']}"
    return {
        "name": name, "tone": tone, "summary": summary,
        "tokens": length, "layers": int(inspection.model["layers"]), "heads": heads_of(inspection),
    }  # fmt: skip
