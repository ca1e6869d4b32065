"""`workbench memory` prints the plan and writes its table, without any weights."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import workbench as wb
from workbench.cli import app


def run(*words: str) -> str:
    found = CliRunner().invoke(app, ["memory", *words])
    assert found.exit_code == 0, found.output
    return found.output


def test_both_models_are_planned_when_none_is_named(tmp_path: Path) -> None:
    file = tmp_path / "m.csv"
    said = run("--cards", "--csv", str(file))
    assert "14.5 GB" in said and "4.29 GB" in said and "H200" in said
    table = pd.read_csv(file, index_col=["model", "tokens"])
    assert table.loc[("v0.1", 32768), "kv_cache"] == wb.memory("v0.1").kv_cache
    assert table.loc[("v0.2", 32768), "kv_cache"] == 4 * 2**30


def test_formats_and_capture_are_counted() -> None:
    assert "capture" in run("v0.2", "--context", "4096", "--format", "4bit", "--kv-bits", "8", "--capture")


@pytest.mark.parametrize("words", [["v0.2", "--format", "x"], ["v0.2", "--context", "0"], ["nobody/nothing"]])
def test_a_mistake_is_a_sentence(words: list[str]) -> None:
    found = CliRunner().invoke(app, ["memory", *words])
    assert found.exit_code == 2 and "Traceback" not in found.output
