"""`workbench moderate` and `inspect --safe-prompt`: what they print is what the library says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import workbench as wb
from workbench.chat.guardrails import SAFE_PROMPT
from workbench.cli import app
from workbench.errors import WorkbenchError


def test_scores_are_printed_and_written(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    folder, csv = str(tiny_checkpoint()), tmp_path / "scores.csv"
    result = CliRunner().invoke(app, ["moderate", "Hi there", "-m", folder, "--csv", str(csv)], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    found = wb.moderate(wb.load(folder), "Hi there")
    assert found.verdict in result.output
    assert f"{found.scores.logprob['child abuse']:.3f}" in result.output
    pd.testing.assert_frame_equal(pd.read_csv(csv, index_col=0), found.table(), rtol=1e-5)


def test_the_safe_prompt_stands_in_the_file(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    folder, runs = str(tiny_checkpoint()), []
    for extra in ([], ["--safe-prompt"], ["--safe-prompt", "--system", "Be brief."]):
        out = tmp_path / f"{len(runs)}.inspection"
        words = ["inspect", "-m", folder, "-p", "Hi", "-n", "2", "--capture", "light", "--out", str(out), *extra]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output
        runs.append(wb.open(out).provenance["settings"])
    assert [one["safe_prompt"] for one in runs] == [False, True, True]
    assert [one["prompt"][0]["content"] for one in runs] == ["Hi", SAFE_PROMPT, f"{SAFE_PROMPT}\n\nBe brief."]


@pytest.mark.parametrize(
    "words",
    [["moderate", " "], ["moderate", "Hi", "--of", "reply"], ["inspect", "-p", "Hi", "--plain", "--safe-prompt"]],
)
def test_mistakes_are_sentences(words: list[str]) -> None:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2 or isinstance(result.exception, WorkbenchError)
    assert "Traceback" not in result.output
