"""Every benchmark still runs and prints its table, at a size that measures nothing."""

from __future__ import annotations

import importlib.util
import math
import runpy
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.server.served import serving

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "benchmarks"
TINY = ["--shape", "tiny", "--rounds", "1"]
SHORT = ["--lengths", "64"]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """A function that runs a benchmark as ``__main__`` in this process and gives what it prints."""

    def run(script: str, *options: str) -> str:
        monkeypatch.syspath_prepend(FOLDER)
        monkeypatch.setattr(sys, "argv", [script, *options])
        capsys.readouterr()
        runpy.run_path(str(FOLDER / script), run_name="__main__")
        return capsys.readouterr().out

    return run


def printed(script: str, *options: str) -> str:
    """What a benchmark prints, in a process of its own: it limits its memory for good."""
    command = [sys.executable, str(FOLDER / script), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def table(text: str, column: str) -> list[dict[str, str]]:
    """The rows of the table whose header begins with ``column``, as column -> cell; an empty line ends a table."""
    for block in text.replace("┃", "|").replace("│", "|").split("\n\n"):
        lines = [line.strip() for line in block.splitlines()]
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
        if cells and cells[0][0] == column:
            return [dict(zip(cells[0], row, strict=True)) for row in cells[1:] if set("".join(row)) != {"-"}]
    raise AssertionError(f"no table that begins with {column!r} in\n{text}")


def number(cell: str) -> float:
    found = float(cell)
    assert math.isfinite(found)
    return found


def test_capture(here: Callable[..., str]) -> None:
    text = here("capture.py", "--only", "time", "decoding", *SHORT, *TINY)
    (row,) = table(text, "tokens")
    assert row["tokens"] == "64"
    names = list(row)[2:]
    assert "idle" in names and "everything, compiled" in names
    assert all(number(row[name]) > 0 for name in names)
    assert "64 tokens of context" in text
    rows = table(text, "")
    assert len(rows) == 3
    assert all(number(row["ratio"]) > 0 and number(row["milliseconds"]) > 0 for row in rows)


@pytest.mark.slow
def test_memory(here: Callable[..., str]) -> None:
    (row,) = table(here("memory.py", *SHORT, *TINY), "tokens")
    assert all(number(cell) >= 0 for name, cell in row.items() if "beyond" not in name)
    # The lens of 64 blocks alone holds logits of 32 000 tokens for a while.
    assert number(row["everything"]) > number(row["of it results"])


@pytest.mark.slow
def test_peers() -> None:
    """A row of numbers for what is installed, a sentence for what is not, and its error where the memory ends."""
    # Scores and weights of 4 heads x 4000 x 4000 take 2 x 256 MB in one layer, and there are two.
    text = printed("peers.py", "--lengths", "64", "4000", "--memory", "0.45", *TINY)
    rows = table(text, "tokens")
    names = {"transformers": "transformers", "transformer_lens": "TransformerLens", "nnsight": "nnsight"}
    for package, name in names.items():
        found = [row for row in rows if row["whole matrices by"].startswith(name + " ")]
        if importlib.util.find_spec(package) is None:
            assert not found and f"{name}, " in text and "not installed here, not measured" in text
            continue
        assert [row["tokens"] for row in found] == ["64", "4000"]
        assert number(found[0]["ratio"]) > 0
        assert "allocate" in found[1]["ratio"] and found[1]["its matrices (MB)"] == ""
        assert all(number(row["everything, compiled"]) > 0 for row in found)


def test_inspection(here: Callable[..., str]) -> None:
    rows = table(here("inspection.py", "--tokens", "64", "--new", "1", *TINY), "measured")
    assert len(rows) == 8
    assert all(number(row["ratio"]) > 0 for row in rows)


def test_turns(here: Callable[..., str], tiny_checkpoint: Callable[..., Path]) -> None:
    size = ("--tokens", "100", "--repeats", "1")
    rows = table(here("turns.py", *size, "--models", str(tiny_checkpoint())), "model")
    assert [row["second turn"] for row in rows] == ["reading all", "reusing"]
    assert number(rows[0]["reused"]) == 0 < number(rows[1]["reused"])
    assert all(number(row["first token, ms"]) > 0 for row in rows)


def test_needle(here: Callable[..., str]) -> None:
    size = ("--longest", "200", "--lengths", "2", "--depths", "2")
    text = here("needle.py", "--only", "grid", *size, "--models", "twin-v0.2")
    (row, _) = table(text, "model")
    assert row["same texts"] == "4 of 4"
    assert number(row["it read"]) < number(row["tokens"])
    assert number(row["ratio"]) > 0


def test_load(here: Callable[..., str], tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    """A tab, /score and gr.api at a server of this process: no error, the same tokens, the counts of /metrics."""
    models = [str(tiny_checkpoint(window=24)), str(tiny_checkpoint(seed=1))]
    with (
        serving(models, tmp_path, proxies=1, requests_per_minute=600, queue_length=1) as served,
        ThreadPoolExecutor(1) as other,  # a browser's test may have left its loop in this thread
    ):
        options = ("--address", served.address, "--quick", "--clients", "3", "--minutes", "0.05")
        text = other.submit(here, "load.py", *options).result()
    met = {row["measured"]: row["met"] for row in table(text, "measured")}
    assert "no" not in met.values()
    assert met["replies with the tokens of the same request alone"] == "yes"
    assert met["errors other than the stated refusals"] == "yes"
    assert met["/metrics tokens_total"] == met["/metrics requests_total{kind=reply}"] == "yes"
    assert number(table(text, "measured")[2]["value"].removesuffix(" ms")) >= 0
