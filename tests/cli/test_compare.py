"""`workbench compare` prints what changed, and compares answers or texts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
from typer.testing import CliRunner

import workbench as wb
from workbench.cli import app


def test_changes_answers_texts_and_a_switched_self(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    a, b = str(tiny_checkpoint(window=16)), str(tiny_checkpoint(seed=1, theta=1e6))
    text, table, page = tmp_path / "<i>.txt", tmp_path / "t.csv", tmp_path / "t.html"
    text.write_text("Tom has the hat. Anna has the key. [red]Tom[/red] has the hat. " * 2)

    def run(*words: str, code: int = 0) -> str:
        found = CliRunner().invoke(app, ["compare", *words], env={"COLUMNS": "200"})
        assert found.exit_code == code, found.output
        return found.output

    said = run(a, b, "--text", str(text), "--weights", "--csv", str(table), "--html", str(page))
    models = [wb.load(name) for name in (a, b)]
    found = wb.compare_texts(*models, [{"id": text.name, "text": text.read_text()}])
    assert "rope theta: 1e4 against 1e6" in said and "sliding window: 16 tokens against none" in said
    assert wb.changes(*models).sentences[-1][:30] in said.replace("\n", " ")
    assert found.sentence in said and "[red" in said
    assert abs(pd.read_csv(table)["difference"][0] - found.table()["difference"].iloc[0]) < 1e-4
    assert "<i>.txt" not in page.read_text()

    assert "the weights differ by their hash" in run(a, b) and "by their hash" not in said
    assert "by their hash" not in run(a, "--theta", "5000")
    said = run(a, "--theta", "5000", "--prompt", "Who?", "--max-new-tokens", "3", "--csv", str(table))
    assert "rope theta: 1e4 against 5000" in said and "KV cache, bytes" in said and "sliding window" not in said
    assert "layer at which the guess settles" in said and "attention reach" in said
    assert pd.read_csv(table)["reply"].sum() >= 3
    assert "Both are" in run(a, a, code=2)
    assert "--prompt or --text" in run(a, b, "--html", str(page), code=2)
