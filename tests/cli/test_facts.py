"""`workbench facts` prints the card, probes and claims."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
from typer.testing import CliRunner

from tests.facts.test_planted import UP, B, changed, nudged
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
    assert frame.loc["theta", "probed"].startswith("theta 1e4: loss")


def test_claims_need_no_weights(tmp_path: Path) -> None:
    file = tmp_path / "c.csv"
    assert "impossible" in run("--claims", "--csv", str(file))
    assert len(pd.read_csv(file)) == 17


def test_planted_differences_are_named(tmp_path: Path) -> None:
    folder, file = changed(tmp_path / "bad", **{UP: nudged}), tmp_path / "f.json"
    (folder / "chat_template.jinja").write_text(B)
    said = run(str(folder), "--against", "twin-v0.2", "--json", str(file))
    assert "DIFFER" in said and UP in said and "template B" in said
    found = json.loads(file.read_text())
    assert found["conflicts"] == ["chat template", "fields of twin-v0.2", "tensors"]
    assert [one["tensor"] for one in found["tensors"] if one["state"] == "altered"] == [UP]
    assert "all 56 tensors" in run("twin-v0.2", "--against", "twin-v0.2")
    assert "Traceback" not in run("twin-v0.2", "--against", "no-such", code=2)


def test_a_text_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    assert "Traceback" not in run("--probe-text", str(tmp_path / "none.txt"), code=2)
