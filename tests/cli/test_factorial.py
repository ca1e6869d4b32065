"""`workbench factorial` says the cost, prints cells and effects, and writes what was asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from typer.testing import CliRunner

from tests.pages import data_of
from workbench.cli import app


def test_a_run_with_own_texts_and_questions(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    models = [str(tiny_checkpoint(window=16)), str(tiny_checkpoint(seed=1, theta=1e6))]
    text, items, broken = tmp_path / "t.txt", tmp_path / "i.jsonl", tmp_path / "b.jsonl"
    text.write_text("Tom has the hat. Anna has the key. Who has the hat? [red]Tom[/red] has the hat. " * 2)
    items.write_text(json.dumps({"prompt": "Tom has the hat. Who has the hat?", "answer": "Tom"}))
    broken.write_text("no json")
    effects, cells, figure = (tmp_path / name for name in ("effects.csv", "cells.csv", "figure.html"))

    def run(*words: str, code: int = 0) -> str:
        found = CliRunner().invoke(app, ["factorial", *models, *words], env={"COLUMNS": "200"})
        assert found.exit_code == code, found.output
        return found.output

    said = run("--text", str(text), "--items", str(items), "--csv", str(effects), "--cells", str(cells),
               "--figure", str(figure))  # fmt: skip
    assert "8 cells x 1 texts and 1 questions" in said and "effect of weights x window x theta" in said
    assert "one item tells no interval" in said
    frame = pd.read_csv(effects)
    assert len(frame[(frame.outcome == "kl") & (frame["where"] == "past 16")]) == 7
    assert pd.read_csv(cells)["cell"].nunique() == 8
    assert data_of(figure.read_text(encoding="utf-8"))["charts"]
    assert "Traceback" not in run("--items", str(broken), code=2)
    assert "accuracy" in run("--measure", "accuracy", code=2)
