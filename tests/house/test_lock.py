"""The lock holds an exact version, inside the stated range, of everything that pyproject.toml asks for."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
WANTED = [*PROJECT["dependencies"], *EXTRAS["apps"], *EXTRAS["notebooks"], *EXTRAS["dev"]]
LINES = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line and not line.startswith("#")]


def locked() -> dict[str, str]:
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in LINES)}


@pytest.mark.parametrize("line", LINES)
def test_a_line_is_a_name_and_a_version(line: str) -> None:
    # No local build ("+cpu"), no place: the same file installs on a CPU and on a GPU machine.
    assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*", line)


@pytest.mark.parametrize("wanted", sorted(set(WANTED)))
def test_what_is_asked_for_is_locked_within_its_range(wanted: str) -> None:
    requirement = Requirement(wanted)
    version = locked().get(canonicalize_name(requirement.name))
    assert version is not None, f"{requirement.name} is not in requirements.lock: make lock"
    assert requirement.specifier.contains(version), f"{requirement.name} {version} is outside {requirement.specifier}"


def test_what_is_imported_is_asked_for() -> None:
    """Whatever workbench/ and apps/ import is named in pyproject.toml: what another package brings today may go."""
    asked = [*PROJECT["dependencies"], *(line for lines in EXTRAS.values() for line in lines)]
    stated = {canonicalize_name(Requirement(line).name) for line in asked}
    sources = packages_distributions()
    own = {"workbench", "apps", "_typeshed", *sys.stdlib_module_names}
    unknown = []
    for path in (file for top in ("workbench", "apps") for file in (ROOT / top).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names = [node.module]
            for top in {name.partition(".")[0] for name in names} - own:
                if not stated & {canonicalize_name(one) for one in sources.get(top, [top])}:
                    unknown.append(f"{path.relative_to(ROOT)} imports {top}, which pyproject.toml does not name")
    assert not unknown, "\n" + "\n".join(unknown)


def test_conda_delegates_to_pyproject_in_the_locked_versions() -> None:
    """environment.yml names Python and pip, and no package a second time."""
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    asked = [
        line.strip().removeprefix("- ") for line in text.partition("dependencies:")[2].splitlines() if line.strip()
    ]
    python, *pip = asked
    assert pip == ["pip", "pip:", "-c requirements.lock", "-e .[apps,notebooks]"]
    assert Requirement(python.replace("=", "==")).specifier.contains("3.11")
    assert SpecifierSet(PROJECT["requires-python"]).contains(python.partition("=")[2])
    assert {"apps", "notebooks"} <= set(EXTRAS)


def test_the_lab_opens_a_notebook_that_is_there() -> None:
    line = next(one for one in (ROOT / "Makefile").read_text(encoding="utf-8").splitlines() if "jupyter lab" in one)
    assert (ROOT / next(word for word in line.split() if word.endswith(".ipynb"))).is_file()
