"""The real process: exit codes, what goes to which stream, interruption, and help that does not wait for torch."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import workbench.model
from tests.forked import Forked
from workbench.cli import app, inspect, serve, show

ENVIRONMENT = os.environ | {"PYTHONUTF8": "1", "COLUMNS": "100"}


def process(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "workbench", *map(str, words)],
        capture_output=True, text=True, timeout=120, env=ENVIRONMENT, check=False,
    )  # fmt: skip


def test_inspect_in_a_process(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    done = process(
        "inspect", "-m", tiny_checkpoint(), "-p", "Hello", "-n", 3, "--html", tmp_path / "x.html"
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for title in ("Answer", "Tokens", "Attention from", "Logit lens", "KV cache", "Run"):
        assert f"\n{title}" in "\n" + done.stdout
    assert (tmp_path / "x.html").stat().st_size > 10_000


def test_a_mistake_in_a_process() -> None:
    done = process("inspect", "--model", "twin-v0.9", "--prompt", "Hello")
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(r"workbench: .+\n", done.stderr)


def test_ctrl_c_ends_quietly_and_writes_nothing(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    folder = tiny_checkpoint(context=100_000)
    words = ["inspect", "-m", folder, "-p", "Hello", "-n", 90000, "--capture", "light", "--stop", "no such text"]
    (tmp_path / "out").mkdir()
    running = Forked([*words, "--out", tmp_path / "out" / "x.inspection"], tmp_path, ENVIRONMENT)
    while not running.said:
        assert running.running(), running.complaint
        time.sleep(0.01)
    assert running.said.startswith("Answer")  # it generates now
    running.send(signal.SIGINT)
    assert running.wait() == 130
    assert running.complaint == "workbench: Stopped.\n"
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    "words", [["--help"], ["inspect", "--help"], ["twins", "--help"], ["inspect", "-m", "nothing", "-p", "a"]]
)
def test_help_and_a_wrong_name_do_not_wait_for_torch(words: list[str]) -> None:
    code = (
        "import sys\nfrom workbench.cli import app\ntry:\n    app(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "sys.exit(' '.join({'torch', 'transformers', 'gradio', 'pandas'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=60, env=ENVIRONMENT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout + done.stderr


@pytest.mark.parametrize(
    "command", [["inspect"], ["show"], ["app"], ["twins"], ["twins", "train"], ["twins", "evaluate"]]
)
def test_every_command_has_help(command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, "--help"])
    assert result.exit_code == 0, result.output
    assert len(result.output) > 200


@pytest.mark.parametrize("examples", [inspect.EXAMPLES, show.EXAMPLES, serve.EXAMPLES])
def test_the_options_of_the_examples_exist(examples: str) -> None:
    for line in re.findall(r"`workbench (.+?)`", examples):
        words = line.split()
        output = CliRunner().invoke(app, [words[0], "--help"], env={"COLUMNS": "200"}).output
        assert [word for word in words if word.startswith("--") and word not in output] == []


def test_the_version_is_that_of_the_package() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert re.fullmatch(r"workbench \d+\.\d+\.\d+\n", result.output)


def test_a_fault_is_a_sentence_and_with_debug_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str, **settings: object) -> None:
        raise ZeroDivisionError("something inside")

    monkeypatch.setattr(workbench.model, "load", fail)
    plain = CliRunner().invoke(app, ["inspect", "-p", "a"])
    assert plain.exit_code == 1
    assert plain.stderr.count("\n") == 1
    assert "ZeroDivisionError: something inside" in plain.stderr
    debug = CliRunner().invoke(app, ["--debug", "inspect", "-p", "a"])
    assert "Traceback" in debug.stderr


def test_more_than_two_models_are_too_many() -> None:
    result = CliRunner().invoke(app, ["app", "-m", "a", "-m", "b", "-m", "c"])
    assert result.exit_code == 2
    assert "one or two" in result.stderr
