"""`workbench inspect --window --theta`: the switched model of the library, and one sentence for what cannot be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import workbench as wb
from workbench.cli import app


def inspect(folder: Path, *words: object) -> Result:
    start = ["inspect", "--model", str(folder), "--plain", "--prompt", "Hello there, who are you?", "-n", "3"]
    return CliRunner().invoke(app, [*start, *map(str, words)])


def test_it_is_the_switched_model(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    folder = tiny_checkpoint(window=4)
    result = inspect(folder, "--window", "none", "--theta", "1e6", "--out", tmp_path / "x.inspection")
    assert result.exit_code == 0, result.output
    assert "no sliding window, theta 1e6" in " ".join(result.output.split())
    found = wb.open(tmp_path / "x.inspection")
    assert found.model["switches"] == {"window": None, "theta": 1e6}
    model = wb.load(str(folder)).switched(window=None, theta=1e6)
    run = model.generate("Hello there, who are you?", wb.Sampling(max_new_tokens=3), wb.Capture.full())
    list(run)
    assert found.ids.tolist() == run.inspection.ids.tolist()
    np.testing.assert_array_equal(found.arrays["attention.rows"], run.inspection.arrays["attention.rows"])


@pytest.mark.parametrize(("words", "said"), [
    (("--window", "0"), "window is 0"), (("--window", "wide"), "--window is 'wide'"), (("--window", "-4"), "is -4"),
    (("--window", "9" * 30), "window is 9999"), (("--theta", "0"), "theta is 0"), (("--theta", "nan"), "theta is nan"),
])  # fmt: skip
def test_impossible_switches(tiny_checkpoint: Callable[..., Path], words: tuple[str, ...], said: str) -> None:
    result = inspect(tiny_checkpoint(), *words)
    assert result.exit_code == 2
    assert said in result.output
    assert "Traceback" not in result.output
