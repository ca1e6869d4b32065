"""What every widget has: a selection that is checked, a line to the page, and something to show where no page runs."""

from __future__ import annotations

import hashlib
import html
import threading
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import anywidget
import traitlets

from workbench.errors import CaptureError, WorkbenchError
from workbench.views import bundle

FOLDER = Path(__file__).parent
WITHOUT = "Run this cell in JupyterLab to look inside."
HOSTS = ("source", "widget", "strip", "livestrip", "chatbox", "gridbox")
"""The modules of this folder that draw widgets, in order of their imports; no name may be one of `views.bundle`'s."""


@lru_cache(maxsize=1)
def script() -> str:
    """The views and their hosts in a notebook as one script (`views.bundle`)."""
    return bundle([FOLDER / f"{name}.js" for name in HOSTS])


class View(anywidget.AnyWidget):
    """A widget that a module of `HOSTS` draws. Subclasses name it in ``DRAWN_BY`` and answer what it asks.

    The module exports ``start(model, element, ask, spread)`` and returns {destroy()}. model: the traits that are
    tagged ``sync``. ask(request) resolves to what `answer` returns, or to {error: sentence}. spread(selection) tells
    the widgets that are linked with this one (`links.link`), at once and in the page.

    ``selection``: read and set from Python and changed by a click; `observe(f, "selection")` hears of both. The state,
    which a notebook may save, holds what the traits hold and a loader of a few kB. The script travels once a page, data
    when the page asks for it: messages {"id", "ask": request} are answered by {"id", "answer": payload} or
    {"id", "error": sentence}.
    """

    DRAWN_BY: ClassVar[str] = ""

    _esm: Any = FOLDER / "loader.js"
    _css: Any = FOLDER / "widget.css"

    host = traitlets.Unicode().tag(sync=True)  # the module that draws it
    key = traitlets.Unicode().tag(sync=True)  # its own id: the page asks the widget manager whether the kernel is there
    views = traitlets.Unicode().tag(sync=True)  # which script it needs
    script = traitlets.Unicode().tag(sync=True)  # the script itself, while a busy kernel could not answer
    runs: Any = traitlets.List(read_only=True).tag(
        sync=True
    )  # [{"name", "tone", "summary", "tokens", "layers", "heads"}]
    selection = traitlets.Dict().tag(sync=True)
    links = traitlets.List(traitlets.Unicode()).tag(sync=True)  # ids of its links

    def __init__(self, **state: Any) -> None:
        self._hearing: int | None = None  # the thread that takes over what a page has changed
        self.shown = 0  # how many pages, or places of one, show it now
        super().__init__(**state)
        self.host, self.key = self.DRAWN_BY, self.model_id or ""
        self.views = hashlib.sha256(script().encode()).hexdigest()[:16]
        self.on_msg(self._hear)

    def answer(self, request: Any) -> dict[str, Any]:
        """What the page gets for ``request``, a JSON object with a "kind"; the one that every widget knows is "script".
        Raises WorkbenchError, in a sentence, for what does not exist."""
        if not isinstance(request, Mapping):
            raise CaptureError("the page sent something else than a request")
        if request.get("kind") == "script":
            return {"script": script()}
        raise CaptureError(f"the page asked for {str(request.get('kind'))[:40]!r}", expected="a kind that there is")

    def check_selection(self, wanted: Any) -> dict[str, Any]:
        """``wanted`` as the selection that it means; WorkbenchError, in a sentence, for one that does not exist."""
        return dict(wanted)

    def fit_selection(self, other: Mapping[str, Any]) -> dict[str, Any]:
        """What a linked widget's selection means here; what does not exist here stays as it is."""
        return self.selection

    def static(self) -> str:
        """HTML without a script, for places where no widget can be: nbviewer, GitHub, a saved page."""
        return f"<p>{html.escape(repr(self))}</p>"

    @property
    def hearing(self) -> bool:
        """Whether a change that is being made comes from the page."""
        return self._hearing == threading.get_ident()

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take over what the page has changed (ipywidgets calls this)."""
        self._hearing = threading.get_ident()
        try:
            super().set_state(sync_data)
        finally:
            self._hearing = None

    @traitlets.validate("selection")
    def _checked(self, proposal: Any) -> dict[str, Any]:
        return self.check_selection(proposal["value"])

    def _hear(self, widget: Any, content: Any, buffers: Any) -> None:
        """Answer one message of the page; a mistake in it comes back as a sentence, a fault of ours is raised too."""
        said = content if isinstance(content, dict) else {}
        if "shown" in said:
            self.shown = max(0, self.shown + (1 if said["shown"] else -1))
            return
        number = said.get("id")
        try:
            self.send({"id": number, "answer": self.answer(said.get("ask"))})
        except WorkbenchError as error:
            self.send({"id": number, "error": str(error)})
        except Exception as error:
            self.send({"id": number, "error": f"The kernel failed ({type(error).__name__}); its log says why."})
            raise

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The widget, and `static` for places without widgets."""
        data, metadata = super()._repr_mimebundle_(**kwargs)
        return {**data, "text/plain": repr(self), "text/html": f"<p>{WITHOUT}</p>{self.static()}"}, metadata
