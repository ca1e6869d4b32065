"""`workbench lens train` and `workbench inspect --lens`: a lens is learned, written, used, and refused elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import workbench as wb
from workbench.capture import tuned_training
from workbench.cli import app


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def folder(tiny_checkpoint: Callable[..., Path]) -> Path:
    return tiny_checkpoint(layers=2, heads=4, kv_heads=1, context=512)


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    out = tmp_path_factory.mktemp("lens") / "lens.safetensors"
    return call("lens", "train", "-m", folder, "--out", out, "--tokens", 160, "--steps", 2, "--seed", 5), out


def test_it_learns_on_its_own_text(trained: tuple[Result, Path], folder: Path) -> None:
    result, out = trained
    assert result.exit_code == 0, result.output
    record = wb.TunedLens.load(out).record
    assert (record.steps, record.seed, record.layers) == (2, 5, 2)
    assert record.source == {"kind": "the model's own samples"}
    assert record.weights == wb.load(str(folder)).weights_hash
    rows = [line.split() for line in result.stdout.splitlines() if line.split()[:1] in (["embedding"], ["1"])]
    for row, before, after in zip(rows, record.loss_before, record.loss_after, strict=True):
        assert row[1:] == [f"{before:.3f}", f"{after:.3f}"]
    assert "lens.safetensors" in result.stdout
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_inspect_reads_through_it(trained: tuple[Result, Path], folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.inspection"
    asked = ("inspect", "-m", folder, "-p", "Hello", "-n", 3, "--lens", trained[1])
    result = call(*asked, "--out", out)
    assert result.exit_code == 0, result.output
    assert "Tuned lens at position" in result.stdout
    assert wb.open(out).lens.attrs["translators"] == wb.TunedLens.load(trained[1]).sha256
    assert "Logit lens at position" in call(*asked[:-2]).stdout


def test_it_learns_on_a_text(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("The cat sat on the mat and saw the dog. " * 20)
    out = tmp_path / "lens.safetensors"
    words = ("lens", "train", "-m", folder, "--out", out, "--steps", 1, "--text", tmp_path / "book.txt")
    result = call(*words, "--tokens", 100)
    assert result.exit_code == 0, result.output
    record = wb.TunedLens.load(out).record
    assert record.source["name"] == "book.txt" and len(record.source["sha256"]) == 64
    assert 80 <= record.tokens < 100  # a tenth held out


def test_mistakes_are_one_sentence(trained: tuple[Result, Path], folder: Path, tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("Hello")
    absent = tmp_path / "absent" / "x"
    for words, expected in {
        ("lens", "train", "-m", folder, "--out", tmp_path / "x", "--text", tmp_path / "short.txt"): "at least 64",
        ("lens", "train", "-m", folder, "--out", tmp_path / "x", "--text", absent): "cannot be read",
        ("lens", "train", "-m", folder, "--out", absent): "no folder",
        ("lens", "train", "-m", "no-such-model", "--out", tmp_path / "x"): "no-such-model",
        ("inspect", "-m", "twin-v0.1", "-p", "Hello", "--lens", trained[1]): "workbench lens train --model twin-v0.1",
        ("inspect", "-m", folder, "-p", "Hello", "--lens", tmp_path / "short.txt"): "no tuned lens",
    }.items():
        result = call(*words)
        assert result.exit_code == 2, (words, result.output)
        assert expected in " ".join(result.stderr.split())
        assert "Traceback" not in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["short.txt"]


def test_an_interruption_writes_nothing(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tuned_training.TunedLensTraining, "_loss", interrupted)
    result = call("lens", "train", "-m", folder, "--out", tmp_path / "x", "--tokens", 64, "--steps", 2)
    assert result.exit_code == 130
    assert "Stopped." in result.stderr
    assert list(tmp_path.iterdir()) == []
