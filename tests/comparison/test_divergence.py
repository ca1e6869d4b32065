"""Measured distributions against those of transformers' eager forward, whole."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import workbench as wb
from tests.reference import eager, eager_states, random_ids
from workbench.comparison import divergence, measure, measuring
from workbench.errors import ComparisonError, ContextLengthError, WorkbenchError


@pytest.mark.parametrize("chunk", [7, 512])
def test_equal_to_dense_distributions(
    folders: list[Path], models: list[wb.Model], monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(divergence, "CHUNK", chunk)
    monkeypatch.setattr(divergence, "LOGITS", 3 * 32000)  # three positions at once
    ids = random_ids(40, 3)
    found = measure(*models, ids)
    logs = [eager_states(eager(folder), ids)["logits"].double().log_softmax(-1) for folder in folders]
    a, b = logs
    np.testing.assert_allclose(found.kl_ab, (a.exp() * (a - b)).sum(-1), rtol=1e-3)
    np.testing.assert_allclose(found.kl_ba, (b.exp() * (b - a)).sum(-1), rtol=1e-3)
    np.testing.assert_allclose(found.entropy_b, -(b.exp() * b).sum(-1), rtol=1e-3)
    nexts = torch.tensor(ids[1:])
    np.testing.assert_allclose(found.logprob_a[:-1], a[:-1].gather(1, nexts[:, None])[:, 0], atol=1e-3)
    assert np.isnan(found.logprob_a[-1]) and found.rank_a[-1] == 0
    ranks = np.array([int((row > row[t]).sum()) + 1 for row, t in zip(b, nexts, strict=False)])
    assert (np.abs(found.rank_b[:-1] - ranks) <= 3).all(), "logits that are equal but for rounding change places"
    assert (found.top_a[:, 0] == a.argmax(-1).numpy()).all()
    np.testing.assert_allclose(found.top_a_by_b, b.gather(1, torch.tensor(found.top_a).long()), atol=1e-3)


def test_a_model_and_itself_are_no_nats_apart(models: list[wb.Model]) -> None:
    found = measure(models[0], models[0], random_ids(30, 1))
    assert not found.kl_ab.any() and not found.kl_ba.any()
    assert (found.top_a == found.top_b).all()


def test_chosen_positions_are_those_of_the_whole(models: list[wb.Model]) -> None:
    ids = random_ids(30, 2)
    whole, some = measure(*models, ids), measure(*models, ids, [4, -2])
    assert some.positions.tolist() == [4, 28]
    np.testing.assert_allclose(some.kl_ab, whole.kl_ab[[4, 28]], rtol=1e-4)
    assert (some.place(5), some.place(29), some.place(6)) == (0, 1, None)


def test_a_planted_theta_is_found(models: list[wb.Model]) -> None:
    """The same weights at another theta: nothing differs at the first token, whose position is 0."""
    found = measure(models[1], models[1].switched(theta=50.0), random_ids(40, 5))
    assert found.kl_ab[0] == pytest.approx(0, abs=1e-9)
    assert found.kl_ab[1:].min() > 1e-9 and found.kl_ab[1:].mean() > 1e-3


def test_a_planted_window_is_found_where_it_begins_to_cut(models: list[wb.Model]) -> None:
    found = measure(models[1], models[1].switched(window=8), random_ids(40, 5))
    assert found.kl_ab[:8].max() < 1e-8
    assert found.kl_ab[8:].min() > 1e-6


def test_it_can_be_stopped_and_tells_how_far_it_is(models: list[wb.Model], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(divergence, "CHUNK", 10)
    stop = threading.Event()
    steps = measuring(*models, random_ids(35, 1), stop=stop)
    assert [next(steps), next(steps)] == [10, 20]
    stop.set()
    with pytest.raises(ComparisonError, match="stopped"):
        next(steps)


def test_what_cannot_be_measured_is_refused(
    models: list[wb.Model], tiny_checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ContextLengthError, match="2049 tokens"):
        measure(*models, [1] * 2049)
    with pytest.raises(ContextLengthError, match="0 tokens"):
        measure(*models, [])
    with pytest.raises(WorkbenchError, match="No position"):
        measure(*models, [1, 2], [])
    with pytest.raises(ComparisonError, match="no token 32000"):
        measure(*models, [1, 32000])
    other = wb.load(str(tiny_checkpoint(seed=2)))
    other.loaded.tokenizer = type("Other", (), {"sha256": "other"})()  # type: ignore[assignment]
    with pytest.raises(ComparisonError, match="different tokenizers"):
        measure(models[0], other, [1, 2])
