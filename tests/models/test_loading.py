"""Loading: names to models, equality under offload, and the self-check on arrival."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import cpu_offload
from safetensors.torch import load_file, save_file
from transformers import MistralForCausalLM, PreTrainedModel

from workbench.errors import CheckpointError, DeviceError, UnknownModelError, WorkbenchError
from workbench.models import SPECS, load_model

Build = Callable[..., Path]
IDS = torch.tensor([[1, *range(300, 340)]])
ON_CPU = not torch.cuda.is_available() and not torch.backends.mps.is_available()


@torch.no_grad()
def logits(module: Any, ids: torch.Tensor = IDS) -> torch.Tensor:
    return module(input_ids=ids).logits


def change(folder: Path, name: str, edit: Callable[[torch.Tensor], Any]) -> None:
    tensors = load_file(folder / "model.safetensors")
    edit(tensors[name])
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def rewrite(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    config.update(changes)
    kept = {name: value for name, value in config.items() if value is not ...}
    (folder / "config.json").write_text(json.dumps(kept))


@pytest.fixture
def copy(tiny_checkpoint: Build, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_checkpoint(window=16), tmp_path / "copy"))


@pytest.mark.skipif(not ON_CPU, reason="states the CPU's defaults")
def test_a_folder_of_another_shape(tiny_checkpoint: Build) -> None:
    folder = tiny_checkpoint(layers=3, heads=6, kv_heads=2, window=None, theta=5e5, hidden=96, dtype=torch.bfloat16)
    loaded = load_model(folder)
    assert (loaded.layers, loaded.heads, loaded.kv_heads, loaded.head_dim, loaded.hidden) == (3, 6, 2, 16, 96)
    assert (loaded.window, loaded.theta, loaded.context, loaded.trained_context) == (None, 5e5, 2048, None)
    assert (loaded.vocab_size, loaded.dtype, loaded.device) == (32_000, torch.float32, torch.device("cpu"))
    assert loaded.kv_bytes_per_token == 2 * 3 * 2 * 16 * 4
    assert (loaded.revision, loaded.quantization, loaded.switches) == (None, None, {})
    assert loaded.weights_hash.startswith("sha256:")
    assert not loaded.module.training
    assert loaded.tokenizer.is_v1
    expected = logits(MistralForCausalLM.from_pretrained(folder, dtype=torch.float32))
    assert torch.equal(logits(loaded.module), expected)


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16"])
def test_dtypes_by_name_and_by_type(tiny_checkpoint: Build, name: str) -> None:
    folder = tiny_checkpoint(window=16)
    for dtype in (name, getattr(torch, name)):
        loaded = load_model(folder, dtype=dtype, device_map="cpu")
        assert loaded.dtype is getattr(torch, name)
        assert loaded.module.lm_head.weight.dtype is loaded.dtype
        assert loaded.kv_bytes_per_token == 2 * 2 * 16 * loaded.dtype.itemsize


ON_DISK = {
    "model.embed_tokens": "cpu",
    "model.layers.0": "disk",
    "model.layers.1": "cpu",
    "model.norm": "disk",
    "model.rotary_emb": "cpu",
    "lm_head": "cpu",
}


@pytest.mark.parametrize("device_map", ["cpu", ON_DISK, {"": "disk"}, {"": "cpu"}], ids=str)
def test_offload_to_disk_changes_no_logit(tiny_checkpoint: Build, device_map: Any) -> None:
    folder = tiny_checkpoint(window=16)
    expected = logits(load_model(folder, device_map="cpu").module)
    loaded = load_model(folder, device_map=device_map)
    assert loaded.device == torch.device("cpu")
    assert torch.equal(logits(loaded.module), expected)
    if device_map == {"": "disk"}:
        assert loaded.module.lm_head.weight.device.type == "meta"


def test_a_memory_limit_sends_layers_to_disk(tiny_checkpoint: Build, tmp_path: Path) -> None:
    folder = tiny_checkpoint(window=16, layers=4)
    expected = logits(load_model(folder, device_map="cpu").module)
    # The embedding and the head take 8 MB each, a layer 0.16 MB: with 9 MB, most of the model lies on disk.
    loaded = load_model(folder, device_map="auto", max_memory={"cpu": 9 * 10**6}, offload_folder=tmp_path / "offload")
    places = set(map(str, loaded.module.hf_device_map.values()))
    assert "disk" in places
    assert torch.equal(logits(loaded.module, IDS.to(loaded.device)).cpu(), expected)


def test_offload_to_the_cpu_changes_no_logit(tiny_checkpoint: Build) -> None:
    loaded = load_model(tiny_checkpoint(window=16), device_map="cpu")
    expected = logits(loaded.module)
    cpu_offload(loaded.module, execution_device=torch.device("cpu"))
    assert loaded.module.lm_head.weight.device.type == "meta"
    assert torch.equal(logits(loaded.module), expected)


def test_tied_embeddings(tiny_checkpoint: Build) -> None:
    module = load_model(tiny_checkpoint(tied=True), device_map="cpu").module
    assert module.lm_head.weight.data_ptr() == module.model.embed_tokens.weight.data_ptr()


def test_models_loaded_at_once_are_whole(tiny_checkpoint: Build) -> None:
    folder = tiny_checkpoint(tied=True)
    tying = PreTrainedModel.tie_weights
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: load_model(folder, device_map="cpu").module, range(16)))
    assert all(one.lm_head.weight is one.model.embed_tokens.weight for one in found)
    assert PreTrainedModel.tie_weights is tying


def test_an_absent_window_is_in_force_but_said(copy: Path) -> None:
    rewrite(copy, sliding_window=...)
    with pytest.warns(UserWarning, match="does not state sliding_window"):
        loaded = load_model(copy, device_map="cpu")
    assert loaded.stated["window"] == "absent"
    assert loaded.window == loaded.spec.window == 4096
    assert "absent, not null" in loaded.spec.note


def test_an_absent_theta_is_said(copy: Path) -> None:
    rewrite(copy, rope_parameters=...)
    with pytest.warns(UserWarning, match="does not state rope_theta"):
        loaded = load_model(copy, device_map="cpu")
    assert (loaded.stated["theta"], loaded.theta) == ("absent", 1e4)


@pytest.mark.parametrize("window", [None, 16])
def test_stated_windows_give_no_warning(
    tiny_checkpoint: Build, window: int | None, recwarn: pytest.WarningsRecorder
) -> None:
    loaded = load_model(tiny_checkpoint(window=window), device_map="cpu")
    assert loaded.stated["window"] == loaded.window == window
    assert not [warning for warning in recwarn if "sliding_window" in str(warning.message)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model.embed_tokens.weight", "nan"),
        ("model.embed_tokens.weight", "inf"),
        ("model.layers.0.self_attn.v_proj.weight", "nan"),
        ("model.layers.0.mlp.gate_proj.weight", "-inf"),
        ("model.layers.1.mlp.down_proj.weight", "inf"),
        ("lm_head.weight", "nan"),
    ],
)
def test_one_number_that_is_not_finite_is_found_on_arrival(copy: Path, name: str, value: str) -> None:
    change(copy, name, lambda tensor: tensor.view(-1)[-7].fill_(float(value)))
    with pytest.raises(CheckpointError, match="not finite"):
        load_model(copy, device_map="cpu")


def test_empty_weights_are_found_on_arrival(copy: Path) -> None:
    change(copy, "lm_head.weight", lambda tensor: tensor.zero_())
    with pytest.raises(CheckpointError, match="same logit"):
        load_model(copy, device_map="cpu")


def test_more_ids_than_rows(copy: Path) -> None:
    rewrite(copy, vocab_size=31_990)
    tensors = load_file(copy / "model.safetensors")
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        tensors[name] = tensors[name][:31_990].contiguous()
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="32000 ids"):
        load_model(copy)


def test_twins_are_checked_against_their_spec(
    tiny_checkpoint: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_ASSETS", str(tmp_path))
    with pytest.raises(CheckpointError, match="workbench twins train"):
        load_model("twin-v0.1")
    shutil.copytree(tiny_checkpoint(window=256), tmp_path / "twins" / "v0.1")
    loaded = load_model("twin-v0.1", device_map="cpu")
    assert (loaded.name, loaded.window, loaded.theta, loaded.trained_context) == ("twin-v0.1", 256, 1e4, 512)
    shutil.copytree(tiny_checkpoint(window=None), tmp_path / "twins" / "v0.2")
    with pytest.raises(CheckpointError, match="states rope_theta 1e4; expected 1e6"):
        load_model("twin-v0.2")
    rewrite(tmp_path / "twins" / "v0.2", rope_parameters={"rope_type": "default", "rope_theta": 1e6})
    assert load_model("twin-v0.2", device_map="cpu").theta == SPECS["twin-v0.2"].theta
    rewrite(tmp_path / "twins" / "v0.2", sliding_window=...)
    with pytest.raises(CheckpointError, match="states sliding_window nothing; expected null"):
        load_model("twin-v0.2")


REFUSED: dict[str, tuple[dict[str, Any], type[WorkbenchError], str]] = {
    "dtype": ({"dtype": "float8"}, DeviceError, "not a dtype for weights"),
    "integer dtype": ({"dtype": torch.int8}, DeviceError, "not a dtype for weights"),
    "device": ({"device_map": "gpu"}, DeviceError, "not a device"),
    "device without memory": ({"device_map": "meta"}, DeviceError, "cannot hold a model"),
    "absent GPU": ({"device_map": "cuda:99"}, DeviceError, "no cuda:99"),
    "quantization": ({"quantization": "2bit"}, DeviceError, "not a quantization"),
    "map to nowhere": ({"device_map": {"": "moon"}}, DeviceError, "cannot be placed"),
    "revision of a folder": ({"revision": "main"}, CheckpointError, "no revisions"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_impossible_options_are_one_sentence(tiny_checkpoint: Build, case: str) -> None:
    options, error, sentence = REFUSED[case]
    with pytest.raises(error, match=sentence) as caught:
        load_model(tiny_checkpoint(window=16), **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("bits", ["8bit", "4bit"])
def test_quantization_without_a_gpu_or_its_package(
    tiny_checkpoint: Build, monkeypatch: pytest.MonkeyPatch, bits: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="needs an NVIDIA GPU"):
        load_model(tiny_checkpoint(window=16), quantization=bits, device_map="cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(DeviceError, match="pip install"):
        load_model(tiny_checkpoint(window=16), quantization=bits, device_map="cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("bits", ["8bit", "4bit"])
def test_quantized_weights_stay_near_the_originals(tiny_checkpoint: Build, bits: str) -> None:
    pytest.importorskip("bitsandbytes")
    folder = tiny_checkpoint(window=16, hidden=256)
    expected = logits(load_model(folder, device_map="cpu").module).flatten()
    loaded = load_model(folder, quantization=bits)
    found = logits(loaded.module, IDS.to(loaded.device)).float().cpu().flatten()
    assert torch.cosine_similarity(found, expected, dim=0) > (0.98 if bits == "8bit" else 0.9)


def test_unknown_names_fail_before_anything_is_read() -> None:
    started = time.process_time()
    with pytest.raises(UnknownModelError):
        load_model("twin-v0.3")
    assert time.process_time() - started < 0.5


def test_weights_read_in_a_blink_show_no_bar(
    tiny_checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    place = str(tiny_checkpoint())
    load_model(place)
    assert "weights" not in capfd.readouterr().err
    monkeypatch.setattr("workbench.models.loading.BLINK", 0)
    load_model(place)
    assert "weights" in capfd.readouterr().err, "the bar of a large model stays"
