"""What the attention recorder adds up, chunk by chunk, equals its definition on the whole square."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.capture.dense import by_blocks, definitions, dense_attention, pooled
from workbench.capture.attention import AttentionRecorder, AttentionResult
from workbench.capture.kernel import attend
from workbench.capture.request import AttentionCapture
from workbench.capture.sampled_rows import stratified_rows


@st.composite
def readings(draw: st.DrawFn) -> dict:
    tokens = draw(st.integers(1, 130))
    kv_heads = draw(st.integers(1, 3))
    return {
        "tokens": tokens,
        "kv_heads": kv_heads,
        "heads": kv_heads * draw(st.integers(1, 3)),
        "window": draw(st.none() | st.integers(1, 140)),
        "chunk": draw(st.integers(1, 130)),
        "single": draw(st.integers(0, min(3, tokens - 1))),
        "seed": draw(st.integers(0, 10_000)),
        "capture": AttentionCapture(
            rows=draw(st.sampled_from(["last", "all", None])),
            pool=draw(st.integers(1, 140)),
            maximum=draw(st.booleans()),
            sink_tokens=draw(st.integers(1, 9)),
            recent=draw(st.integers(1, 140)),
        ),
        "reach": draw(st.integers(1, 140)),
    }


def record(
    query: torch.Tensor, key: torch.Tensor, ids: list[int], capture: AttentionCapture, reach: int,
    window: int | None, chunk: int, single: int = 0,
) -> AttentionResult:  # fmt: skip
    """Feed one layer's states as a rolling cache would: in chunks, the last tokens one by one."""
    heads, tokens, size = query.shape
    kv_heads, scale = key.shape[0], size**-0.5
    recorder = AttentionRecorder(capture, 1, heads, kv_heads, tokens - single, tokens, reach)
    recorder.know(ids[: tokens - single], 0)
    ends = [*range(chunk, tokens - single, chunk), *range(tokens - single, tokens + 1)]
    start = 0
    for end in ends:
        recorder.know(ids[start:end], start)
        held = 0 if window is None else max(0, start - window + 1)
        keys = key[:, held:end]
        _, lse = attend(query[None, :, start:end], keys[None], keys[None], window, scale)
        given_lse = lse[0] if end - start > 1 else None
        recorder.absorb(0, query[:, start:end], keys, given_lse, start, window, scale)
        start = end
    return recorder.result(tokens)


def text(tokens: int, generator: torch.Generator) -> list[int]:
    return torch.randint(0, max(2, tokens // 3), (tokens,), generator=generator).tolist()


@settings(max_examples=35, deadline=None)
@given(reading=readings(), dtype=st.sampled_from([torch.float32, torch.bfloat16]))
def test_maps_and_statistics_equal_their_definitions(reading: dict, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(reading["seed"])
    tokens, capture, window = reading["tokens"], reading["capture"], reading["window"]
    query = (torch.randn(reading["heads"], tokens, 16, generator=generator) * 2).to(dtype)
    key = torch.randn(reading["kv_heads"], tokens, 16, generator=generator).to(dtype)
    ids = text(tokens, generator)
    found = record(query, key, ids, capture, reading["reach"], window, reading["chunk"])
    truth = dense_attention(query, key, window, 0.25)
    tolerance = {"atol": 5e-5, "rtol": 1e-4} if dtype == torch.float32 else {"atol": 4e-3, "rtol": 1e-2}
    mean, largest = pooled(truth, found.block)
    np.testing.assert_allclose(found.map[0], mean, **tolerance)
    if capture.maximum:
        np.testing.assert_allclose(found.max_map[0], largest, **tolerance)
    expected = definitions(truth, ids, capture.sink_tokens, capture.recent, reading["reach"])
    for name, values in expected.items():
        scaled = tolerance | {"atol": tolerance["atol"] * (20 if name in ("entropy", "distance") else 1)}
        np.testing.assert_allclose(found.statistics[name][0], by_blocks(values, found.block), err_msg=name, **scaled)
    np.testing.assert_allclose(found.received[0], truth.sum(1), atol=tolerance["atol"] * 20, rtol=tolerance["rtol"])
    if capture.rows == "all":
        np.testing.assert_allclose(found.rows[0], truth, **tolerance)
    elif capture.rows == "last":
        np.testing.assert_allclose(found.rows[0][:, 0], truth[:, -1], **tolerance)
    else:
        assert found.rows is None


@settings(max_examples=25, deadline=None)
@given(reading=readings())
def test_tokens_one_by_one_add_up_to_the_same(reading: dict) -> None:
    generator = torch.Generator().manual_seed(reading["seed"])
    tokens = reading["tokens"]
    query = torch.randn(reading["heads"], tokens, 8, generator=generator)
    key = torch.randn(reading["kv_heads"], tokens, 8, generator=generator)
    ids = text(tokens, generator)
    common = (query, key, ids, reading["capture"], reading["reach"], reading["window"])
    whole, parts = record(*common, tokens), record(*common, reading["chunk"], reading["single"])
    np.testing.assert_allclose(parts.map, whole.map, atol=1e-5)
    np.testing.assert_allclose(parts.received, whole.received, atol=1e-4)
    for name in whole.statistics:
        if name != "copying":  # a token fed alone is looked at before the next one is known
            np.testing.assert_allclose(parts.statistics[name], whole.statistics[name], atol=5e-4, err_msg=name)


def test_shares_count_the_queries_that_have_a_target() -> None:
    ids = [1, 7, 8, 7, 9, 8, 7]
    query = torch.zeros(1, 7, 4)
    found = record(query, query, ids, AttentionCapture(pool=7), 4, None, 7)
    # 7 at 3, 8 at 5 and 7 at 6 came before; of 8, 9 and 8 the next token (7, 8, 7) did; the last one has none
    np.testing.assert_array_equal(found.shares["induction_share"], [0, 0, 0, 1, 0, 1, 1])
    np.testing.assert_array_equal(found.shares["copying_share"], [0, 0, 1, 0, 1, 1, 0])
    near = record(query, query, ids, AttentionCapture(pool=7), 4, 2, 7)
    np.testing.assert_array_equal(near.shares["induction_share"], [0, 0, 0, 1, 0, 0, 0])
    np.testing.assert_array_equal(near.shares["copying_share"], [0, 0, 1, 0, 0, 0, 0])


def test_a_target_that_was_not_known_in_time_is_not_counted() -> None:
    ids = [1, 7, 8, 7, 9, 8]  # read to 9 at once: what follows it is chosen later
    query = torch.zeros(1, 6, 4)
    found = record(query, query, ids, AttentionCapture(pool=6), 4, None, 5, single=1)
    np.testing.assert_array_equal(found.shares["copying_share"], [0, 0, 1, 0, 0, 0])
    np.testing.assert_array_equal(found.statistics["copying"][0, 0] > 0, found.shares["copying_share"] > 0)


@pytest.mark.parametrize("window", [None, 150])
def test_a_sample_states_its_error(window: int | None) -> None:
    generator = torch.Generator().manual_seed(3)
    tokens = 1280
    query = torch.randn(12, tokens, 32, generator=generator) * 1.5
    key = torch.randn(3, tokens, 32, generator=generator)
    ids = text(tokens, generator)
    exact = record(query, key, ids, AttentionCapture(rows=None, pool=20), 100, window, 512)
    quick = record(query, key, ids, AttentionCapture(rows=None, pool=20, sample=8), 100, window, 500)
    assert exact.errors is None
    seen = np.tril(np.ones((20, 20), bool))
    actual = {
        "map": np.sqrt(((quick.map - exact.map)[..., seen] ** 2).mean(-1)),
        "entropy": np.sqrt(((quick.statistics["entropy"] - exact.statistics["entropy"]) ** 2).mean(-1)),
        "distance": np.sqrt(((quick.statistics["distance"] - exact.statistics["distance"]) ** 2).mean(-1)),
    }
    for name, error in actual.items():
        stated = quick.errors[f"{name}_error"]
        assert stated.shape == (1, 12)
        assert (error > 0).all()
        ratio = stated / error  # each from 20 (statistics) or 210 (map) estimates
        assert ratio.min() > 0.35 and ratio.max() < 2.9, (name, ratio)
        assert 0.75 < ratio.mean() < 1.4, (name, ratio)
    for name in ("sink", "self", "previous", "recent", "induction", "copying"):  # these look at every row all the same
        np.testing.assert_allclose(quick.statistics[name], exact.statistics[name], atol=1e-5)
    np.testing.assert_allclose(quick.map.sum(-1), 1, atol=1e-4)
    assert abs(quick.received.sum() / exact.received.sum() - 1) < 0.01
    assert np.abs(quick.statistics["inside_window"] - exact.statistics["inside_window"]).max() < 0.2


def test_a_sample_of_as_many_rows_as_a_block_has_is_exact() -> None:
    generator = torch.Generator().manual_seed(4)
    query, key = torch.randn(2, 90, 8, generator=generator), torch.randn(1, 90, 8, generator=generator)
    ids = text(90, generator)
    exact = record(query, key, ids, AttentionCapture(pool=30), 9, None, 90)
    same = record(query, key, ids, AttentionCapture(pool=30, sample=4), 9, None, 90)
    np.testing.assert_allclose(same.map, exact.map, atol=1e-6)
    assert same.errors is None


def test_a_block_of_which_no_row_was_looked_at_is_not_measured() -> None:
    """A prompt of 40 tokens in blocks of 10, stopped before the first row that the second block's sample takes."""
    number = next(i for i in range(1, 4) if stratified_rows(10, 2, i)[0] > 0)
    tokens = 10 * number + stratified_rows(10, 2, number)[0]
    generator = torch.Generator().manual_seed(5)
    query, key = torch.randn(2, tokens, 8, generator=generator), torch.randn(1, tokens, 8, generator=generator)
    recorder = AttentionRecorder(AttentionCapture(pool=4, sample=2, maximum=True), 1, 2, 1, 40, 40, 9)
    recorder.know(text(tokens, generator), 0)
    recorder.absorb(0, query, key, None, 0, None, 8**-0.5)
    found = recorder.result(tokens)
    for values in (found.map[..., 0], found.max_map[..., 0], found.statistics["entropy"]):
        assert np.isnan(values[..., -1]).all() and np.isfinite(values[..., :-1]).all()
    assert np.isfinite(found.statistics["sink"]).all()  # looks at every row
    assert all(np.isfinite(values).all() for values in found.errors.values())
