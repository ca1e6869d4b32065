"""What the views show of a long text, against the inspection it was packed from, and how many bytes it takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import workbench as wb
from tests.prompts import prompt_of
from tests.reference import random_ids
from workbench.views import answer, attention, cache, lens, open_run
from workbench.views.arrays import unpack_array


@pytest.fixture(scope="module")
def pooled(tiny_checkpoint: Callable[..., Path]) -> wb.Inspection:
    """300 tokens that repeat after 150, 20 generated; a window of 64, 4 heads on 2 key heads; maps of at most 16 blocks
    with their maximum, from sampled rows; a coarse lens."""
    model = wb.load(str(tiny_checkpoint(window=64, kv_heads=2)))
    capture = wb.Capture(wb.AttentionCapture(pool=16, maximum=True, sample=4), wb.LensCapture(blocks=10), kv_cache=True)
    run = model.generate(prompt_of(model, random_ids(150, seed=5) * 2), wb.Sampling(max_new_tokens=20), capture)
    for _ in run:
        pass
    return run.inspection


@pytest.fixture(scope="module")
def long(tiny_checkpoint: Callable[..., Path]) -> wb.Inspection:
    """8000 tokens, everything captured at every position."""
    model = wb.load(str(tiny_checkpoint(layers=1, heads=2, hidden=32, context=8192)))
    capture = wb.Capture(wb.AttentionCapture(rows="last", maximum=True), wb.LensCapture(positions="all", blocks=64))
    return model.inspect(prompt_of(model, random_ids(8000, seed=6)), capture)


def test_the_largest_shares_pool_to_the_largest(pooled: wb.Inspection) -> None:
    truth = pooled.attention.max_map.sel(layer=1).values  # type: ignore[union-attr]
    packed = attention.pack_layer(pooled, 1)["max_map"]
    assert np.abs((unpack_array(packed) / 255.0) ** 2 - truth).max() < 4.1e-3
    rows = truth.shape[1]
    coarse = attention.pool_largest(truth, 3)
    assert coarse.shape == (4, -(-rows // 3), -(-rows // 3))
    for q in range(coarse.shape[1]):
        for k in range(coarse.shape[2]):
            here = truth[:, 3 * q : 3 * q + 3, 3 * k : 3 * k + 3].max((1, 2))
            assert np.array_equal(coarse[:, q, k], here)


def test_names_and_samples_are_those_of_the_inspection(pooled: wb.Inspection, windowed: wb.Inspection) -> None:
    found = pooled.attention
    assert found is not None
    opened = attention.pack(pooled)
    table = found.named_heads()
    assert len(opened["names"]) == int((table["name"] != "").sum())
    for layer, head, name, score in opened["names"]:
        row = table.loc[(layer, found.heads[head])]
        assert row["name"] == name
        assert score == pytest.approx(row[name], abs=1e-4)
    assert opened["maximum"]
    assert (opened["sample"], opened["map_block"]) == (4, found.block)
    errors = attention.pack_layer(pooled, 1)["errors"]
    assert errors["map"] == pytest.approx(found.errors["map"][1], abs=1e-5)
    exact = attention.pack(windowed)
    assert (exact["sample"], exact["maximum"]) == (None, False)
    assert attention.pack_layer(windowed, 0)["max_map"] is None
    assert attention.pack_layer(windowed, 0)["errors"] == {}


def test_the_coarse_lens_is_the_lens_of_blocks(pooled: wb.Inspection, windowed: wb.Inspection) -> None:
    blocks = lens.pack(pooled)["blocks"]
    truth = pooled.lens_blocks.sel(layer=blocks["layers"])  # type: ignore[union-attr]
    assert blocks["layers"] == [2, 1, 0]
    assert blocks["size"] == truth.attrs["block"]
    assert np.array_equal(unpack_array(blocks["rank"]), truth.target_rank.values, equal_nan=True)
    assert np.array_equal(unpack_array(blocks["entropy"]), truth.entropy.values, equal_nan=True)
    assert blocks["read"] == truth["count"].values.tolist()
    assert lens.pack(windowed)["blocks"] is None
    assert lens.pack_around(pooled, 5)["overview"] is None, "the blocks show the whole run"
    assert lens.pack_around(windowed, 5)["overview"] is not None


def test_the_cache_view_knows_growth_and_readers(pooled: wb.Inspection) -> None:
    payload, truth = cache.pack(pooled), pooled.kv_cache
    assert truth is not None
    growth = payload["growth"]
    assert growth["read"] == list(range(300, 320))
    assert growth["bytes"][-1] == sum(payload["bytes"]) == int(truth.growth_bytes.sum("layer").values[-1])
    found = payload["read_by"]
    assert found["heads"] == [[0, 1], [2, 3]]
    levels = unpack_array(found["levels"]).astype(float)
    values = np.expm1(levels / 254 * np.log1p(found["most"])).reshape(truth.read_by.shape)
    step = np.log1p(found["most"]) / 254
    assert np.abs(np.log1p(values) - np.log1p(truth.read_by.values)).max() < 0.51 * step


def test_a_read_prompt_has_not_grown(long: wb.Inspection) -> None:
    assert cache.pack(long)["growth"] is None


def test_a_long_text_stays_small(long: wb.Inspection, tmp_path: Path) -> None:
    for request in (
        {"kind": "layer", "layer": 0},
        {"kind": "row", "token": 7999, "layer": 0},
        {"kind": "lens", "token": 4000},
    ):
        assert len(json.dumps(answer(long, "r", request), allow_nan=False)) < 1_000_000, request
    opened = open_run(long, "r")
    pieces = [name for name, payload in opened.items() if "tokens" in payload]
    assert pieces == ["tokens"], "8000 pieces travel once"
    assert len(json.dumps(opened, separators=(",", ":"))) < 200 * 8000
    # 4096 tokens with their alternatives, 48 lens windows, one exact row, one layer's two maps.
    assert long.to_html(tmp_path / "r.html").stat().st_size < 5 * 2**20
