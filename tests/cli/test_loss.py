"""`workbench loss`: curves, induction and reach from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from tests.pages import data_of
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
    page = tmp_path / "loss.html"
    assert page.stat().st_size < 300_000 and "plotly" not in page.read_text()  # the workbench's own page
    data = data_of(page.read_text())
    assert [one["columns"][1]["name"] for one in data["tables"]] == ["start", "start"]
    assert [row[1:3] for row in data["tables"][0]["rows"]] == [[1, 24], [24, 200]] * 2
    assert data["tables"][1]["caption"].startswith(f"{table['model'].iloc[-1]} less {table['model'].iloc[0]}")
    assert [len(one["payload"]["panels"]) for one in data["charts"]] == [1]
    code, said = run(*models, "--reach", "--length", 80, "--csv", csv)
    assert code == 0
    assert "47 of 80 tokens reach the last one; L (W - 1) + 1 allows 47" in said
    assert "80 of 80" in said
    code, said = run(*models, "--induction", "8,30", "--csv", csv)
    assert code == 0
    assert pd.read_csv(csv)["period"].tolist() == [8, 30, 8, 30]


def test_a_text_file_is_one_text_and_a_line_of_jsonl_one_each(
    tiny_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    """As in `compare` and `factorial`: neither empty lines nor lines of --- part a text file."""
    text = "One old cat.\n\nTwo old cats.\n---\nThree\u2028old cats. " * 4
    (tmp_path / "one.txt").write_text(text, encoding="utf-8")
    lines = [{"text": text}, {"messages": [{"role": "user", "content": text}]}]
    (tmp_path / "two.jsonl").write_text(
        "\n".join(json.dumps(one, ensure_ascii=False) for one in lines), encoding="utf-8"
    )
    csv = tmp_path / "loss.csv"
    for name, texts in (("one.txt", 1), ("two.jsonl", 2)):
        code, said = run("-m", tiny_checkpoint(), "--text", tmp_path / name, "--length", 40, "--csv", csv)
        assert code == 0, said
        assert set(pd.read_csv(csv)["texts"]) == {texts}


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
