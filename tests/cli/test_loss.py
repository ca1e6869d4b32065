"""`workbench loss`: curves, induction and reach from the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from workbench.cli import app


def run(*words: object) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["loss", *(str(word) for word in words)])
    return found.exit_code, " ".join(found.output.split())


def test_curves_of_a_model_and_its_switched_self(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    model, text, csv = tiny_checkpoint(window=24), tmp_path / "text.txt", tmp_path / "loss.csv"
    text.write_text("The old cat sat near the tree. " * 40)
    models = ["-m", model, "-m", f"{model}@window=none"]
    code, said = run(*models, "--text", text, "--length", 200, "--edges", "1,24,200", "--csv", csv,
                     "--figure", tmp_path / "loss.html")  # fmt: skip
    assert code == 0, said
    assert "less" in said
    table = pd.read_csv(csv)
    assert table["tokens"].tolist() == [23, 176] * 2
    assert "plotly" in (tmp_path / "loss.html").read_text()
    code, said = run(*models, "--reach", "--length", 80, "--csv", csv)
    assert code == 0
    assert "47 of 80 tokens reach the last one; L (W - 1) + 1 allows 47" in said
    assert "80 of 80" in said
    code, said = run(*models, "--induction", "8,30", "--csv", csv)
    assert code == 0
    assert pd.read_csv(csv)["period"].tolist() == [8, 30, 8, 30]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--text", "nowhere.txt"], "nowhere.txt cannot be read"),
        (["--length", "999999"], "A length of 999999"),
        (["--induction", "x"], "--induction is 'x'"),
        (["--induction", "9", "--reach"], "one of them"),
        (["--reach", "--figure", "x.html"], "without --induction or --reach"),
    ],
)
def test_what_cannot_be_measured_is_a_sentence(
    tiny_checkpoint: Callable[..., Path], words: list[str], said: str
) -> None:
    code, output = run("-m", tiny_checkpoint(), *words)
    assert code == 2
    assert said in output
    assert "Traceback" not in output
