"""The switchboard: controls and traits in step, the switched model, sentences for what cannot be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from workbench.errors import CacheError, SwitchError
from workbench.widgets import Switchboard


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Callable[..., Path]) -> wb.Model:
    return wb.load(str(tiny_checkpoint(window=24)))


def test_controls_and_traits_are_one(model: wb.Model) -> None:
    board = Switchboard(model)
    assert board.model is model
    assert board.code == "model"
    seen: list[Any] = []
    board.observe(lambda change: seen.append(change["new"]), "model")
    board._windowed.value = False
    assert board.window is None
    assert board.model.window is None
    board._theta.value = 1e6
    board._silent.value = "1.2, 0.3"
    assert board.silent == [(0, 3), (1, 2)]
    assert seen[-1] is board.model
    assert len(seen) == 3
    assert board.code == "model.switched(window=None, theta=1000000.0, silent=[(0, 3), (1, 2)])"
    again = eval(board.code, {"model": model})
    assert again.name == board.model.name
    assert board.model.module.lm_head is model.module.lm_head, "no weight is copied"
    board.window = 8
    assert (board._windowed.value, board._window.value) == (True, 8)
    board._temperature.value = 0.7
    board._seed.value = 5
    assert board.sampling == wb.Sampling(max_new_tokens=256, temperature=0.7, seed=5)
    board.sampling = wb.Sampling(max_new_tokens=3, top_k=4)
    assert (board._new.value, board._temperature.value) == (3, 0.0)
    board._new.value = 5
    assert board.sampling.top_k == 4, "what has no control stays"
    board._reset.click()
    assert board.model.name == model.name
    assert board.window == 24


def test_it_inspects_and_generates_under_its_switches(model: wb.Model) -> None:
    board = Switchboard(model, sampling=wb.Sampling(max_new_tokens=2))
    board.window, board._capture.value = 4, "attention only"
    found = board.inspect("one two three four five six")
    assert found.model["window"] == 4
    assert found.lens is None
    board.capture = wb.Capture(attention=None, kv_cache=False, lens=wb.LensCapture(top_k=2))
    assert board._capture.value == "as set in Python"
    board._cache.value = "sinks=1+2"
    run = board.generate("one two three four five six")
    assert len(list(run)) == 2
    assert run.inspection.provenance["settings"]["cache"] == "sinks=1+2"


@pytest.mark.parametrize(
    ("control", "value", "said"),
    [
        ("_silent", "9.0", "no head (9, 0)"),
        ("_silent", "<b>", "&lt;b&gt;"),
        ("_theta", -1.0, "theta"),
        ("_cache", "nonsense", "nonsense"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_a_sentence_and_changes_nothing(model: wb.Model, control: str, value: Any, said: str) -> None:
    board = Switchboard(model)
    before = (board.theta, board.silent, board.cache, board.model)
    getattr(board, control).value = value
    assert said in board._said.value
    assert "<b>" not in board._said.value.removeprefix("<span")
    assert (board.theta, board.silent, board.cache, board.model) == before
    board._theta.value = 5e5
    assert board._said.value == ""


def test_what_cannot_be_is_refused_from_python(model: wb.Model) -> None:
    board = Switchboard(model)
    for name, value in (("window", 0), ("theta", 0.0), ("silent", [(0, 99)])):
        with pytest.raises(SwitchError):
            setattr(board, name, value)
    with pytest.raises(CacheError):
        board.cache = "nonsense"
    with pytest.raises(SwitchError, match=r"wb\.load"):
        Switchboard("twin-v0.2")  # type: ignore[arg-type]
    assert board.model is model


def test_it_says_what_it_is_where_no_widget_can_be(model: wb.Model) -> None:
    board = Switchboard(model)
    board.window = 8
    data, _ = board._repr_mimebundle_()
    assert "window=8" in data["text/plain"]
    assert "<p>Switchboard(" in data["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in data
