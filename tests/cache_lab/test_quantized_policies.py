"""Policies through transformers' own quantized cache: what is around it everywhere, its packages where they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import QuantizedCache, QuantizedLayer

import workbench as wb
from tests.reference import random_ids
from workbench.cache_lab.policies import OPTIONAL, policy
from workbench.cache_lab.policies.quantized import GROUP, RECENT, Hqq, Quanto
from workbench.cache_lab.reading import PromptReader, fed
from workbench.errors import CacheError
from workbench.generation.prefill import forward_rows, new_cache

AHEAD = 2 * RECENT
WINDOW = 70
SAID = ("quanto=4", "quanto=2", "hqq=8", "hqq=4")


class Grid(QuantizedLayer):
    """transformers' layer over a backend of ours: numbers on a grid of ``step``, exact where that is 0."""

    def __init__(self, step: float) -> None:
        super().__init__(4, 0, 0, GROUP, RECENT)
        self.step = step

    def _quantize(self, tensor: Tensor, axis: int) -> Tensor:
        assert tensor.shape[2] % GROUP == 0  # quanto packs no other number of tokens by channel
        return (tensor / self.step).round() * self.step if self.step else tensor.clone()

    def _dequantize(self, packed: Tensor) -> Tensor:
        return packed


@pytest.fixture(scope="module", params=[None, WINDOW], ids=["no window", "window"])
def model(request: pytest.FixtureRequest, tiny_checkpoint: Callable[..., Path]) -> wb.Model:
    return wb.load(str(tiny_checkpoint(kv_heads=2, window=request.param)))


def behind(model: wb.Model, one: Quanto, ids: list[int], length: int, step: int) -> tuple[Tensor, Any]:
    """Logits behind ``ids[length:]``, and the cache then."""
    found = PromptReader(model, [one]).under(one, ids[:length])
    assert found is not None
    cache = found[1].fork()
    return torch.cat(list(fed(model.module, ids[length:], cache, step))), cache


@torch.inference_mode()
def by_transformers(model: wb.Model, cache: Cache, ids: list[int], length: int) -> Tensor:
    """The same by a plain model with transformers' cache: the prompt at once, then token by token."""
    model.module(input_ids=torch.tensor([ids[:length]]), past_key_values=cache)
    rows = [model.module(input_ids=torch.tensor([[token]]), past_key_values=cache).logits[0] for token in ids[length:]]
    return torch.cat(rows)


@pytest.mark.parametrize("length", [20, 32, 150])
@pytest.mark.parametrize("step", [1, 256])
def test_without_rounding_it_is_the_models_own_cache(
    model: wb.Model, monkeypatch: pytest.MonkeyPatch, length: int, step: int
) -> None:
    monkeypatch.setattr(Quanto, "inner", lambda self: Grid(0.0))
    ids = random_ids(length + AHEAD, 1)
    rows, cache = behind(model, Quanto(), ids, length, step)
    assert torch.allclose(rows, forward_rows(model.module, ids, new_cache(model.module), None, AHEAD), atol=2e-4)
    assert cache.get_seq_length() == len(ids)
    assert {layer.begun for layer in cache.layers} == {True}
    assert {layer.keys.shape[2] for layer in cache.layers} <= set(range(RECENT))


@pytest.mark.parametrize("length", [20, 150])
def test_read_at_once_is_read_one_by_one(model: wb.Model, monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    monkeypatch.setattr(Quanto, "inner", lambda self: Grid(0.5))
    ids = random_ids(length + AHEAD, 2)
    (single, one), (many, other) = (behind(model, Quanto(), ids, length, step) for step in (1, 256))
    assert torch.allclose(single, many, atol=2e-4)
    assert one.nbytes == other.nbytes
    full = forward_rows(model.module, ids, new_cache(model.module), None, AHEAD)
    assert not torch.allclose(single, full, atol=1e-2)  # the grid does show


def test_it_is_what_a_plain_model_reads_with_that_cache(
    tiny_checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = wb.load(str(tiny_checkpoint(kv_heads=2)))
    monkeypatch.setattr(Quanto, "inner", lambda self: Grid(0.5))
    ids = random_ids(96 + AHEAD, 3)
    wanted = by_transformers(model, Cache(layers=[Grid(0.5) for _ in range(model.layers)]), ids, 96)
    assert torch.allclose(behind(model, Quanto(), ids, 96, 256)[0], wanted, atol=2e-4)


@pytest.mark.parametrize("one", [Quanto, Hqq])
def test_without_its_package_there_is_a_sentence(one: type[Quanto], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one, "installed", classmethod(lambda cls: False))
    for said in (one.name, f"{one.name}=4"):
        with pytest.raises(CacheError) as caught:
            policy(said)
        assert str(caught.value) == (
            f"The policy {one.name} needs the package {one.package}, which is not installed. "
            f"Install it (pip install {one.package}), or take 8bit or 4bit, which need none."
        )
    with pytest.raises(CacheError, match=f"expected {one.name}={one.offered[0]} or "):
        policy(f"{one.name}=5")
    monkeypatch.setattr(one, "installed", classmethod(lambda cls: True))
    assert policy(one.name) == one(one.bits)
    assert str(policy(f"{one.name}=2")) == f"{one.name}=2"


@pytest.mark.parametrize("said", SAID)
def test_with_its_package_it_is_transformers_quantized_cache(tiny_checkpoint: Callable[..., Path], said: str) -> None:
    name = said.partition("=")[0]
    if not OPTIONAL[name].installed():
        pytest.skip(f"needs the package {OPTIONAL[name].package}")
    model = wb.load(str(tiny_checkpoint(kv_heads=2, hidden=256)))
    one = policy(said)
    assert isinstance(one, Quanto)
    ids = random_ids(64 + AHEAD, 4)
    axes = {"axis_key": -1, "axis_value": 0} if name == "quanto" else {"axis_key": 1, "axis_value": 1}
    plain = QuantizedCache(name, model.module.config, one.bits, **axes, q_group_size=GROUP, residual_length=RECENT)
    rows, _ = behind(model, one, ids, 64, 256)
    wanted = by_transformers(model, plain, ids, 64)
    assert torch.allclose(rows[:RECENT], wanted[:RECENT], atol=1e-3)
    # packed anew: hqq's search may round a number to either side, seldom and by little against all the rounding
    full = forward_rows(model.module, ids, new_cache(model.module), None, AHEAD)
    assert float((rows - wanted).abs().mean()) < 0.01 * float((rows - full).abs().mean())
    for length in (20, 64, 150):
        found = PromptReader(model, [one]).under(one, random_ids(length, 5))
        assert found is not None
        kept = one.kept(length, None)
        each = one.layer_bytes(kept, model.kv_heads, model.head_dim, model.dtype.itemsize)
        assert found[1].nbytes == model.layers * each
