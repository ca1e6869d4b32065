"""Tuned lens: training helps at every layer on text not trained on; a file of other weights or of no use is refused."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

import workbench as wb
from tests.prompts import prompt_of
from tests.reference import eager, random_ids, residual_stream
from workbench.capture.tuned_lens import KEY, TunedLens, TunedLensRecord
from workbench.capture.tuned_training import TunedLensTraining, divided
from workbench.errors import CaptureError, FileFormatError, WorkbenchError
from workbench.generation.samples import samples
from workbench.model import Model


@pytest.fixture(scope="module")
def folder(tiny_checkpoint: Callable[..., Path]) -> Path:
    return tiny_checkpoint(layers=2, heads=4, kv_heads=1, window=24)


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return wb.load(str(folder))


@pytest.fixture(scope="module")
def lens(model: Model) -> TunedLens:
    """Translators with random numbers."""
    plain, generator = TunedLens.identity(model), torch.Generator().manual_seed(0)
    parts = [0.05 * torch.randn(part.shape, generator=generator) for part in (plain.weight, plain.bias)]
    return TunedLens(plain.record, *parts)


@pytest.fixture(scope="module")
def saved(lens: TunedLens, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lens.save(tmp_path_factory.mktemp("lens") / "a.safetensors")


def read_with(lens: Any, **settings: Any) -> wb.Capture:
    return wb.Capture(attention=None, kv_cache=False, lens=wb.LensCapture(translators=lens, **settings))


def test_it_is_the_lens_of_the_translated_stream(model: Model, folder: Path, lens: TunedLens, saved: Path) -> None:
    ids, reference = random_ids(30, seed=1), eager(folder)
    stream = residual_stream(reference, ids)
    translated = [h + h @ a.T + b for h, a, b in zip(stream, lens.weight, lens.bias)]  # the last one has none
    with torch.no_grad():
        rows = reference.model.norm(torch.stack([*translated, stream[-1]]))
        logprobs = reference.lm_head(rows).log_softmax(-1)
    for capture in (read_with(lens, positions="all"), read_with(saved, positions="all", layers=[0, 1])):
        inspection = model.inspect(prompt_of(model, ids), capture)
        found = inspection.lens
        entropy = -(logprobs.exp() * logprobs).sum(-1)[: found.sizes["layer"]]
        np.testing.assert_allclose(found.entropy, entropy, atol=5e-4)
        kl = (logprobs[-1].exp() * (logprobs[-1] - logprobs)).sum(-1)[: found.sizes["layer"]]
        np.testing.assert_allclose(found.kl, kl, atol=5e-4)
        assert inspection.provenance["settings"]["capture"]["lens"]["translators"]["sha256"] == lens.sha256
        json.dumps(inspection.provenance)


def test_while_generating_and_in_a_file(model: Model, lens: TunedLens, tmp_path: Path) -> None:
    run = model.generate(prompt_of(model, random_ids(9, seed=1)), wb.Sampling(max_new_tokens=20), read_with(lens))
    steps = list(run)
    found = run.inspection
    np.testing.assert_allclose(steps[3].captured.lens["kl"], found.lens.kl[:, 3], atol=5e-4)  # type: ignore[index,union-attr]
    again = model.inspect(prompt_of(model, found.ids.tolist()), read_with(lens, positions="all"))
    np.testing.assert_allclose(found.lens.kl, again.lens.kl.sel(position=found.lens["position"]), atol=1e-3)
    opened = wb.open(found.save(tmp_path / "x.inspection"))
    assert opened.lens.attrs["translators"] == lens.sha256
    assert "tuned lens" in repr(opened)


def test_training_lowers_the_divergence_at_every_layer(model: Model) -> None:
    module = model.loaded.module
    sequences = [random_ids(32, seed=i) for i in range(20)]
    before = {name: value.clone() for name, value in module.state_dict().items()}
    training = TunedLensTraining(model.loaded, *divided(sequences), {"kind": "test"}, steps=18, rate=3e-3)
    seen = list(training)
    assert [progress.step for progress in seen] == [*range(19), 18]
    lens = training.lens
    assert lens is not None
    record = lens.record
    assert (record.steps, record.weights) == (18, model.weights_hash)
    # random weights leave little to foresee: the embedding's divergence falls by some per cent only
    assert all(after < 0.99 * plain for after, plain in zip(record.loss_after, record.loss_before, strict=True))
    # what was measured is what the capture then shows
    held_out = divided(sequences)[1]
    kl = [model.inspect(prompt_of(model, ids), read_with(lens, positions="all")).lens.kl for ids in held_out]  # type: ignore[union-attr]
    np.testing.assert_allclose(np.concatenate(kl, 1).mean(1)[:-1], record.loss_after, rtol=1e-3)
    # the model's own weights are as they were, and nobody left gradients in them
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())


def test_training_is_stopped_between_steps(model: Model) -> None:
    stop, texts = threading.Event(), [random_ids(16, seed=i) for i in range(4)]
    training = TunedLensTraining(model.loaded, texts[:3], texts[3:], {}, steps=50, stop=stop)
    for progress in training:
        if progress.step == 2:
            stop.set()
    assert progress.step == 2 and training.lens is None
    assert list(samples(model.loaded.module, 1, 64, 32, stop=stop)) == []
    with pytest.raises(WorkbenchError, match="too little text"):
        TunedLensTraining(model.loaded, [], texts, {})


def test_samples_are_the_models_and_repeat(model: Model) -> None:
    one, again, other = (
        [ids for part in samples(model.loaded.module, 1, 200, 10, seed) for ids in part] for seed in (1, 1, 2)
    )
    assert one == again != other
    assert len(one) == 20 and {len(ids) for ids in one} == {10} and {ids[0] for ids in one} == {1}


def test_round_trip_and_other_weights(model: Model, saved: Path, tiny_checkpoint: Callable[..., Path]) -> None:
    again = TunedLens.load(saved)
    assert again.sha256 == TunedLens.load(saved).sha256
    other = wb.load(str(tiny_checkpoint(layers=2, heads=4, kv_heads=1, window=24, seed=1)))
    with pytest.raises(CaptureError, match=r"trained for .* workbench lens train --model"):
        other.inspect("Hello", read_with(again))
    with pytest.raises(CaptureError, match="workbench lens train"):
        other.generate("Hello", capture=read_with(again))
    with pytest.raises(CaptureError, match="TunedLens"):
        read_with(3)


def test_a_hash_of_shapes_is_not_enough(model: Model, lens: TunedLens) -> None:
    """Large checkpoints are hashed by their headers, which v0.1 and v0.2 may share: the revision decides then."""
    told: dict[str, Any] = {"weights": "header-sha256:0", "revision": "abc"}
    large = TunedLens(lens.record.model_copy(update=told), lens.weight, lens.bias)
    large.check(replace(model.loaded, weights_hash="header-sha256:0", revision="abc"))
    with pytest.raises(CaptureError, match="trained for"):
        large.check(replace(model.loaded, weights_hash="header-sha256:0", revision="def"))


def hostile(change: Callable[[dict[str, Any], dict[str, np.ndarray]], Any], saved: Path, path: Path) -> Path:
    record, arrays = TunedLens.load(saved).record.model_dump(), load_file(saved)
    change(record, arrays)
    save_file(arrays, path, metadata={KEY: json.dumps(record)})
    return path


HOSTILE: dict[str, Callable[[dict[str, Any], dict[str, np.ndarray]], Any]] = {
    "version": lambda r, a: r.update(schema_version=2),
    "extra field": lambda r, a: r.update(code="x"),
    "missing field": lambda r, a: r.pop("weights"),
    "no width": lambda r, a: r.update(width=0),
    "width as text": lambda r, a: r.update(width="sixty-four"),
    "too many layers": lambda r, a: r.update(layers=10**9),
    "fewer layers": lambda r, a: r.update(layers=1),
    "losses of other layers": lambda r, a: r.update(loss_before=[1.0]),
    "loss that is none": lambda r, a: r.update(loss_before=[float("nan")] * 2),
    "long name": lambda r, a: r.update(model="x" * 10**4),
    "nested source": lambda r, a: r.update(source={"kind": {}}),
    "half a character": lambda r, a: r.update(model="\ud800"),
    "extra array": lambda r, a: a.update(code=np.zeros(2, np.float32)),
    "missing array": lambda r, a: a.pop("bias"),
    "another type": lambda r, a: a.update(weight=a["weight"].astype(np.float64)),
    "another shape": lambda r, a: a.update(weight=a["weight"][:, :-1]),
    "not finite": lambda r, a: a["weight"].fill(np.inf),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused(saved: Path, tmp_path: Path, name: str) -> None:
    path = hostile(HOSTILE[name], saved, tmp_path / "hostile.safetensors")
    with pytest.raises(FileFormatError, match=r"hostile\.safetensors") as caught:
        TunedLens.load(path)
    assert "\n" not in str(caught.value)


def test_what_is_no_lens(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="no file"):
        read_with(tmp_path / "absent")
    content = saved.read_bytes()
    for wrong in (b"", b"\x80\x04cos\nsystem\n.", content[:500], content[:-10]):
        (tmp_path / "wrong").write_bytes(wrong)
        with pytest.raises(FileFormatError, match="truncated, damaged"):
            TunedLens.load(tmp_path / "wrong")
    save_file({"weight": np.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(FileFormatError, match="no tuned lens"):
        TunedLens.load(tmp_path / "other.safetensors")
    with pytest.raises(CaptureError, match="as their record says"):
        TunedLens(TunedLensRecord(model="a", weights="b", width=4, layers=2), torch.zeros(2, 4, 4), torch.zeros(2, 3))
