"""`workbench needle`: a grid from the command line, kept, exported, resumed; what is wrong is a sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from tests.pages import data_of
from workbench.cli import app
from workbench.cli.named import parted
from workbench.errors import SwitchError


def run(*words: object) -> tuple[int, str]:
    found = CliRunner().invoke(app, [str(word) for word in words])
    return found.exit_code, found.output


def test_a_grid_from_the_command_line(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    model = tiny_checkpoint(window=24)
    out, csv, jsonl = tmp_path / "grid", tmp_path / "cells.csv", tmp_path / "trials.jsonl"
    words = ["needle", "-m", model, "-m", f"{model}@window=none", "--lengths", "120,160", "--depths", "2", "--cases", 2]
    code, said = run(*words, "--out", out, "--csv", csv, "--jsonl", jsonl, "--figure", tmp_path / "grid.html")
    assert code == 0, said
    assert "effective length" in said
    assert "McNemar" in said
    cells = pd.read_csv(csv)
    assert (len(cells), set(cells["n"]), cells["model"].nunique()) == (8, {2}, 2)
    trials = [json.loads(line) for line in jsonl.read_text().splitlines()[1:]]
    assert len({trial["key"] for trial in trials}) == 16
    assert data_of((tmp_path / "grid.html").read_text(encoding="utf-8"))["grids"]
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    code, said = run(*words, "--out", out)
    assert code == 0
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--lengths", "12,x"], "--lengths is '12,x'"),
        (["--lengths", "99999"], "at most 2048"),
        (["--task", "riddle"], "no task 'riddle'"),
        (["--threshold", "3", "--lengths", "100", "--depths", "1", "--cases", "1"], "threshold"),
        (["--spacing", "odd"], "no spacing"),
    ],
)
def test_what_cannot_be_asked_is_a_sentence(tiny_checkpoint: Callable[..., Path], words: list[str], said: str) -> None:
    code, output = run("needle", "-m", tiny_checkpoint(), *words)
    assert code == 2
    assert said in " ".join(output.split())
    assert "Traceback" not in output


def test_the_tasks_are_listed() -> None:
    code, said = run("needle", "--tasks")
    assert code == 0
    assert "variable-tracking" in said


def test_models_are_named_with_their_switches() -> None:
    assert parted("twin-v0.1@window=none,theta=1e6") == ("twin-v0.1", {"window": None, "theta": 1e6})
    assert parted("a/b") == ("a/b", {})
    for wrong in ("a@window", "a@theta=x", "a@speed=2", "a@window=x"):
        with pytest.raises(SwitchError):
            parted(wrong)
