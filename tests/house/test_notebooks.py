"""The notebooks: kept without outputs, models named in the first cell, claims asserted, listed in the README."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TWINS = ("twin-v0.1", "twin-v0.2")


def code(path: Path) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


def test_they_are_numbered() -> None:
    assert [path.name[:2] for path in NOTEBOOKS] == [f"{i:02d}" for i in range(1, 8)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(path: Path) -> None:
    for cell in code(path):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_first_cell_chooses_the_model_and_the_last_ones_assert(path: Path) -> None:
    first, *rest = ("".join(cell["source"]) for cell in code(path))
    assert any(f'"{name}"' in first for name in TWINS)
    assert "import" not in first
    for cell in rest:
        assert not any(f'"{name}"' in cell for name in TWINS), "models are named in the first cell alone"
    assert any("assert" in cell for cell in rest), "a story asserts what it claims"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_in_the_readme(path: Path) -> None:
    assert f"(notebooks/{path.name})" in (ROOT / "README.md").read_text(encoding="utf-8")
