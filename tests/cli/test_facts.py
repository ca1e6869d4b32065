"""`workbench facts` prints the card, probes and claims."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from typer.testing import CliRunner

from workbench.cli import app


def run(*words: str, code: int = 0) -> str:
    found = CliRunner().invoke(app, ["facts", *words], env={"COLUMNS": "200"})
    assert found.exit_code == code, found.output
    return found.output


def test_the_card_of_a_twin(tmp_path: Path) -> None:
    text, file = tmp_path / "t.txt", tmp_path / "f.csv"
    text.write_text("Tom has the hat. Anna has the key. Who has the hat? Tom has the hat. " * 8)
    said = run("twin-v0.1", "--probe-text", str(text), "--csv", str(file))
    assert "twin-v0.1" in said and "256" in said and "DIFFER" not in said
    frame = pd.read_csv(file, index_col="fact")
    assert frame.loc["theta", "probed"].startswith("theta 10000: loss")


def test_claims_need_no_weights(tmp_path: Path) -> None:
    file = tmp_path / "c.csv"
    assert "impossible" in run("--claims", "--csv", str(file))
    assert len(pd.read_csv(file)) == 17


def test_a_text_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    assert "Traceback" not in run("--probe-text", str(tmp_path / "none.txt"), code=2)
