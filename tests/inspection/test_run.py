"""A run that ends early, at once or by an error: what was captured can be shown and saved, or a sentence says no."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import workbench as wb
from tests.prompts import prompt_of
from tests.reference import random_ids
from workbench.errors import CaptureError, WorkbenchError
from workbench.model import Model
from workbench.views import open_run

CAPTURES = {
    "default": wb.Capture(),
    "full": wb.Capture.full(),
    "attention": wb.Capture(lens=None, kv_cache=False),
    "lens": wb.Capture(attention=None, kv_cache=False),
    "cache": wb.Capture(attention=None, lens=None),
    "nothing": wb.Capture.nothing(),
}


@pytest.fixture
def model(tiny_checkpoint: Callable[..., Path]) -> Model:
    return wb.load(str(tiny_checkpoint(layers=2, heads=4, kv_heads=2, window=12)))


@pytest.mark.parametrize("name", CAPTURES)
def test_stopped_before_anything_was_read(model: Model, name: str, tmp_path: Path) -> None:
    prompt = prompt_of(model, random_ids(20, seed=1))
    stop = threading.Event()
    stop.set()
    stopped = model.generate(prompt, capture=CAPTURES[name], stop=stop)
    assert list(stopped) == []
    closed = model.generate(prompt, capture=CAPTURES[name])
    closed.close()
    for run in (stopped, closed):
        found = run.inspection
        assert found.record.finish_reason == "stopped"
        assert found.ids.tolist() == list(prompt.ids)
        again = wb.open(found.save(tmp_path / "x.inspection"))
        assert repr(again) == repr(found)
        assert open_run(again, "r")["tokens"]["ids"] == found.ids.tolist()
        again.to_html(tmp_path / "x.html")
        if found.attention is not None:
            assert found.attention.map is None
        if found.kv_cache is not None:
            assert found.kv_cache.logical_length.values.tolist() == [0, 0]


def test_one_token_read_and_one_written(model: Model, tmp_path: Path) -> None:
    run = model.generate(prompt_of(model, [1]), wb.Sampling(max_new_tokens=1), wb.Capture.full())
    assert len(list(run)) == 1
    assert list(run) == []
    found = wb.open(run.inspection.save(tmp_path / "x.inspection"))
    found.to_html(tmp_path / "x.html")
    np.testing.assert_allclose(found.attention.row(0, 1), 1)
    assert run.tokens_per_second == 0, "the one token came with the prefill"


def test_speed_counts_what_was_decoded(model: Model) -> None:
    run = model.generate(prompt_of(model, random_ids(9, seed=1)), wb.Sampling(max_new_tokens=4))
    seconds = [step.seconds for step in run]
    assert run.tokens_per_second == pytest.approx(3 / sum(seconds), rel=1e-3)


def test_an_error_in_the_middle_says_so(model: Model) -> None:
    run = model.generate(prompt_of(model, random_ids(9, seed=1)), wb.Sampling(max_new_tokens=9), wb.Capture.full())
    next(run)

    def broken(*_: object) -> None:
        raise MemoryError("no room")

    hook = model.loaded.module.model.layers[1].register_forward_pre_hook(broken)
    try:
        with pytest.raises(MemoryError):
            next(run)
    finally:
        hook.remove()
    run.close()
    with pytest.raises(WorkbenchError, match="MemoryError"):
        _ = run.inspection
    assert len(run.steps) == 1
    assert len(list(model.generate(prompt_of(model, random_ids(9, seed=1)), wb.Sampling(max_new_tokens=2)))) == 2


def test_closing_one_run_leaves_others_of_the_same_event(model: Model) -> None:
    stop = threading.Event()
    prompt = prompt_of(model, random_ids(9, seed=1))
    one, other = (model.generate(prompt, wb.Sampling(max_new_tokens=3), stop=stop) for _ in range(2))
    next(one)
    one.close()
    assert len(list(other)) == 3
    assert (one.finish_reason, other.finish_reason) == ("stopped", "length")


def test_a_head_that_was_not_captured(model: Model) -> None:
    capture = wb.Capture(wb.AttentionCapture(heads=[1, 3], states=True))
    found = model.inspect(prompt_of(model, random_ids(20, seed=1)), capture).attention
    assert found is not None
    whole = model.inspect(prompt_of(model, random_ids(20, seed=1)), wb.Capture.full()).attention
    assert whole is not None
    np.testing.assert_allclose(found.head_map(0, 3), whole.head_map(0, 3), atol=1e-6)
    np.testing.assert_allclose(found.column(5, 1), whole.column(5, 1)[[1, 3]], atol=1e-6)
    with pytest.raises(CaptureError, match="Head 0"):
        found.head_map(0, 0)
    for nowhere in (None, 1.5, "x", -1, 20):
        with pytest.raises(CaptureError, match="has no attention"):
            found.row(nowhere, 0)  # type: ignore[arg-type]
        with pytest.raises(CaptureError, match="has no attention"):
            found.column(nowhere, 0)  # type: ignore[arg-type]
