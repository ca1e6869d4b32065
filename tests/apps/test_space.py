"""The Space says what it needs, has all that the app imports and reads, and serves by its hardware."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from apps.space.app import settings
from apps.space.build import TORCH, build
from apps.studio.app import NOTEBOOK, links
from workbench.errors import WorkbenchError

ROOT = Path(__file__).resolve().parents[2]
SPACE = ROOT / "apps" / "space"

STARTED = """
import pathlib, sys
import gradio as gr
import app  # the file that a Space runs
from apps.space.app import settings
from apps.studio.app import build
from apps.studio.recorded import exchanges

found = settings({"SPACE_ID": "someone/workbench"})
page = build(found.models, exchanges(), found)
page.studio.shelf.get("twin-v0.1")
assert len(exchanges()) == 4, "the recorded exchanges"
assert page.get_config_file()["components"]
here = pathlib.Path.cwd().resolve()
ours = [module.__file__ for name, module in sys.modules.items() if name.split(".")[0] in ("workbench", "apps")]
away = [file for file in ours if file and here not in pathlib.Path(file).resolve().parents]
assert ours and not away, away
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("space") / "built"
    build(found)
    return found


def name_of(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9_.-]+", requirement)
    assert found
    return found.group().lower().replace("_", "-")


def pins(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {name_of(line): line for line in lines}


def test_the_card_names_what_is_there(folder: Path) -> None:
    _, front, body = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    card = yaml.safe_load(front)
    assert card["sdk"] == "gradio"
    assert card["sdk_version"] == version("gradio")
    assert card["python_version"] == "3.12.12"
    assert (folder / card["app_file"]).is_file()
    assert len(card["short_description"]) <= 60
    assert card["license"] == "apache-2.0"
    assert card["suggested_hardware"] == "cpu-basic"
    assert "not the 7B models" in body


def test_requirements_are_the_packages_own_as_they_are_tested(folder: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = pins((SPACE / "requirements.txt").read_text())
    written = {"nbformat"}  # besides: notebooks of runs
    assert set(found) == {name_of(line) for line in project["dependencies"]} | written
    locked = {
        name_of(line): line.split("==")[1] for line in (ROOT / "requirements.lock").read_text().splitlines()
        if "==" in line
    }  # fmt: skip
    assert found.pop("torch") == TORCH["zerogpu"]
    assert {name: line.split("==")[1] for name, line in found.items()} == {name: locked[name] for name in found}
    assert pins((folder / "requirements.txt").read_text())["torch"] == TORCH["cpu"]


def test_the_folder_has_the_whole_app_and_nothing_else(folder: Path) -> None:
    built = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    for package in ("workbench", "apps"):
        own = [path for path in (ROOT / package).rglob("*") if path.is_file()]
        names = {
            path.relative_to(ROOT).as_posix()
            for path in own
            if "__pycache__" not in path.parts and path.suffix != ".so"
        }
        assert names <= built, sorted(names - built)[:5]
    tops = {name.split("/")[0] for name in built}
    assert tops == {
        "apps", "assets", "notebooks", "workbench", "app.py", "README.md", "requirements.txt", "LICENSE",
        ".gitattributes",
    }  # fmt: skip
    assert [name for name in built if name.startswith("notebooks/")] == [NOTEBOOK]
    assert not [name for name in built if "__pycache__" in name or "/tests/" in name or name.endswith((".pyc", ".png"))]
    assert sum((folder / name).stat().st_size for name in built) < 64 * 2**20


def test_the_folder_starts_by_itself(folder: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "WORKBENCH_"))}
    done = subprocess.run(
        [sys.executable, "-B", "-c", STARTED], cwd=folder, env=environ, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_what_is_no_space_is_left_alone(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="Nothing was changed"):
        build(ROOT)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(WorkbenchError, match="Nothing was changed"):
        build(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    (folder / "diary.txt").write_text("mine")
    with pytest.raises(WorkbenchError, match="diary"):
        build(folder)
    assert (folder / "workbench" / "errors.py").is_file()
    (folder / "diary.txt").unlink()
    (folder / "workbench" / "stale.py").write_text("")
    (folder / ".git").mkdir()
    build(folder, "zerogpu")
    assert not (folder / "workbench" / "stale.py").exists()
    assert (folder / ".git").is_dir()
    (folder / ".git").rmdir()
    assert "suggested_hardware: zero-a10g" in (folder / "README.md").read_text()
    assert pins((folder / "requirements.txt").read_text())["torch"] == TORCH["zerogpu"]
    build(folder)


def test_the_hardware_says_what_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    for gpu, environ, mode, models, at_once in (
        (False, {}, "cpu", ("twin-v0.1", "twin-v0.2"), 1),
        (True, {}, "gpu", ("v0.1", "v0.2"), 1),
        (True, {"SPACES_ZERO_GPU": "true"}, "zerogpu", ("v0.1", "v0.2"), 4),
        (True, {"WORKBENCH_MODE": "cpu"}, "cpu", ("twin-v0.1", "twin-v0.2"), 1),
        (True, {"WORKBENCH_MODELS": "v0.2", "WORKBENCH_CONCURRENCY": "2"}, "gpu", ("v0.2",), 2),
    ):
        monkeypatch.setattr("torch.cuda.is_available", lambda gpu=gpu: gpu)
        found = settings(environ)
        assert (found.mode, found.models, found.concurrency) == (mode, models, at_once)
        assert found.proxies == 1
        assert not found.name_models


def test_only_a_space_can_be_duplicated() -> None:
    assert links({}) == links({"SPACE_ID": 'x/y"><script>'}) == []
    assert links({"SPACE_ID": "someone/workbench"}) == [
        ("Duplicate this Space", "https://huggingface.co/spaces/someone/workbench?duplicate=true"),
        ("Notebook", f"https://huggingface.co/spaces/someone/workbench/blob/main/{NOTEBOOK}"),
    ]
