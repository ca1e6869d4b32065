"""Parts of every page: components that the page's scripts draw into, and the script itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.responses import JSONResponse

from apps.server.faults import Faults
from apps.server.metrics import Metrics
from workbench.errors import WorkbenchError
from workbench.views import bundle

MODULES = (
    *("wire", "tab", "permalink", "header", "actionbar", "message", "switches", "alternatives", "column"),
    *("chat", "menu", "composer", "guards", "measuring", "host", "kept", "recordings", "runs", "opinions"),
    *("job", "sections", "differences", "which", "facts", "claims", "promptlab", "memory", "votes"),
    *("behaviour", "guardrails", "compare"),
    *("modelchoice", "retrievalform", "cellquestions", "retrieval", "curves", "positions", "reach"),
    *("heads", "cachelab", "context"),
)
"""The page's own scripts, in order of their imports."""

READY = "while (!window.workbench) await new Promise((r) => setTimeout(r, 10));"
"""JavaScript that waits for the scripts."""


def script() -> str:
    """The views and the page's modules as one script element."""
    folder = Path(__file__).parent
    return f"<script>{bundle([folder / f'{name}.js' for name in MODULES])}</script>"


def drawn(
    call: str, elem_id: str, value: Any = None, functions: Sequence[Callable[..., Any]] = (), head: str | None = None,
    faults: Faults | None = None,
) -> gr.HTML:  # fmt: skip
    """An empty place that ``call`` draws into, a JavaScript expression such as "chat.chat(element, props, watch)" that
    begins with the module's name. ``functions`` can be called from there as ``server.name(...)``; what breaks in them
    is told and counted by ``faults``."""
    return gr.HTML(
        value=value,
        html_template="<div></div>",
        apply_default_css=False,
        js_on_load=f"(async () => {{ {READY} window.workbench.{call}; }})();",
        server_functions=[_plain(one, faults or Faults(Metrics())) for one in functions] or None,
        head=head,
        elem_id=elem_id,
    )


def _plain(function: Callable[..., Any], faults: Faults) -> Callable[..., Any]:
    """A function of its own: Gradio writes an attribute into what it is given, which a method refuses. What fails in
    it is a sentence to the page and a trace in the log."""

    @wraps(function)
    def called(*values: Any) -> Any:
        try:
            if any(map(_immense, values)):
                raise WorkbenchError("A number of this request is too large", expected="whole numbers up to 2^53")
            return _written(function(*values))
        except Exception as error:
            return {"error": faults.told(error)}

    return called


def _immense(value: Any) -> bool:
    """Whether a whole number in what a page sent is beyond what JavaScript counts to: no float takes the longest."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, int) and abs(one) > 2**53:
            return True
        if isinstance(one, dict | list):
            left.extend(one.values() if isinstance(one, dict) else one)
    return False


def _written(found: Any) -> Any:
    """An answer as JSON text, made in the thread that found it: Gradio would take it apart in the one that serves all.
    What is no plain JSON is left to Gradio."""
    try:
        return JSONResponse(found)
    except (TypeError, ValueError):
        return found
