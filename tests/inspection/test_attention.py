"""The faces of captured attention: parts of a map exactly, from states or by one more forward; largest values, errors
and what keys receive."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import workbench as wb
from tests.capture.dense import pooled
from tests.prompts import prompt_of
from tests.reference import eager, eager_states, random_ids
from workbench.errors import CaptureError, ContextLengthError
from workbench.inspection.inspection import Inspection
from workbench.model import Model

TOKENS = 50
STATES = wb.Capture(wb.AttentionCapture(rows=None, states=True, maximum=True, pool=8), lens=None)


@pytest.fixture(scope="module", params=[None, 11], ids=["full", "window 11"])
def both(request: pytest.FixtureRequest, tiny_checkpoint: Callable[..., Path]) -> tuple[Model, np.ndarray, Inspection]:
    """A model, its eager attention (layer, head, T, T), and an inspection with states."""
    folder = tiny_checkpoint(layers=2, heads=4, kv_heads=2, window=request.param)
    model, ids = wb.load(str(folder)), random_ids(TOKENS, seed=5)
    truth = eager_states(eager(folder), ids)["attention"].numpy()
    return model, truth, model.inspect(prompt_of(model, ids), STATES)


PARTS = [
    (slice(0, TOKENS), slice(0, TOKENS)),
    (slice(30, 40), slice(5, 35)),
    (slice(-3, None), slice(None, None, 7)),
    (slice(12, 13), slice(40, 45)),  # keys that no such query sees
    (slice(2, 30, 9), slice(20, None)),
]


@pytest.mark.parametrize(("queries", "keys"), PARTS, ids=str)
def test_a_part_of_a_map_exactly(both: tuple[Model, np.ndarray, Inspection], queries: slice, keys: slice) -> None:
    """From states and by a forward of its own, both equal to eager attention."""
    model, truth, found = both
    for layer in (0, 1):
        expected = truth[layer][:, queries, keys]
        for head in range(4):
            part = found.attention.rectangle(layer, head, queries, keys)
            np.testing.assert_allclose(part, expected[head], atol=2e-5)
        zoomed = model.zoom(prompt_of(model, found.ids.tolist()), layer, queries, keys)
        np.testing.assert_allclose(zoomed.values, expected, atol=2e-5)
        assert zoomed.dims == ("head", "query", "key")
        assert zoomed["query"].values.tolist() == list(range(TOKENS))[queries]
        assert zoomed["key"].values.tolist() == list(range(TOKENS))[keys]
        assert int(zoomed["layer"]) == layer
    few = model.zoom(prompt_of(model, found.ids.tolist()), 1, queries, keys, heads=[3, 1])
    assert few["head"].values.tolist() == [1, 3]
    np.testing.assert_allclose(few.values, truth[1][[1, 3]][:, queries, keys], atol=2e-5)


def test_a_zoom_into_a_prompt_of_several_chunks(tiny_checkpoint: Callable[..., Path]) -> None:
    folder = tiny_checkpoint(layers=1, heads=2, kv_heads=1, hidden=16, context=4096)
    ids = random_ids(2300, seed=2)
    queries, keys = slice(2040, 2060), slice(1000, 2300, 13)
    truth = eager_states(eager(folder), ids[:2060])["attention"][0, :, queries].numpy()
    model = wb.load(str(folder))
    zoomed = model.zoom(prompt_of(model, ids), 0, queries, keys)
    columns = np.arange(2300)[keys]
    expected = np.where(columns < 2060, truth[..., np.minimum(columns, 2059)], 0.0)
    np.testing.assert_allclose(zoomed.values, expected, atol=2e-5)
    kept = model.inspect(
        prompt_of(model, ids), wb.Capture(wb.AttentionCapture(rows=None, states=True, pool=0), lens=None)
    )
    for head in (0, 1):
        part = kept.attention.rectangle(0, head, queries, keys)
        np.testing.assert_allclose(part, expected[head], atol=2e-5)


@pytest.mark.parametrize(
    ("layer", "queries", "keys", "heads", "said"),
    [
        (2, slice(0, 5), slice(0, 5), "all", "layer 2"),
        (0, slice(0, 5), slice(0, 5), [4], "head 4"),
        (0, slice(9, 9), slice(0, 5), "all", "queries are empty"),
        (0, slice(0, 5), slice(99, 120), "all", "keys are empty"),
        (0, slice(0, 5), 3, "all", "keys are 3"),
        (0, [1, 2], slice(0, 5), "all", "queries are"),
        (0, slice(0, 5, 0), slice(0, 5), "all", "queries are slice"),
    ],
)
def test_an_impossible_zoom(
    both: tuple[Model, np.ndarray, Inspection], layer: int, queries: Any, keys: Any, heads: Any, said: str
) -> None:
    model, _, found = both
    with pytest.raises(CaptureError, match=said) as caught:
        model.zoom(prompt_of(model, found.ids.tolist()), layer, queries, keys, heads)
    assert "\n" not in str(caught.value)


def test_a_zoom_that_is_too_large_or_too_long(both: tuple[Model, np.ndarray, Inspection], monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: E501  # fmt: skip
    model = both[0]
    with pytest.raises(ContextLengthError, match="at most 2048"):
        model.zoom(prompt_of(model, random_ids(2049, seed=0)), 0, slice(0, 4), slice(0, 4))
    monkeypatch.setattr("workbench.capture.request.LARGEST_RESULT", 1000)
    with pytest.raises(CaptureError, match="would hold"):
        model.zoom(prompt_of(model, random_ids(90, seed=0)), 0, slice(0, 90), slice(0, 90))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((0, 9, slice(0, 3), slice(0, 3)), "Head 9"),
        ((7, 0, slice(0, 3), slice(0, 3)), "Layer 7"),
        ((0, 0, slice(3, 3), slice(0, 3)), "0 x 3"),
        ((0, 0, slice(0, 3), slice(80, 90)), "3 x 0"),
    ],
)
def test_an_impossible_rectangle(both: tuple[Model, np.ndarray, Inspection], arguments: Any, said: str) -> None:
    with pytest.raises(CaptureError, match=said) as caught:
        both[2].attention.rectangle(*arguments)
    assert "\n" not in str(caught.value)


def test_a_rectangle_needs_states_and_has_a_limit(
    both: tuple[Model, np.ndarray, Inspection], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _, found = both
    with pytest.raises(CaptureError, match=r"states=True.*zoom"):
        model.inspect("Hello").attention.rectangle(0, 0, slice(0, 2), slice(0, 2))
    monkeypatch.setattr("workbench.inspection.attention.LARGEST_RECTANGLE", 100)
    assert found.attention.rectangle(0, 0, slice(0, 10), slice(0, 10)).shape == (10, 10)
    with pytest.raises(CaptureError, match="11 x 10"):
        found.attention.rectangle(0, 0, slice(0, 11), slice(0, 10))


def test_the_largest_of_each_cell(both: tuple[Model, np.ndarray, Inspection]) -> None:
    model, truth, found = both
    attention = found.attention
    for layer in (0, 1):
        mean, largest = pooled(torch.tensor(truth[layer]).double(), attention.block)
        np.testing.assert_allclose(attention.max_map.values[layer], largest.numpy(), atol=2e-5)
        np.testing.assert_allclose(attention.map.values[layer], mean.numpy(), atol=2e-5)
    assert attention.max_map.dims == attention.map.dims
    assert attention.max_map["query_block"].equals(attention.map["query_block"])
    assert attention.max_map.attrs["block"] == attention.block == 7
    assert attention.max_map["kv_head"].values.tolist() == [0, 0, 1, 1]
    assert model.inspect("Hello").attention.max_map is None


def test_what_keys_receive(both: tuple[Model, np.ndarray, Inspection]) -> None:
    _, truth, found = both
    received = found.attention.received
    np.testing.assert_allclose(received.values, truth.sum(2), atol=1e-3)
    assert received.sizes == {"layer": 2, "head": 4, "key": TOKENS}
    assert received["kv_head"].values.tolist() == [0, 0, 1, 1]
    blocks = found.attention.statistics["received"].values
    expected = np.stack([part.mean(-1) for part in np.split(truth.sum(2), range(7, TOKENS, 7), -1)], -1)
    np.testing.assert_allclose(blocks, expected, atol=1e-3)


def test_errors_are_there_where_rows_were_sampled(both: tuple[Model, np.ndarray, Inspection]) -> None:
    model, truth, found = both
    assert found.attention.errors == {}
    prompt = prompt_of(model, found.ids.tolist())
    quick = model.inspect(prompt, wb.Capture(wb.AttentionCapture(pool=5, sample=4), lens=None)).attention
    assert set(quick.errors) == {"map", "entropy", "distance"}
    for error in quick.errors.values():
        assert error.shape == (2, 4) and (error >= 0).all() and np.isfinite(error).all()
    whole = np.stack([pooled(torch.tensor(one).double(), quick.block)[0].numpy() for one in truth])
    off = quick.map.values - whole
    assert 0 < np.abs(off).max() < 30 * quick.errors["map"].max()
    maps = model.inspect(
        prompt, wb.Capture(wb.AttentionCapture(pool=5, sample=4, statistics=False), lens=None)
    ).attention
    assert set(maps.errors) == {"map"}


def test_everything_new_is_saved_and_opened(both: tuple[Model, np.ndarray, Inspection], tmp_path: Path) -> None:
    model, _, found = both
    capture = wb.Capture(wb.AttentionCapture(states=True, maximum=True, pool=6, sample=4), wb.LensCapture(blocks=4))
    run = model.generate(prompt_of(model, found.ids.tolist()), wb.Sampling(max_new_tokens=4), capture)
    list(run)
    again = wb.open(run.inspection.save(tmp_path / "x.inspection"))
    before, after = run.inspection.attention, again.attention
    assert after.max_map.equals(before.max_map)
    assert after.received.equals(before.received)
    assert after.statistics.identical(before.statistics)
    assert after.statistics.attrs["sample"] == 4
    assert set(after.errors) == set(before.errors) != set()
    for name, values in before.errors.items():
        np.testing.assert_array_equal(after.errors[name], values)
    assert after.heavy_hitters(3).equals(before.heavy_hitters(3))
    assert after.named_heads().equals(before.named_heads())
    np.testing.assert_array_equal(
        after.rectangle(1, 2, slice(3, 20), slice(0, 9)), before.rectangle(1, 2, slice(3, 20), slice(0, 9))
    )
