"""Payloads against the inspections they were packed from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workbench as wb
from tests.prompts import prompt_of
from tests.reference import random_ids
from workbench.errors import CaptureError
from workbench.views import answer, attention, cache, lens, next, open_run, tokens
from workbench.views.arrays import pack_array, pack_exact_shares, pack_shares, unpack_array


def shares(packed: dict[str, Any]) -> np.ndarray:
    """Packed exact shares as numbers, the way attention.js reads them."""
    values = unpack_array(packed).astype(float)
    return (values / 65535) ** 2 if packed["dtype"] == "uint16" else values


def test_arrays_survive_packing() -> None:
    rng = np.random.default_rng(0)
    values = rng.random((3, 5, 7)).astype(np.float32)
    assert np.array_equal(unpack_array(pack_array(values, "float32")), values)
    assert np.abs((unpack_array(pack_shares(values)) / 255.0) ** 2 - values).max() < 4.1e-3
    assert np.abs(shares(pack_exact_shares(values, most_bytes=0)) - values).max() < 4e-5
    assert unpack_array(pack_shares(np.array([0.0, 1.0, np.nan]))).tolist() == [0, 255, 0]


def test_strip_holds_every_true_id(windowed: wb.Inspection) -> None:
    payload = tokens.pack(windowed, "r")
    assert payload["ids"] == windowed.ids.tolist()
    assert payload["ids"][0] == 1
    assert payload["roles"][0] == "special"
    assert payload["tokens"][0] == "<s>"
    assert len(payload["tokens"]) == len(payload["logprob"]) == len(payload["rank"]) == len(payload["entropy"])
    assert payload["logprob"][0] is None, "nothing predicts the first token"
    for step in windowed.steps.itertuples():
        assert payload["logprob"][step.position] == pytest.approx(step.logprob, abs=1e-3)
        assert payload["rank"][step.position] == step.rank
        assert payload["entropy"][step.position] == pytest.approx(step.entropy, abs=1e-3)


def test_strip_of_the_prompt_comes_from_the_lens(windowed: wb.Inspection, sparse: wb.Inspection) -> None:
    final = windowed.lens.isel(layer=-1)  # type: ignore[union-attr]
    payload = tokens.pack(windowed)
    for i in range(1, windowed.prompt_length):
        assert payload["logprob"][i] == pytest.approx(float(final.target_logprob.sel(position=i - 1)), abs=1e-3)
        assert payload["rank"][i] == int(final.target_rank.sel(position=i - 1))
    assert all(value is None for value in tokens.pack(sparse)["logprob"][: sparse.prompt_length])


def test_layer_payload_is_the_map(windowed: wb.Inspection) -> None:
    for layer in range(2):
        packed = attention.pack_layer(windowed, layer)
        truth = windowed.attention.map.sel(layer=layer).values  # type: ignore[union-attr]
        read = packed["scale"] * (unpack_array(packed["map"]) / 255.0) ** 2
        assert read.shape == truth.shape
        assert np.abs(read - truth).max() < 4.1e-3
        assert all(len(per) == 4 for per in packed["statistics"].values())


def test_rows_and_readers_are_exact_and_causal(windowed: wb.Inspection) -> None:
    length = attention.read_length(windowed)
    assert length == len(windowed.ids) - 1
    full = np.stack([windowed.attention.row(q, 1) for q in range(length)], 1)  # type: ignore[union-attr]
    for token in (0, 5, 30, length - 1):
        packed = attention.pack_row(windowed, token, 1)
        assert np.allclose(shares(packed["reads"]), full[:, token, : token + 1], atol=1e-6)
        assert np.allclose(shares(packed["readers"]), full[:, token:, token], atol=1e-6)
        assert shares(packed["reads"]).sum(-1) == pytest.approx(np.ones(4), abs=1e-5)
    low = length - 1 - windowed.model["window"]
    assert shares(attention.pack_row(windowed, length - 1, 0)["reads"])[:, : low + 1].max() == 0.0


def test_the_token_never_fed_back_says_so(windowed: wb.Inspection) -> None:
    packed = attention.pack_row(windowed, len(windowed.ids) - 1, 0)
    assert packed["reads"] is None
    assert packed["readers"] is None
    assert "never read" in packed["note"]


def test_pooling_keeps_the_mass() -> None:
    rng = np.random.default_rng(1)
    full = np.tril(rng.random((2, 37, 37)))
    full /= full.sum(-1, keepdims=True)
    for factor in (1, 2, 3, 5):
        pooled = attention.pool(full, factor)
        assert pooled.shape == (2, -(-37 // factor), -(-37 // factor))
        assert np.allclose(pooled.sum(-1), 1.0)
        last = np.arange(37) // factor == pooled.shape[1] - 1
        assert np.allclose(pooled[:, -1, 0], full[:, last][:, :, :factor].sum(-1).mean(-1))


def test_a_short_last_block_weighs_what_it_holds(tiny_checkpoint: Callable[..., Path]) -> None:
    """11 tokens in 4 blocks of 3: pooled by two, the last row is the mean of 5 queries, not of two blocks."""
    model = wb.load(str(tiny_checkpoint(window=24)))
    prompt = prompt_of(model, random_ids(11, seed=1))
    fine, coarse = (model.inspect(prompt, wb.Capture(wb.AttentionCapture(pool=pool), lens=None)) for pool in (11, 4))
    assert coarse.attention.block == 3
    truth = np.stack([fine.attention.map.sel(layer=0).values[:, a:b].mean(1) for a, b in ((0, 6), (6, 11))], 1)
    truth = np.stack([truth[..., :6].sum(-1), truth[..., 6:].sum(-1)], -1)
    packed = attention.pack_layer(coarse, 0, most_bytes=16)
    assert np.abs((unpack_array(packed["map"]) / 255.0) ** 2 - truth).max() < 4.1e-3
    whole = fine.attention.statistics.sel(layer=0)
    for name, values in packed["statistics"].items():
        assert values == pytest.approx(whole[name].mean("query_block").values, abs=1e-3), name


def test_chosen_heads_keep_their_names(tiny_checkpoint: Callable[..., Path]) -> None:
    model = wb.load(str(tiny_checkpoint(window=24)))
    capture = wb.Capture(wb.AttentionCapture(layers=[1], heads=[1, 3], states=True), lens=None)
    found = model.inspect(prompt_of(model, random_ids(30, seed=1)), capture)
    opened = attention.pack(found)
    assert (opened["heads"], opened["head_names"]) == (2, [1, 3])
    assert attention.pack_layer(found, 1)["map"]["shape"][0] == 2
    assert np.allclose(shares(attention.pack_row(found, 9, 1)["reads"])[1], found.attention.row(9, 1)[1, :10])
    missing = attention.pack_row(found, 9, 0)
    assert (missing["reads"], missing["readers"]) == (None, None)
    assert "Layer 0" in missing["note"]


def test_a_large_map_is_pooled_to_its_budget(windowed: wb.Inspection) -> None:
    packed = attention.pack_layer(windowed, 0, most_bytes=2000)
    opened = attention.pack(windowed, most_bytes=2000)
    heads, rows, columns = packed["map"]["shape"]
    assert heads * rows * columns <= 2000
    assert -(-attention.read_length(windowed) // opened["block"]) == rows == columns


def test_lens_window_equals_the_lens(windowed: wb.Inspection) -> None:
    found = windowed.lens
    assert found is not None
    for token in (0, 20, len(windowed.ids) - 1):
        packed = lens.pack_around(windowed, token)
        assert packed["layers"] == [2, 1, 0]
        assert len(packed["positions"]) <= 2 * lens.SPAN + 1
        part = found.sel(layer=packed["layers"], position=packed["positions"])
        assert np.array_equal(unpack_array(packed["rank"]), part.target_rank.values)
        assert np.allclose(unpack_array(packed["kl"]), part.kl.values)
        assert np.allclose(unpack_array(packed["entropy"]), part.entropy.values)
        for row, place in ((0, 0), (2, len(packed["positions"]) - 1)):
            best = packed["top"][row][place][0]
            assert best[0] == windowed.piece(int(part.top_id.values[row, place, 0]))
            assert best[1] == pytest.approx(float(np.exp(part.top_logprob.values[row, place, 0])), abs=1e-5)
            hit = packed["hit"][row][place]
            target = int(part.target_id.values[place])
            assert (hit >= 0) == (target in part.top_id.values[row, place].tolist() and target >= 0)


@pytest.mark.parametrize("layers", [1, 2, 7, 16, 17, 33, 81])
def test_the_grid_never_loses_the_last_layer(layers: int) -> None:
    rows = lens.shown_layers(list(range(layers)))
    assert rows[0] == layers - 1
    assert rows[-1] == 0
    assert len(rows) <= lens.MOST_LAYERS + 1
    assert rows == sorted(set(rows), reverse=True)


def test_cache_payload_counts_what_the_window_dropped(windowed: wb.Inspection, unbounded: wb.Inspection) -> None:
    payload = cache.pack(windowed)
    seen = len(windowed.ids) - 1
    assert payload["logical"] == [seen] * 2
    assert payload["physical"] == [23] * 2
    assert payload["evicted"] == [seen - 23] * 2
    assert payload["bytes"] == [23 * 2 * 16 * 4] * 2, "23 tokens, keys and values, one KV head of 16 in float32"
    norms = unpack_array(payload["key_norm"])
    assert np.isnan(norms[:, : seen - 23]).all()
    assert np.allclose(norms[:, seen - 23 : seen], windowed.kv_cache.key_norm.mean("kv_head").values[:, seen - 23 :])  # type: ignore[union-attr]
    assert np.isnan(norms[:, seen:]).all(), "the last token was never fed back"
    assert cache.pack(unbounded)["evicted"] == [0, 0]


def test_next_token_sides(windowed: wb.Inspection) -> None:
    step = windowed.steps.iloc[3]
    found = next.pack_at(windowed, int(step.position))
    assert found["before"]["actual"]["id"] == step.token_id
    assert found["before"]["actual"]["rank"] == step["rank"]
    assert [token_id for _, token_id, _ in found["before"]["top"]] == list(step.top_ids)
    assert found["after"]["actual"]["id"] == windowed.steps.iloc[4].token_id
    assert next.pack_at(windowed, 0)["before"] is None
    assert next.pack_at(windowed, len(windowed.ids) - 1)["after"] is None


def test_payloads_are_json_and_small(windowed: wb.Inspection) -> None:
    requests = [{"kind": "open"}, {"kind": "layer", "layer": 1}, {"kind": "row", "token": 7, "layer": 0}]
    requests += [{"kind": "lens", "token": 7}, {"kind": "next", "token": 7}]
    for request in requests:
        text = json.dumps(answer(windowed, "r", request), allow_nan=False)
        assert len(text) < 1_000_000


def test_views_of_a_bare_run_say_what_is_missing(bare: wb.Inspection) -> None:
    opened = open_run(bare, "r")
    for name in ("attention", "lens", "cache"):
        assert not opened[name]["captured"]
        assert "not captured" in opened[name]["note"]
    assert opened["tokens"]["logprob"][-1] is not None, "generated tokens have their steps"
    assert "not captured" in answer(bare, "r", {"kind": "row", "token": 1, "layer": 0})["note"]
    with pytest.raises(CaptureError):
        answer(bare, "r", {"kind": "layer", "layer": 0})


def test_a_run_without_states_keeps_its_rows(sparse: wb.Inspection) -> None:
    last, first = attention.read_length(sparse) - 1, sparse.prompt_length - 1
    packed = attention.pack_row(sparse, last, 0)
    assert packed["reads"] is not None
    early = attention.pack_row(sparse, 3, 0)
    assert early["reads"] is None
    assert "reply" in early["note"]
    near = attention.pack_row(sparse, last - 5, 1)
    rows = sparse.attention.rows.sel(layer=1)  # type: ignore[union-attr]
    assert np.allclose(shares(near["readers"]), rows.sel(query=slice(last - 5, last)).values[:, :, last - 5])
    assert shares(early["readers"])[:, : first - 3].max() == 0.0, "rows of the prompt were not kept"


@pytest.mark.parametrize(
    "request_",
    [
        {"kind": "row", "token": 10_000, "layer": 0},
        {"kind": "row", "token": -1, "layer": 0},
        {"kind": "row", "token": 1, "layer": 99},
        {"kind": "layer"},
        {"kind": "lens", "token": "3"},
        {"kind": "next", "token": True},
        {"kind": "<script>"},
        {},
    ],
)
def test_hostile_requests_get_a_sentence(windowed: wb.Inspection, request_: dict[str, Any]) -> None:
    with pytest.raises(CaptureError) as caught:
        answer(windowed, "r", request_)
    assert str(caught.value)
