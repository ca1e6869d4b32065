"""What a recording holds while it runs is what it was asked for: no tensor kept alive by a view of its last row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import workbench as wb
from tests.prompts import prompt_of
from tests.reference import random_ids
from workbench.capture.recording import Recording
from workbench.generation.prefill import forward, new_cache, prefill


def held(tensors: list[torch.Tensor]) -> int:
    return sum(tensor.untyped_storage().nbytes() for tensor in tensors)


@pytest.mark.parametrize("window", [None, 64])
def test_keys_are_held_once(tiny_checkpoint: Callable[..., Path], window: int | None) -> None:
    model = wb.load(str(tiny_checkpoint(layers=2, heads=4, kv_heads=1, window=window)))
    module, ids = model.loaded.module, random_ids(200, seed=1)
    capture = wb.Capture(wb.AttentionCapture(states=True), wb.LensCapture(positions="all"))
    recording = Recording(capture, module, 200, 260)
    cache = new_cache(module)
    prefill(module, ids, cache, recording, chunk=20)
    for token in random_ids(50, seed=2):
        forward(module, [token], cache, recording)
    one = 16 * 4  # bytes of a key: one head of 16 floats
    for waiting in recording._pending.values():
        assert held(waiting.new_keys) <= 32 * one
    recording.look(210, 5)
    assert recording._attention is not None
    for kept in recording._attention._by_layer.values():
        assert held(kept.keys) == 250 * one
    assert recording._lens is not None
    assert held([rows for _, rows in recording._lens._waiting]) <= 3 * 17 * 64 * 4


@pytest.mark.parametrize("window", [None, 12])
def test_explicit_positions_and_heads_while_generating(
    tiny_checkpoint: Callable[..., Path], window: int | None
) -> None:
    """Positions are the prompt's; 70 new tokens, more than two batches, change nothing about them."""
    model = wb.load(str(tiny_checkpoint(layers=3, heads=4, kv_heads=2, window=window)))
    prompt = prompt_of(model, random_ids(23, seed=3))
    capture = wb.Capture(
        wb.AttentionCapture(layers=[0, 2], heads=[1, 2], rows=[3, -2], pool=7, states=True),
        wb.LensCapture(layers=[1], positions=[0, 5, -1]),
    )
    run = model.generate(prompt, wb.Sampling(max_new_tokens=70), capture)
    list(run)
    found = run.inspection
    again = model.inspect(prompt_of(model, found.ids[:-1].tolist()), wb.Capture.full())
    assert found.attention is not None
    assert again.attention is not None
    assert found.attention.rows["query"].values.tolist() == [3, 21]
    for place, layer in enumerate([0, 2]):
        for query in (3, 21, 22, 23, 60, 91):
            np.testing.assert_allclose(
                found.attention.row(query, layer), again.attention.row(query, layer)[[1, 2]], atol=2e-5
            )
        np.testing.assert_allclose(
            found.attention.column(9, layer), again.attention.column(9, layer)[[1, 2]], atol=2e-5
        )
        exact = np.stack([again.attention.row(query, layer)[[1, 2]] for query in range(92)], 1)
        wide = np.pad(exact, ((0, 0), (0, 6), (0, 6))).reshape(2, 7, 14, 7, 14).sum((2, 4))
        pooled = wide / np.array([14] * 6 + [8])[None, :, None]
        np.testing.assert_allclose(found.attention.map.values[place], pooled, atol=2e-5)
    assert found.lens is not None
    assert found.lens["position"].values.tolist() == [0, 5, 22]
    assert found.lens.target_id.values.tolist() == [found.ids[1], found.ids[6], found.ids[23]]
    expected = again.lens.entropy.sel(layer=[1], position=[0, 5, 22])  # type: ignore[union-attr]
    np.testing.assert_allclose(found.lens.entropy, expected, atol=2e-3)
