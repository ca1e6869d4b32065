"""The views as one script: the ES modules of this folder joined for hosts that load a single text."""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
MODULES = (
    *("theme", "dom", "data", "matrix", "files", "figure", "tables", "actions"),
    *("minimap", "tokens", "mosaic", "heatmap", "reading", "attention"),
    *("coarse", "lens", "growth", "keyheads", "keptmap", "cache", "next"),
    *("alignment", "sidebyside", "differencetables", "differenceattention", "differencelens", "differencenext"),
    *("differencecache", "difference", "inspector", "gridcell", "grid"),
    *("sheet", "headmap", "why", "questions"),
)
"""In order of their imports: a module only imports from those before it."""

_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./(\w+)\.js";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async function|function|const|class) (\w+))", re.MULTILINE)


def bundle(extra: Sequence[Path] = ()) -> str:
    """A script that defines ``window.workbench = {theme, dom, ..., inspector}`` once and adds the style sheet.

    Each module becomes a function of its own, so names never meet; the files stay ordinary ES modules. ``extra`` are
    further modules of a host, written the same way. ValueError when a module imports one that does not come before it.
    """
    parts = ["(() => {", "if (window.workbench) return;", "const modules = {};"]
    known: list[str] = []
    for path in [*(FOLDER / f"{name}.js" for name in MODULES), *extra]:
        parts.append(_module(path, known))
        known.append(path.stem)
    parts.append(f"const style = document.createElement('style'); style.textContent = {_literal(style_sheet())};")
    parts.append("document.head.append(style);")
    parts.append("window.workbench = modules;")
    parts.append("})();")
    return "\n".join(parts)


def page_of(title: str, data: Any, host: str, extra: Sequence[Path]) -> str:
    """A self-contained page: ``data`` and the views with the modules ``extra``, of which ``host`` draws the page. The
    title is text."""
    parts = {"title": html.escape(title), "data": packed_json(data), "script": bundle(extra), "host": host}
    template = (FOLDER / "report.html").read_text(encoding="utf-8")
    # One pass: what is filled in may itself hold a mark such as @data@ and must stay as it is.
    return re.sub("@(title|data|script|host)@", lambda mark: parts[mark.group(1)], template)


def packed_json(data: Any) -> str:
    """``data`` as JSON, gzip and base64: what `inflated` of data.js reads. It holds no character of markup, whatever
    the data hold, and the same data give the same text. ValueError for NaN and infinities."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode("ascii")


@lru_cache(maxsize=1)
def style_sheet() -> str:
    """The style sheet of the views: colours as CSS variables, light and dark."""
    return (FOLDER / "views.css").read_text(encoding="utf-8")


def _module(path: Path, known: Sequence[str]) -> str:
    source = path.read_text(encoding="utf-8")
    for found in _IMPORT.finditer(source):
        if found.group(2) not in known:
            raise ValueError(f"{path.name} imports {found.group(2)}.js, which is not bundled before it")
    source = _IMPORT.sub(lambda m: f"const {{{m.group(1).replace(' as ', ': ')}}} = modules.{m.group(2)};", source)
    names = _EXPORT.findall(source)
    body = _EXPORT.sub("", source)
    return f"modules.{path.stem} = (() => {{\n{body}\nreturn {{ {', '.join(names)} }};\n}})();"


def _literal(text: str) -> str:
    """``text`` as a JavaScript string that is safe inside a script element."""
    return json.dumps(text).replace("<", "\\u003c")
