"""The README runs: its Python as one script, its shell lines as the commands they name."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from workbench.cli import app

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def commands(program: str, language: str = "bash") -> list[str]:
    """Every shell line that starts with ``program``, continued lines joined, comments left out."""
    lines = "\n".join(blocks(language)).replace("\\\n", " ").splitlines()
    return [line.split(" #")[0].strip() for line in lines if line.startswith(program + " ")]


def test_the_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    source = blocks("python")
    assert source
    monkeypatch.chdir(tmp_path)
    exec(compile("\n".join(source), "README.md", "exec"), {"__name__": "readme"})
    assert "Paris" in capsys.readouterr().out


@pytest.mark.parametrize("line", commands("make"))
def test_a_make_target_exists(line: str) -> None:
    target = shlex.split(line)[1]
    assert re.search(rf"^{re.escape(target)}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


def test_the_commands_run_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = commands("workbench")
    assert any(line.startswith("workbench inspect") for line in lines)
    for line in lines:
        words = shlex.split(line)[1:]
        # A server and a training run do not end, 7B weights are not here: there the options must at least be known.
        if words[0] in ("app", "twins") or re.search(r"--model v0\.[12]\b", line):
            words, options = [*leading(words), "--help"], [word for word in words if word.startswith("--")]
        else:
            options = []
        result = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
        assert result.exit_code == 0, f"{line}\n{result.output}"
        assert [option for option in options if option not in result.output] == [], line


@pytest.mark.parametrize("line", commands("workbench", "sh"))
def test_what_takes_minutes_names_options_that_exist(line: str) -> None:
    words = shlex.split(line)[1:]
    result = CliRunner().invoke(app, [*leading(words), "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert [word for word in words if word.startswith("--") and word not in result.output] == []


def leading(words: list[str]) -> list[str]:
    """The command and its subcommand, without options and what follows them."""
    return [word for i, word in enumerate(words) if not any(w.startswith("-") for w in words[: i + 1])]


@pytest.mark.parametrize("target", re.findall(r"!?\[[^\]]*\]\((?!https?:)([^)#]+)", README))
def test_a_link_leads_somewhere(target: str) -> None:
    assert (ROOT / target).exists()
