"""`workbench suite` as a real process: killed, interrupted, gone on with; and what it shows."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.forked import Forked
from workbench.cli import app


def call(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["suite", *map(str, words)], env={"COLUMNS": "160"})
    assert result.exit_code == code, result.output
    return result.output


def answers(folder: Path) -> list[str]:
    """The whole lines of all files of answers."""
    return [line for path in folder.glob("answers-*.jsonl") for line in path.read_bytes().decode().split("\n")[:-1]]


def test_killed_interrupted_and_gone_on_with(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    suite, out = tmp_path / "many.jsonl", tmp_path / "out"
    suite.write_text("".join(json.dumps({"prompt": f"Say {i}.", "contains": str(i)}) + "\n" for i in range(12)))
    words = ["run", suite, "--out", out, "--max-new-tokens", "120", "--model", tiny_checkpoint(layers=4)]
    counts = [0]
    for number, wanted in ((signal.SIGKILL, -9), (signal.SIGINT, 130)):
        process = Forked(["suite", *words], tmp_path)
        until = time.monotonic() + 120
        while len(answers(out)) < counts[-1] + 2 and time.monotonic() < until:
            time.sleep(0.005)
        process.send(number)
        code = process.wait()
        said, complaint = process.said, process.complaint
        assert code == wanted, said + complaint
        counts.append(len(answers(out)))
        assert counts[-2] < counts[-1] < 12
    assert "The same command goes on from here." in " ".join(said.split())
    assert "Traceback" not in complaint
    before = answers(out)
    call(*words)
    after = answers(out)
    assert after[: len(before)] == before, "what was kept stays as it was"
    assert Counter(json.loads(line)["item"] for line in after) == {str(i): 1 for i in range(1, 13)}
    shown = call("show", out, "--csv", tmp_path / "a.csv", "--jsonl", tmp_path / "a.jsonl")
    assert "of 12" in shown
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 12
    assert "Say 3." in call("show", out, "--item", "4")
    assert "begun with" in call(*words, "--seed", "1", code=2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "nothing.jsonl", "--out", "x"], "cannot be read"),
        (["run", "twins", "--out", "x", "--category", "none"], "no category"),
        (["show", "nowhere"], "holds no answers"),
    ],
)
def test_a_mistake_is_a_sentence(words: list[str], said: str) -> None:
    assert said in " ".join(call(*words, code=2).split())
