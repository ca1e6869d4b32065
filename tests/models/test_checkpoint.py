"""Broken checkpoints are refused from their headers, with the remedy in the sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import MistralForCausalLM

from workbench.errors import CheckpointError
from workbench.models import checkpoint as module
from workbench.models import open_checkpoint

Build = Callable[..., Path]


@pytest.fixture
def copy(tiny_checkpoint: Build, tmp_path: Path) -> Path:
    """A copy of a tiny checkpoint that a test may break."""
    return Path(shutil.copytree(tiny_checkpoint(window=16), tmp_path / "copy"))


def rewrite(folder: Path, **changes: Any) -> None:
    """Changes fields of config.json; ... (Ellipsis) removes a field."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config.update(changes)
    path.write_text(json.dumps({name: value for name, value in config.items() if value is not ...}))


def test_what_is_read(tiny_checkpoint: Build) -> None:
    found = open_checkpoint(tiny_checkpoint(window=16, theta=1e6, dtype=torch.bfloat16))
    assert found.stated["window"] == 16
    assert (found.stated["theta"], found.stated["theta_spelling"]) == (1e6, "rope_parameters")
    assert found.stored_dtype is torch.bfloat16
    assert found.shapes["model.layers.1.self_attn.k_proj.weight"] == (16, 64)
    assert [file.name for file in found.files] == ["model.safetensors"]


def test_hash_sees_one_changed_number_in_a_small_checkpoint(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_checkpoint(copy).weights_hash
    assert before.startswith("sha256:")
    assert open_checkpoint(copy).weights_hash == before
    tensors = load_file(copy / "model.safetensors")
    tensors["model.norm.weight"][3] += 1
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    assert open_checkpoint(copy).weights_hash != before
    monkeypatch.setattr(module, "FULL_HASH_BYTES", 1)
    large = open_checkpoint(copy).weights_hash
    assert large.startswith("header-sha256:")
    assert large == open_checkpoint(copy).weights_hash


def test_old_spellings_and_silence_are_told_apart(copy: Path) -> None:
    rewrite(copy, rope_parameters=..., rope_theta=1e6, sliding_window=None)
    found = open_checkpoint(copy)
    assert (found.stated["window"], found.stated["theta"], found.stated["theta_spelling"]) == (None, 1e6, "rope_theta")
    rewrite(copy, sliding_window=..., rope_theta=...)
    found = open_checkpoint(copy)
    assert (found.stated["window"], found.stated["theta"], found.stated["theta_spelling"]) == ("absent",) * 3


def test_sharded_checkpoints(copy: Path) -> None:
    MistralForCausalLM.from_pretrained(copy).save_pretrained(copy, max_shard_size="5MB")
    (copy / "model.safetensors").unlink(missing_ok=True)
    found = open_checkpoint(copy)
    assert len(found.files) > 1
    found.files[1].unlink()
    with pytest.raises(CheckpointError, match=found.files[1].name):
        open_checkpoint(copy)


def break_index(folder: Path, content: Any) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps(content))


def truncate(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])


def only_bin(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04}.")


def without(folder: Path, name: str) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors[name]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def with_tensor(folder: Path, name: str, tensor: torch.Tensor) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors[name] = tensor
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


HEADER_BOMB = (2**63 - 1).to_bytes(8, "little") + b"{}"
FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no config": (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
    "config is no JSON": (lambda folder: (folder / "config.json").write_text("{"), "not readable JSON"),
    "config is a list": (lambda folder: (folder / "config.json").write_text("[]"), "JSON list"),
    "config is nested without end": (lambda folder: (folder / "config.json").write_text("[" * 10**5), "not readable"),
    "llama": (lambda folder: rewrite(folder, model_type="llama"), "model_type 'llama'"),
    "mixtral": (lambda folder: rewrite(folder, model_type="mixtral"), "not a Mistral language model"),
    "classifier": (
        lambda folder: rewrite(folder, architectures=["MistralForSequenceClassification"]),
        "MistralForSequenceClassification",
    ),
    "quantized": (lambda folder: rewrite(folder, quantization_config={"bits": 4}), "already quantized"),
    "no layers": (lambda folder: rewrite(folder, num_hidden_layers=0), "num_hidden_layers"),
    "layers in words": (lambda folder: rewrite(folder, num_hidden_layers="two"), "num_hidden_layers"),
    "heads that do not divide": (lambda folder: rewrite(folder, num_key_value_heads=3), "cannot share 3"),
    "window of 0": (lambda folder: rewrite(folder, sliding_window=0), "sliding_window is 0"),
    "more layers than weights": (lambda folder: rewrite(folder, num_hidden_layers=3), "lack 9 of 30 tensors"),
    "another width": (lambda folder: rewrite(folder, intermediate_size=100), "has the shape"),
    "another vocabulary": (lambda folder: rewrite(folder, vocab_size=31_999), "has the shape \\[32000, 64\\]"),
    "only .bin": (only_bin, "can run code"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "has no weights"),
    "other names": (
        lambda folder: (folder / "model.safetensors").rename(folder / "consolidated.safetensors"),
        "consolidated",
    ),
    "cut in the data": (lambda folder: truncate(folder / "model.safetensors", 10_000), "damaged or cut short"),
    "cut in the header": (lambda folder: truncate(folder / "model.safetensors", 20), "damaged or cut short"),
    "empty file": (lambda folder: truncate(folder / "model.safetensors", 0), "damaged or cut short"),
    "header that claims exabytes": (
        lambda folder: (folder / "model.safetensors").write_bytes(HEADER_BOMB),
        "damaged or cut short",
    ),
    "a pickle": (lambda folder: (folder / "model.safetensors").write_bytes(b"\x80\x04K\x01." * 9), "damaged"),
    "no head": (lambda folder: without(folder, "lm_head.weight"), "lm_head.weight"),
    "8-bit tensors": (
        lambda folder: with_tensor(folder, "model.norm.weight", torch.ones(64, dtype=torch.int8)),
        "stored as I8",
    ),
    "index to elsewhere": (
        lambda folder: break_index(folder, {"weight_map": {"x": "../../model.safetensors"}}),
        "outside its folder",
    ),
    "index to .bin": (lambda folder: break_index(folder, {"weight_map": {"x": "model.bin"}}), "not safetensors"),
    "empty index": (lambda folder: break_index(folder, {}), "names no weight files"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_checkpoint_is_one_sentence(copy: Path, fault: str) -> None:
    breaking, sentence = FAULTS[fault]
    breaking(copy)
    with pytest.raises(CheckpointError, match=sentence) as caught:
        open_checkpoint(copy)
    assert "\n" not in str(caught.value)
    assert caught.value.expected or caught.value.remedy
