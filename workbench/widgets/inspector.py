"""The widget with everything, and each of its views alone: of one run, or of two and their difference."""

from __future__ import annotations

from typing import Any, ClassVar

import traitlets

from workbench.comparison import Comparison
from workbench.errors import CaptureError
from workbench.inspection import Inspection
from workbench.widgets import static
from workbench.widgets.runview import RunView

TABS = ("attention", "lens", "cache", "next")


class Inspector(RunView):
    """Token strips over the inspector: what `Inspection.widget` and `Comparison.widget` return.

    ``selection``: {"run", "token", "layer", "head"}, see `RunView`. ``tab``: one of attention, lens, cache, next.
    ``difference``: two runs are shown as one. All three are read and set from Python and changed by a click.
    """

    DRAWN_BY = "widget"
    PARTS: ClassVar[tuple[str, ...]] = ("tokens", "tabs")
    """What is shown besides a view: "tokens", the strips, and "tabs", the other views."""
    TAB: ClassVar[str | None] = None
    """The only view that it shows; None for all of them."""

    parts: Any = traitlets.List(traitlets.Unicode(), read_only=True).tag(sync=True)
    tab = traitlets.Enum(TABS, default_value="attention").tag(sync=True)
    difference = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self, found: Inspection | Comparison, *, run: str | None = None, token: int | None = None,
        layer: int | None = None, head: int | None = None, **unknown: Any,
    ) -> None:  # fmt: skip
        """The widget of ``found``, at a selection where one is named. Without a token it opens at the first one of the
        reply, or where two replies part. Raises CaptureError for a selection that does not exist."""
        named = {"run": run, "token": token, "layer": layer, "head": head}
        given = {name: value for name, value in named.items() if value is not None}
        both = isinstance(found, Comparison) and run is None
        super().__init__(found, given | unknown, difference=both, tab=self.TAB or "attention")
        self.set_trait("parts", list(self.PARTS))

    @traitlets.validate("difference")
    def _comparable(self, proposal: Any) -> bool:
        if proposal["value"] and self._comparison is None:
            raise CaptureError("one run has no difference", expected="the widget of wb.compare(...)")
        return bool(proposal["value"])

    @traitlets.validate("tab")
    def _own_tab(self, proposal: Any) -> str:
        if self.TAB not in (None, proposal["value"]):
            raise CaptureError(f"this widget shows {self.TAB} alone", expected="found.widget() for all views")
        return str(proposal["value"])

    def answer(self, request: Any) -> dict[str, Any]:
        """`RunView.answer`; of a run that is opened, only what this widget shows."""
        found = super().answer(request)
        if request.get("kind") != "open" or "tokens" in self.PARTS:
            return found
        shown = TABS if self.TAB is None else (self.TAB,)
        pieces = {"tokens": found["tokens"]["tokens"]}
        return {"tokens": pieces} | {name: found[name] if name in shown else {} for name in TABS}

    def static(self) -> str:
        name, token, layer, head = (self.selection[part] for part in ("run", "token", "layer", "head"))
        parts = [static.tokens(self._runs[name], token)] if "tokens" in self.PARTS else []
        if self._comparison is not None and self.difference:
            return "".join([*parts, static.difference(self._comparison)])
        shown = [self.tab] if "tabs" in self.PARTS or self.TAB else []
        return "".join([*parts, *(static.panel(self._runs[name], one, token, layer, head) for one in shown)])


class AttentionView(Inspector):
    """Attention alone: all heads of a layer, one large map, what the selected token reads and who reads it; of a
    comparison, one run's or the difference. Arrow keys: left and right a token, up and down a layer."""

    PARTS, TAB = (), "attention"


class LensView(Inspector):
    """The logit lens alone: what each layer would say next near the selected token, of a run or of two."""

    PARTS, TAB = (), "lens"


class CacheView(Inspector):
    """The KV cache alone: bytes and tokens by layer, norms by position, what a window has dropped, of a run or two."""

    PARTS, TAB = (), "cache"


class NextTokenView(Inspector):
    """The next token alone: what could have stood at the selected place and what may come after it."""

    PARTS, TAB = (), "next"


class DifferenceView(Inspector):
    """Two runs as one, without their strips: where the answers part, and the difference of every view."""

    PARTS = ("tabs",)

    def __init__(
        self, found: Comparison, *, run: str | None = None, token: int | None = None, layer: int | None = None,
        head: int | None = None,
    ) -> None:  # fmt: skip
        """The widget of ``found`` at a selection; ``run`` says whose token it is. Raises CaptureError for one run."""
        if not isinstance(found, Comparison):
            raise CaptureError(
                f"{type(found).__name__} has no difference", expected="a Comparison", remedy="Use wb.compare(a, b, ...)"
            )
        super().__init__(found, run=run, token=token, layer=layer, head=head)
        self.difference = True
