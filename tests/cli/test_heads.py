"""`workbench heads`: the heads found, silenced beside controls, written down; what is wrong is a sentence."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from tests.pages import data_of
from workbench.cli import app
from workbench.context.retrieval_heads import RetrievalHeads


def run(*words: object) -> tuple[int, str]:
    found = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200"})
    return found.exit_code, found.output


def test_heads_are_found_and_silenced(tmp_path: Path) -> None:
    csv, page = tmp_path / "heads.csv", tmp_path / "heads.html"
    words = ["--lengths", "160", "--depths", "0.5", "--cases", 2, "--silence", 6, "--controls", 1]
    code, said = run("heads", *words, "--csv", csv, "--figure", page)
    assert code == 0, said
    table = pd.read_csv(csv)
    assert (table["score"].head(6) > 0.9).all()
    assert set(table["layer"].head(6)) == {1}
    assert "without the 6 found heads 0 of 2" in said
    assert "control 2" in said  # of any layer, and of none below
    written = data_of(page.read_text(encoding="utf-8"))
    assert [bool("without the 6 found heads" in one["caption"]) for one in written["charts"]] == [False, True]
    assert len(written["tables"]) >= 2
    assert page.stat().st_size < 400_000, "4 MB with plotly"


def test_no_found_head_is_a_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads count as found from a score of 0.01 on: none of those is drawn."""
    drawn: list[tuple[RetrievalHeads, list[tuple[int, int]]]] = []
    control = RetrievalHeads.control

    def recorded(found: RetrievalHeads, *of: object, **more: object) -> list[tuple[int, int]]:
        drawn.append((found, control(found, *of, **more)))  # type: ignore[arg-type]
        return drawn[-1][1]

    monkeypatch.setattr(RetrievalHeads, "control", recorded)
    words = ["--lengths", "160", "--depths", "0.5", "--cases", 1, "--silence", 1, "--controls", 12, "--least", "0.01"]
    code, said = run("heads", *words)
    assert code == 0, said
    assert len(drawn) >= 12
    assert not any(set(found.top(0.01)) & set(heads) for found, heads in drawn)


def test_what_is_wrong_is_a_sentence(tmp_path: Path) -> None:
    for words, expected in (
        (["--lengths", "many"], "--lengths is 'many'"),
        (["--lengths", "999999"], "at most 2048"),
        (["--model", "no-such-model"], "no-such-model"),
        (["--figure", tmp_path / "no" / "page.html"], "no folder"),
    ):
        code, said = run("heads", *words)
        assert code == 2
        assert expected in said.replace("\n", " ")
        assert "Traceback" not in said
