"""Imports run one way, from the errors up to the apps; what an import inside a function reaches counts as well."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# A room may import rooms of a lower rank only; rooms of one rank are neighbours and do not know each other.
RANKS = {
    "errors": 0,
    "statistics": 0,
    "models": 1,
    "chat": 2,
    "results": 2,
    "capture": 3,
    "generation": 4,
    "inspection": 5,
    "model": 6,
    "comparison": 7,
    "cache_lab": 7,
    "behaviour": 7,
    "context": 7,
    "planning": 7,
    "facts": 7,
    "twins": 7,
    "views": 8,
    "figures": 8,
    "report": 9,
    "result_page": 9,
    "widgets": 10,
    "cli": 10,
    "__main__": 11,
}
FACE = 8  # workbench/__init__.py offers everything below the views
APPS = 11

# Upward on purpose, inside a function, so that the lower room loads without the upper one.
ALLOWED = {
    ("workbench/inspection", "report"),  # Inspection.to_html writes the report
    ("workbench/comparison", "report"),  # and Comparison.to_html that of two
    ("workbench/comparison", "figures"),  # Factorial.figure draws it with plotly
    ("workbench/context", "figures"),  # and Grid.figure
    ("workbench/inspection", "figures"),  # and so do the other results
    ("workbench/cache_lab", "figures"),
    ("workbench/behaviour", "figures"),
    ("workbench/facts", "figures"),
    ("workbench/planning", "figures"),
    ("workbench/results", "result_page"),  # Result.to_html writes a study's page
    ("workbench/results", "inspection"),  # wb.open opens inspections, too
    ("workbench/model.py", "cache_lab"),  # a policy as the cache of a request
    ("workbench/inspection", "widgets"),  # Inspection.widget shows it in a notebook
    ("workbench/context", "widgets"),  # Grid.widget
    ("workbench/comparison", "widgets"),  # and Comparison.widget two of them
    ("workbench/cli", "apps"),  # `workbench app` starts the page
}

# The user interface libraries and the only places that may import them.
KEPT = {
    "gradio": ("apps/",),
    "ipywidgets": ("workbench/widgets/",),
    "anywidget": ("workbench/widgets/",),
}


def imported(tree: ast.AST, package: str) -> Iterator[tuple[int, str]]:
    """Line and absolute name of every import in ``tree``, wherever it stands; ``package`` resolves relative ones."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            if node.args and isinstance(node.args[0], ast.Constant):
                yield node.lineno, str(node.args[0].value)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                parts = parts[: len(parts) - (node.level - 1)]
                base = ".".join([*parts, base]) if base else ".".join(parts)
            # `from workbench import cli` names a room in the alias, not in the module.
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}" if base in ("workbench", "apps") else base


def room_of(path: str) -> str:
    """The room a file belongs to: the name after ``workbench/``, "apps", or "" for ``workbench/__init__.py``."""
    parts = Path(path).with_suffix("").parts
    if parts[0] == "apps":
        return "apps"
    return "" if parts[1] == "__init__" else parts[1]


def violations(source: str, path: str) -> list[str]:
    """One sentence for every import in ``source`` that runs upwards; ``path`` is the file, from the repository root."""
    file = Path(path)
    package = ".".join(file.parent.parts)
    room = room_of(path)
    rank = {"": FACE, "apps": APPS}.get(room, RANKS.get(room, -1))
    found = []
    for line, name in imported(ast.parse(source), package):
        top, _, rest = name.partition(".")
        if top in KEPT and not path.startswith(KEPT[top]):
            found.append(f"{path}:{line} imports {top}, which only {' and '.join(KEPT[top])} may import")
        if top == "apps":
            target, target_rank = "apps", APPS
        elif top == "workbench":
            target = rest.partition(".")[0]
            if target not in RANKS:  # `import workbench`, or a name of the public face
                target, target_rank = "the public face", FACE
            else:
                target_rank = RANKS[target]
        else:
            continue
        same = target == room
        allowed = any(path.startswith(start) and target == what for start, what in ALLOWED)
        if not same and not allowed and target_rank >= rank:
            found.append(f"{path}:{line} imports {name}: {target} is not below {room or 'the public face'}")
    return found


def files() -> list[Path]:
    return sorted(path for top in ("workbench", "apps") for path in (ROOT / top).rglob("*.py"))


def rooms() -> set[str]:
    return {room_of(str(path.relative_to(ROOT))) for path in files()} - {"", "apps"}


def test_every_room_has_a_rank() -> None:
    unknown = rooms() - RANKS.keys()
    assert not unknown, f"give {sorted(unknown)} a rank in this file"


def test_imports_run_one_way() -> None:
    wrong = [sentence for path in files() for sentence in violations(path.read_text(), str(path.relative_to(ROOT)))]
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("workbench/capture/observer.py", "from workbench.inspection import Inspection"),
        ("workbench/capture/observer.py", "from ..inspection.storage import save"),
        ("workbench/capture/observer.py", "def f():\n    from workbench import inspection"),
        ("workbench/models/loading.py", "import workbench"),
        ("workbench/models/loading.py", "import workbench.chat.encoding as encoding"),
        ("workbench/planning/cost.py", "from workbench.facts import card"),
        ("workbench/models/loading.py", "import importlib\nimportlib.import_module('workbench.capture')"),
        ("workbench/report.py", "import apps.studio.app"),
        ("workbench/views/tokens.py", "import gradio as gr"),
        ("workbench/__init__.py", "from .views import tokens"),
        ("apps/studio/app.py", "from anywidget import AnyWidget"),
    ],
)
def test_an_upward_import_is_found(path: str, source: str) -> None:
    assert len(violations(source, path)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("workbench/inspection/inspection.py", "def to_html(self):\n    from workbench.report import write_html"),
        ("workbench/capture/lens.py", "from .request import LensCapture\nimport numpy as np"),
        ("workbench/twins/evaluate.py", "from workbench.generation import Sampling"),
        ("workbench/cli/serve.py", "def app():\n    from apps.studio.app import launch"),
        ("workbench/__init__.py", "from .model import Model, load\nfrom workbench.errors import WorkbenchError"),
        ("workbench/widgets/tokens.py", "import anywidget\nimport workbench as wb"),
        ("apps/studio/app.py", "import gradio as gr\nimport workbench as wb"),
    ],
)
def test_a_downward_import_is_not(path: str, source: str) -> None:
    assert violations(source, path) == []
