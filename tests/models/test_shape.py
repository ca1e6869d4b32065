"""The arithmetic of a model's shape, against the published checkpoints and against modules that transformers builds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.reference import eager
from workbench.models.checkpoint import open_checkpoint
from workbench.models.shape import ModelShape


def test_the_parts_of_the_7b_pair() -> None:
    shape = ModelShape.of("v0.2")
    assert shape.tensors == 291
    shares = {name: 100 * count / shape.parameters for name, count in shape.groups.items()}
    assert shares == pytest.approx(
        {"attention": 18.53, "mlp": 77.84, "embedding": 1.81, "unembedding": 1.81, "norms": 0.004}, abs=0.005
    )
    assert sum(shape.groups.values()) == shape.parameters


def test_information_reaches_back_through_the_layers() -> None:
    assert ModelShape.of("v0.1").reach == 131_041
    assert ModelShape.of("v0.2").reach is None


@pytest.mark.parametrize("tied", [False, True])
def test_parts_are_those_of_the_module(tiny_checkpoint: Callable[..., Path], tied: bool) -> None:
    folder = tiny_checkpoint(tied=tied)
    shape, module = ModelShape.of(folder), eager(folder)
    sizes = {name: one.numel() for name, one in module.named_parameters()}
    assert shape.groups["attention"] == sum(size for name, size in sizes.items() if "self_attn" in name)
    assert shape.groups["mlp"] == sum(size for name, size in sizes.items() if "mlp" in name)
    assert shape.groups["norms"] == sum(size for name, size in sizes.items() if "norm" in name)
    assert shape.tensors == len(open_checkpoint(folder).shapes)
