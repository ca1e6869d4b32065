"""Capture works wherever accelerate has put the layers: in memory, on the CPU under a hook, or on disk."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workbench as wb
from tests.prompts import prompt_of
from tests.reference import random_ids
from workbench.model import Model, load_model

ON_DISK = {
    "model.embed_tokens": "cpu",
    "model.layers.0": "disk",
    "model.layers.1": "cpu",
    "model.norm": "disk",
    "model.rotary_emb": "cpu",
    "lm_head": "disk",
}


@pytest.mark.parametrize("device_map", [ON_DISK, {"": "disk"}], ids=["mixed", "disk"])
def test_inspection_of_offloaded_weights_is_the_same(tiny_checkpoint: Callable[..., Path], device_map: Any) -> None:
    folder = tiny_checkpoint(layers=2, heads=4, kv_heads=2, window=16)
    plain, offloaded = Model(load_model(folder)), Model(load_model(folder, device_map=device_map))
    found = []
    for model in (plain, offloaded):
        run = model.generate(
            prompt_of(model, random_ids(24, seed=1)), wb.Sampling(max_new_tokens=10), wb.Capture.full()
        )
        list(run)
        found.append(run.inspection)
    one, other = found
    assert one.ids.tolist() == other.ids.tolist()
    np.testing.assert_allclose(one.attention.rows, other.attention.rows, atol=1e-6)
    np.testing.assert_allclose(one.attention.map, other.attention.map, atol=1e-6)
    np.testing.assert_allclose(one.lens.entropy, other.lens.entropy, atol=1e-4)
    np.testing.assert_allclose(one.kv_cache.key_norm, other.kv_cache.key_norm, atol=1e-6)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_rows_are_those_of_the_kernel(tiny_checkpoint: Callable[..., Path], dtype: str) -> None:
    """Rows sum to 1 within what the kernel's own log-sum-exp allows, and the reply is that of the same dtype."""
    model = wb.load(str(tiny_checkpoint(layers=2, heads=4, kv_heads=2, window=16)), dtype=dtype)
    run = model.generate(prompt_of(model, random_ids(40, seed=2)), wb.Sampling(max_new_tokens=6), wb.Capture.full())
    list(run)
    found = run.inspection
    np.testing.assert_allclose(found.attention.rows.sum("key"), 1, atol=2e-2)
    np.testing.assert_allclose(found.attention.map.sum("key_block"), 1, atol=2e-2)
    assert np.isfinite(found.lens.kl).all()
    assert found.kv_cache.bytes.values.tolist() == [2 * 2 * 16 * 2 * 15] * 2
