"""The coarse lens: averages of the exact lens over the positions read, for any length, chunk and reply."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import workbench as wb
from tests.prompts import prompt_of
from tests.reference import eager, random_ids, residual_stream
from workbench.capture.lens_blocks import spread
from workbench.capture.recording import Recording
from workbench.capture.tuned_lens import TunedLens
from workbench.errors import CaptureError
from workbench.generation.prefill import forward, new_cache, prefill
from workbench.model import Model


@pytest.fixture(scope="module")
def folder(tiny_checkpoint: Callable[..., Path]) -> Path:
    return tiny_checkpoint(layers=3, heads=4, kv_heads=2, window=24)


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return wb.load(str(folder))


def coarse(**settings: Any) -> wb.Capture:
    return wb.Capture(attention=None, kv_cache=False, lens=wb.LensCapture(**settings))


@given(st.integers(1, 500), st.integers(1, 80), st.integers(1, 9))
def test_positions_are_spread_evenly(tokens: int, size: int, per_block: int) -> None:
    found = sorted(spread(tokens, size, per_block))
    for start in range(0, tokens, size):
        length = min(size, tokens - start)
        here = [p - start for p in found if start <= p < start + length]
        assert len(here) == min(per_block, length)
        gaps = np.diff([-here[0] - 1, *here, 2 * length - 1 - here[-1]])  # mirrored at the block's ends
        assert max(gaps) - min(gaps) <= 2
    assert found[-1] < tokens


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tokens=st.integers(1, 90), blocks=st.integers(1, 20), per_block=st.integers(1, 5), chunk=st.integers(1, 90))
def test_blocks_average_the_exact_lens(
    folder: Path, model: Model, tokens: int, blocks: int, per_block: int, chunk: int
) -> None:
    ids = random_ids(tokens, seed=tokens)
    recording = Recording(coarse(blocks=blocks, per_block=per_block), model.loaded.module, tokens, tokens)
    cache = new_cache(model.loaded.module)
    prefill(model.loaded.module, ids, cache, recording, chunk)
    found = recording.finish(cache).lens_blocks
    assert found is not None
    reference = eager(folder)
    with torch.no_grad():
        logprobs = reference.lm_head(reference.model.norm(residual_stream(reference, ids))).double().log_softmax(-1)
    size = -(-tokens // blocks)
    assert (found.size, found.layers) == (size, [0, 1, 2, 3])
    read = [p for p in sorted(spread(tokens, size, per_block)) if p + 1 < tokens]
    for i in range(-(-tokens // size)):
        here = [p for p in read if p // size == i]
        assert found.block_counts[i] == len(here)
        if not here:
            assert np.isnan([found.block_entropy[:, i], found.block_target_rank[:, i]]).all()
            continue
        part = logprobs[:, here]
        at_target = part.gather(-1, torch.tensor(ids)[[p + 1 for p in here]].expand(4, -1)[..., None])[..., 0]
        entropy = -(part.exp() * part).sum(-1).mean(-1)
        ranks = np.median((part > at_target[..., None]).sum(-1) + 1, axis=1)
        np.testing.assert_allclose(found.block_entropy[:, i], entropy, atol=5e-4)
        np.testing.assert_allclose(found.block_target_logprob[:, i], at_target.mean(-1), atol=5e-4)
        np.testing.assert_allclose(found.block_target_rank[:, i], ranks, atol=2, rtol=1e-3)  # near-ties may swap


def test_prompt_and_reply_together(model: Model, tmp_path: Path) -> None:
    """30 + 30 tokens in blocks of 8, planned for them all; the reply stops early or not."""
    prompt = prompt_of(model, random_ids(30, seed=5))
    for end in (30, 11):
        run = model.generate(prompt, wb.Sampling(max_new_tokens=30), coarse(blocks=8, per_block=3, layers=[1, 3]))
        for _ in range(end):
            next(run)
        run.close()
        inspection, total = run.inspection, 30 + end
        found = inspection.lens_blocks
        assert found is not None
        assert found.attrs["block"] == 8
        assert found["start"].values.tolist() == list(range(0, total, 8))
        assert int(found["stop"][-1]) == total
        exact = model.inspect(prompt_of(model, inspection.ids.tolist()), coarse(positions="all", layers=[1, 3])).lens
        read = [p for p in sorted(spread(60, 8, 3)) if p + 1 < total]
        for i in range(found.sizes["block"]):
            here = exact.sel(position=[p for p in read if p // 8 == i])  # type: ignore[union-attr]
            assert int(found["count"][i]) == here.sizes["position"]
            for name in ("entropy", "target_logprob"):
                np.testing.assert_allclose(found[name][:, i], here[name].mean("position"), atol=1e-3)
        opened = wb.open(inspection.save(tmp_path / f"{end}.inspection"))
        assert opened.lens_blocks.equals(found)  # type: ignore[union-attr]
        assert "lens of" in repr(opened)


def test_stopped_in_the_middle_of_the_prompt(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    model = wb.load(str(tiny_checkpoint(layers=2, heads=4, kv_heads=2, window=24, context=4096)))
    stop = threading.Event()
    run = model.generate(
        prompt_of(model, random_ids(2100, seed=6)), wb.Sampling(max_new_tokens=4), coarse(blocks=16), stop,
        progress=lambda read: stop.set(),
    )  # fmt: skip
    assert list(run) == []
    opened = wb.open(run.inspection.save(tmp_path / "half.inspection"))
    found = opened.lens_blocks
    assert found is not None
    assert int(found["stop"][-1]) == 2100
    assert found["count"].values.tolist() == [4] * 15 + [2]  # 2048 tokens were read: half of the last block of 132
    assert found["entropy"].notnull().all()
    never = model.generate(prompt_of(model, random_ids(100, seed=7)), capture=coarse(blocks=8))
    never.close()
    opened = wb.open(never.inspection.save(tmp_path / "never.inspection"))
    assert opened.lens_blocks["entropy"].isnull().all()  # type: ignore[index]


def test_only_the_rows_read_are_held(model: Model) -> None:
    """A long chunk leaves 4 positions a block, not itself; finished blocks leave numbers."""
    recording = Recording(coarse(positions=[], blocks=4, per_block=4), model.loaded.module, 1600, 1600)
    cache, ids = new_cache(model.loaded.module), random_ids(1600, seed=1)
    for start in range(0, 1600, 400):
        forward(model.loaded.module, ids[start : start + 400], cache, recording)
    assert recording._blocks is not None
    waiting = sum(rows.untyped_storage().nbytes() for _, rows in recording._blocks._waiting)
    assert waiting <= 2 * 17 * 4 * 64 * 4


def test_identity_translators_change_nothing(model: Model) -> None:
    capture = coarse(positions="all", blocks=5)
    assert capture.lens is not None
    tuned = replace(capture, lens=replace(capture.lens, translators=TunedLens.identity(model)))
    prompt = prompt_of(model, random_ids(50, seed=2))
    plain, same = model.inspect(prompt, capture), model.inspect(prompt, tuned)
    for name, values in plain.arrays.items():
        np.testing.assert_array_equal(same.arrays[name], values, err_msg=name)
    assert same.lens.attrs["translators"] and not plain.lens.attrs["translators"]  # type: ignore[union-attr]


@pytest.mark.parametrize("wrong", [{"blocks": -1}, {"blocks": 5000}, {"blocks": "all"}, {"per_block": 0},
                                   {"per_block": 65}, {"per_block": None}], ids=str)  # fmt: skip
def test_impossible_blocks(model: Model, wrong: dict[str, Any]) -> None:
    with pytest.raises(CaptureError, match=next(iter(wrong))):
        model.inspect("Hello", coarse(**wrong))
