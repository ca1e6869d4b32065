"""What a capture may be asked for: numbers of any library, nothing that is misread, and a sentence for the rest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import workbench as wb
from tests.prompts import prompt_of
from tests.reference import random_ids
from workbench.errors import CaptureError, SamplingError
from workbench.model import Model


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Callable[..., Path]) -> Model:
    return wb.load(str(tiny_checkpoint(layers=2, heads=4, kv_heads=2, window=12)))


@pytest.mark.parametrize(
    "three",
    [[1, 3], (3, 1), {1, 3}, range(1, 4, 2), np.array([1, 3]), torch.tensor([1, 3]), [np.int64(1), np.int32(-1)],
     slice(np.int64(1), None, 2), slice(None, None, -2)],
    ids=repr,
)  # fmt: skip
def test_heads_and_positions_of_any_library(model: Model, three: Any, tmp_path: Path) -> None:
    """The same heads, however written; an iterator lasts through check and run; all of it can be saved."""
    prompt = prompt_of(model, random_ids(4, seed=1))
    capture = wb.Capture(wb.AttentionCapture(heads=three, rows=three), wb.LensCapture(positions=three))
    found = model.inspect(prompt, capture)
    assert found.attention is not None
    assert found.attention.heads == [1, 3]
    assert found.attention.rows["query"].values.tolist() == [1, 3]
    assert found.lens["position"].values.tolist() == [1, 3]
    assert wb.open(found.save(tmp_path / "x.inspection")).record == found.record


def test_iterators_and_single_numbers(model: Model, tmp_path: Path) -> None:
    prompt = prompt_of(model, random_ids(9, seed=1))
    capture = wb.Capture(
        wb.AttentionCapture(layers=(i for i in range(2)), heads=np.int64(2), rows=np.int64(-1), pool=np.int64(4)),  # type: ignore[arg-type]
        wb.LensCapture(layers=torch.tensor(1), positions=np.array(3), top_k=np.int8(2)),  # type: ignore[arg-type]
    )
    found = model.inspect(prompt, capture)
    assert (found.attention.layers, found.attention.heads) == ([0, 1], [2])
    assert found.attention.rows["query"].values.tolist() == [8]
    assert found.lens["layer"].values.tolist() == [1]
    assert wb.open(found.save(tmp_path / "x.inspection")).provenance == found.provenance


def test_a_descending_slice_of_layers_keeps_each_layer_its_own_numbers(model: Model) -> None:
    prompt = prompt_of(model, random_ids(9, seed=1))
    plain = model.inspect(prompt, wb.Capture(attention=None))
    other = model.inspect(prompt, wb.Capture(attention=None, lens=wb.LensCapture(layers=slice(None, None, -1))))
    np.testing.assert_array_equal(other.lens.entropy.sel(layer=[0, 1, 2]), plain.lens.entropy.sel(layer=[0, 1, 2]))  # type: ignore[union-attr]


@pytest.mark.parametrize("wanted", [None, 1.5, True, [True, False], "0", ["0"], [None], slice("a"), slice(0, 2, 0)])
def test_what_is_no_choice_is_one_sentence(model: Model, wanted: Any) -> None:
    captures = [
        lambda: wb.Capture(wb.AttentionCapture(layers=wanted)),
        lambda: wb.Capture(wb.AttentionCapture(heads=wanted)),
        lambda: wb.Capture(lens=wb.LensCapture(layers=wanted)),
        lambda: wb.Capture(lens=wb.LensCapture(positions=wanted)),
    ]
    if wanted is not None:
        captures.append(lambda: wb.Capture(wb.AttentionCapture(rows=wanted)))
    for capture in captures:
        with pytest.raises(CaptureError):
            model.inspect("Hello", capture())


@pytest.mark.parametrize("empty", [[], slice(9, 9)])
def test_no_layer_or_head_is_refused_and_no_position_is_not(model: Model, empty: Any, tmp_path: Path) -> None:
    for capture in (
        wb.Capture(wb.AttentionCapture(layers=empty)),
        wb.Capture(wb.AttentionCapture(heads=empty)),
        wb.Capture(lens=wb.LensCapture(layers=empty)),
    ):
        with pytest.raises(CaptureError, match="No "):
            model.inspect("Hello", capture)
    found = model.inspect(
        prompt_of(model, random_ids(5, seed=1)),
        wb.Capture(wb.AttentionCapture(rows=empty), wb.LensCapture(positions=empty)),
    )
    assert wb.open(found.save(tmp_path / "x.inspection")).lens.sizes["position"] == 0


@pytest.mark.parametrize("value", [None, 2.5, "5", True, -3, 2**70])
@pytest.mark.parametrize("name", ["pool", "sink_tokens", "recent", "reach", "top_k"])
def test_impossible_numbers(model: Model, name: str, value: Any) -> None:
    if (name, value) == ("reach", None):
        return
    part = (
        {"lens": wb.LensCapture(top_k=value)}
        if name == "top_k"
        else {"attention": wb.AttentionCapture(**{name: value})}
    )
    with pytest.raises(CaptureError, match=name):
        model.inspect("Hello", wb.Capture(**part))  # type: ignore[arg-type]


def test_parts_of_the_wrong_kind(model: Model) -> None:
    for part in (True, False, "all", wb.LensCapture()):
        with pytest.raises(CaptureError, match="AttentionCapture"):
            wb.Capture(attention=part)  # type: ignore[arg-type]
    with pytest.raises(CaptureError, match="LensCapture"):
        wb.Capture(lens=wb.AttentionCapture())  # type: ignore[arg-type]
    for capture in ("full", wb.AttentionCapture()):
        with pytest.raises(CaptureError, match="Capture"):
            model.inspect("Hello", capture)  # type: ignore[arg-type]
    with pytest.raises(SamplingError, match="dict"):
        model.generate("Hello", {"temperature": 1})  # type: ignore[arg-type]
    with pytest.raises(SamplingError, match="Sampling"):
        model.generate("Hello", stop=["\n"])  # type: ignore[arg-type]


def test_a_refusal_does_not_advise_what_was_asked_for(tiny_checkpoint: Callable[..., Path]) -> None:
    big = wb.load(str(tiny_checkpoint(context=20000)))
    with pytest.raises(CaptureError, match=r"rows=\[-1\]"):
        big.generate("Hello", wb.Sampling(max_new_tokens=15000))
