"""The calculator against published figures, file sizes and what loaded models really hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import workbench as wb
from tests.prompts import prompt_of
from tests.reference import random_ids
from workbench.errors import CheckpointError, ContextLengthError, UnknownModelError, WorkbenchError
from workbench.models.registry import assets_folder
from workbench.planning import CARDS, ModelShape, memory

GIB = 2**30


def test_the_7b_models_have_their_published_size() -> None:
    """Parameters and file sizes of the published checkpoints (safetensors index; GGUF files of v0.2)."""
    for name in ("v0.1", "v0.2"):
        assert ModelShape.of(name).parameters == 7_241_732_096
        assert memory(name, 1).weights == 14_483_464_192
    assert memory("v0.2", 1, "Q8_0").weights == pytest.approx(7_695_857_952, rel=5e-4)
    assert memory("v0.2", 1, "Q4_K_M").weights == pytest.approx(4_368_439_584, rel=5e-4)
    assert memory("v0.2", 1, "float32").weights / GIB == pytest.approx(26.98, abs=0.005)
    assert memory("v0.2", 1, "8bit").weights / GIB == pytest.approx(7.0, abs=0.1)
    assert 3.8 < memory("v0.2", 1, "4bit").weights / GIB < 4.2


@pytest.mark.parametrize(
    ("tokens", "full", "rolling"), [(4096, 0.5, 0.5), (8192, 1.0, 0.5), (16384, 2.0, 0.5), (32768, 4.0, 0.5)]
)
def test_the_cache_of_the_7b_models(tokens: int, full: float, rolling: float) -> None:
    """128 KiB a token in bf16; the window stores 4095 of them."""
    later, earlier = memory("v0.2", tokens), memory("v0.1", tokens)
    assert later.kv_cache / GIB == full
    assert memory("v0.2", tokens, kv_bits=8).kv_cache / GIB == full / 2
    assert memory("v0.2", tokens, kv_bits=4).kv_cache / GIB == full / 4
    assert earlier.kv_cache / GIB == pytest.approx(rolling, rel=3e-4)
    assert earlier.kv_cache_full == later.kv_cache == later.kv_cache_full


def test_what_nothing_here_makes_at_32k() -> None:
    """One layer's eager scores take 64 GiB in half precision, float32 logits of all positions 3.9 GiB."""
    assert memory("v0.2", 32768).eager_scores / GIB == 64
    assert memory("v0.2", 32768, "float32").eager_scores / GIB == 128
    assert memory("v0.2", 32768).all_logits / GIB == pytest.approx(3.9, abs=0.01)


def test_the_cache_of_a_token_takes_128_kib_and_512_without_shared_heads() -> None:
    shape = ModelShape.of("v0.2")
    assert memory(shape, 1).kv_cache == 128 * 1024
    assert memory(replace(shape, kv_heads=shape.heads), 1).kv_cache == 512 * 1024
    rolling = [memory("v0.1", tokens, kv_bits=bits).kv_cache / GIB for tokens in (4096, 32768) for bits in (16, 8, 4)]
    assert rolling == pytest.approx([0.5, 0.25, 0.125] * 2, rel=3e-4)


@pytest.mark.parametrize("name", ["twin-v0.1", "twin-v0.2"])
def test_the_twins_hold_what_was_said(name: str) -> None:
    model = wb.load(name)
    weights = sum({p.data_ptr(): p.nbytes for p in model.module.parameters()}.values())
    tokens = 300
    found = model.inspect(prompt_of(model, random_ids(tokens, 0)), wb.Capture(None, None))
    assert found.kv_cache is not None
    for said in (memory(name, tokens, "float32"), memory(model, tokens, "float32")):
        assert said.weights == weights
        assert said.kv_cache == int(found.kv_cache.bytes.sum())
    # The file is bfloat16: its tensors' bytes, without the header.
    stored = (assets_folder() / model.spec.location / "model.safetensors").stat().st_size
    assert memory(name, tokens, "bfloat16").weights == pytest.approx(stored, rel=0.001)


@pytest.mark.parametrize("window", [None, 1, 2, 20])
def test_any_shape_holds_what_was_said(tiny_checkpoint: Callable[..., Path], window: int | None) -> None:
    folder = tiny_checkpoint(layers=3, heads=4, kv_heads=2, window=window)
    model = wb.load(str(folder))
    said = memory(folder, 50, "float32", capture=wb.Capture())
    found = model.inspect(prompt_of(model, random_ids(50, 1)))
    assert found.kv_cache is not None
    assert said.kv_cache == int(found.kv_cache.bytes.sum())
    assert said.capture >= found.nbytes
    assert said.total == said.weights + said.kv_cache + said.activations + said.capture


def test_the_longest_text_is_the_longest_that_fits() -> None:
    seen = set()
    for name in ("v0.1", "v0.2"):
        for form in ("bfloat16", "4bit"):
            plan = memory(name, 1, form)
            for card in CARDS:
                longest = plan.longest(card)
                seen.add(longest)
                if longest:
                    assert memory(name, longest, form).fits(card)
                if longest < plan.shape.context:
                    assert not memory(name, longest + 1, form).fits(card)
    assert {0, 32768} < seen, "some card is too small, some large enough, and some in between"


def test_tables_say_what_the_plan_says() -> None:
    plan = memory("v0.2", 8192)
    table = plan.by_length()
    assert list(table.index) == [1024, 2048, 4096, 8192, 16384, 32768]
    assert table.loc[8192, "kv_cache"] == plan.kv_cache
    assert bool(plan.cards().loc["L4", "fits"]) and not bool(plan.cards().loc["T4", "fits"])
    assert "14.5 GB" in str(plan)


def test_what_cannot_be_planned_is_said(tmp_path: Path) -> None:
    with pytest.raises(UnknownModelError, match="not known without its files"):
        memory("someone/model")
    with pytest.raises(WorkbenchError, match="format"):
        memory("v0.2", format="int3")
    with pytest.raises(WorkbenchError, match="kv_bits"):
        memory("v0.2", kv_bits=7)
    with pytest.raises(ContextLengthError, match="1 to 32768"):
        memory("v0.2", 40_000)
    (tmp_path / "config.json").write_text("[")
    with pytest.raises(CheckpointError):
        memory(tmp_path)


def test_a_switched_model_is_planned_with_its_window() -> None:
    model = wb.load("twin-v0.2").switched(window=64)
    assert memory(model, 500, "float32").kv_cache == memory(replace(ModelShape.of("twin-v0.2"), window=64), 500, "float32").kv_cache  # fmt: skip  # noqa: E501
