"""The widget: token strips and the inspector of one run, or of two and their difference, with data from the kernel."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from workbench.comparison import Comparison
from workbench.comparison.parting import names
from workbench.errors import CaptureError, WorkbenchError
from workbench.inspection import Inspection
from workbench.report import panel_page
from workbench.views import answer, bundle
from workbench.views.difference import answer_pair
from workbench.widgets.selection import checked, first_look, heads_of

FOLDER = Path(__file__).parent
WITHOUT = "Run this cell in JupyterLab to look inside."
TABS = ("attention", "lens", "cache", "next")


@lru_cache(maxsize=1)
def script() -> str:
    """The views and their host in a notebook as one script (`views.bundle`)."""
    return bundle([FOLDER / "widget.js"])


class Inspector(anywidget.AnyWidget):
    """What `Inspection.widget` and `Comparison.widget` return.

    ``selection``: {"run", "token", "layer", "head"}, read and set from Python (some of the four are enough) and changed
    by a click; run is the model's name, head its place in the model or None for the mean of all heads. ``tab``: one of
    attention, lens, cache, next. ``difference``: two runs are shown as one.

    The state, which a notebook may save, holds the selection and a loader of a few kB. The views' script travels once
    a page, the data when a view asks for them: messages {"id", "ask": {"kind", ...}} are answered by
    {"id", "answer": payload} or {"id", "error": sentence}. The runs stay in memory until ``close()``.
    """

    _esm = FOLDER / "loader.js"
    _css = FOLDER / "widget.css"

    key = traitlets.Unicode().tag(sync=True)  # its own id: the page asks the widget manager whether the kernel is there
    views = traitlets.Unicode().tag(sync=True)  # which script it needs
    runs: Any = traitlets.List(read_only=True).tag(sync=True)  # [{"name", "tone", "summary", "heads"}]
    selection = traitlets.Dict().tag(sync=True)
    tab = traitlets.Enum(TABS, default_value="attention").tag(sync=True)
    difference = traitlets.Bool(False).tag(sync=True)

    def __init__(self, found: Inspection | Comparison, **selection: Any) -> None:
        self._found = found
        self._comparison = found if isinstance(found, Comparison) else None
        inspections = (found,) if isinstance(found, Inspection) else (found.a, found.b)
        called = (_name(inspections[0]),) if isinstance(found, Inspection) else names(found.a, found.b)
        self._runs = dict(zip(called, inspections, strict=True))
        parted = None if self._comparison is None else self._comparison.parting.chosen[0]
        first = first_look(self._runs, None if parted is None else parted.position)
        first = checked(self._runs, selection, first)
        super().__init__(difference=self._comparison is not None and "run" not in selection)
        self.set_trait("runs", [_shown(*run, tone) for run, tone in zip(self._runs.items(), "ab", strict=False)])
        self.selection = first
        self.views = hashlib.sha256(script().encode()).hexdigest()[:16]
        self.key = self.model_id or ""
        self.on_msg(self._hear)

    @traitlets.validate("selection")
    def _checked(self, proposal: Any) -> dict[str, Any]:
        return checked(self._runs, proposal["value"], self.selection or first_look(self._runs))

    @traitlets.validate("difference")
    def _comparable(self, proposal: Any) -> bool:
        if proposal["value"] and self._comparison is None:
            raise CaptureError("one run has no difference", expected="the widget of wb.compare(...)")
        return bool(proposal["value"])

    def _hear(self, widget: Any, content: Any, buffers: Any) -> None:
        """Answer one message of the page; a mistake in it comes back as a sentence, a fault of ours is raised too."""
        said = content if isinstance(content, dict) else {}
        number = said.get("id")
        try:
            self.send({"id": number, "answer": self.answer(said.get("ask"))})
        except WorkbenchError as error:
            self.send({"id": number, "error": str(error)})
        except Exception as error:
            self.send({"id": number, "error": f"The kernel failed ({type(error).__name__}); its log says why."})
            raise

    def answer(self, request: Any) -> dict[str, Any]:
        """The payload for {"kind": "script"}, {"kind": "difference", "part", ...} (`views.difference.answer_pair`), or
        {"run": name, "kind", ...} (`views.answer`, and "page": a panel as HTML). A request never runs the model.

        Raises WorkbenchError, in a sentence, for what does not exist.
        """
        if not isinstance(request, dict):
            raise CaptureError("the page sent something else than a request")
        kind = request.get("kind")
        if kind == "script":
            return {"script": script()}
        if kind == "difference":
            if self._comparison is None:
                raise CaptureError("one run has no difference", expected="the widget of a comparison")
            first, second = self._runs
            return answer_pair(self._comparison, first, second, request)
        inspection = self._runs.get(str(request.get("run")))
        if inspection is None:
            raise CaptureError(f"this widget has no run {str(request.get('run'))[:40]!r}")
        if kind != "page":
            return answer(inspection, str(request["run"]), request)
        answer(inspection, "", request | {"kind": "code"})  # the same bounds, the same sentences
        head = request.get("head")
        return panel_page(
            inspection, str(request.get("panel")), request["token"], request.get("layer"), -1 if head is None else head
        )

    def __repr__(self) -> str:
        return f"{self._found!r} as a widget. {WITHOUT}"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The widget, and for places without widgets what the inspection or comparison shows of itself."""
        data, metadata = super()._repr_mimebundle_(**kwargs)
        plain = self._found._repr_mimebundle_()
        return {**data, "text/plain": repr(self), "text/html": f"<p>{WITHOUT}</p>{plain['text/html']}"}, metadata


def _name(inspection: Inspection) -> str:
    return str(inspection.model["name"]).rstrip("/").rsplit("/", 1)[-1]


def _shown(name: str, inspection: Inspection, tone: str) -> dict[str, Any]:
    length, speed = len(inspection.ids), inspection.timings.get("tokens_per_second")
    summary = f"{inspection.prompt_length} + {length - inspection.prompt_length} tokens"
    summary += (f", {speed:.1f} tokens/s" if speed else "") + f", {inspection.model['dtype']}"
    return {"name": name, "tone": tone, "summary": summary, "heads": heads_of(inspection)}
