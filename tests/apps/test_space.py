"""The Space says what it needs, and the same as the package."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
SPACE = ROOT / "apps" / "space"


def name_of(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9_.-]+", requirement)
    assert found
    return found.group().lower().replace("_", "-")


def test_the_card_names_what_is_there() -> None:
    _, front, body = (SPACE / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    card = yaml.safe_load(front)
    assert card["sdk"] == "gradio"
    assert card["sdk_version"] == version("gradio")
    assert card["python_version"] == "3.12"
    assert (ROOT / card["app_file"]).is_file()
    assert len(card["short_description"]) <= 60
    assert card["license"] == "apache-2.0"
    assert "not the 7B models" in body


def test_requirements_are_the_packages_own() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [
        line for line in (SPACE / "requirements.txt").read_text().splitlines() if line and not line.startswith("#")
    ]
    written = {"nbformat"}  # besides: notebooks of runs
    assert {name_of(line) for line in lines} == {name_of(line) for line in project["dependencies"]} | written
