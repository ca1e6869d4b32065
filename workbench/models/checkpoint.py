"""A checkpoint folder, read without loading it: its stated config, its tensors' shapes, and what is wrong with it.

Everything that can be said from config.json and the safetensors headers is said here, before gigabytes are read.
Weights are safetensors only: the other formats of PyTorch run code when they are opened.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import MistralConfig, MistralForCausalLM

from workbench.errors import CheckpointError
from workbench.models.architecture import read_theta, read_window, theta_spelling

# Checkpoints up to this size are hashed whole (0.2 s); larger ones by their headers and sizes.
FULL_HASH_BYTES = 256 * 2**20
_INDEX = "model.safetensors.index.json"
_POSITIVE_FIELDS = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "max_position_embeddings",
)


@dataclass(frozen=True)
class Checkpoint:
    """A folder that passed every check short of loading.

    ``stated`` holds what config.json says, before transformers' defaults: ``window`` (tokens, None for null, or
    "absent"), ``theta`` (number or "absent"), ``theta_spelling`` ("rope_parameters", "rope_theta", "both", "absent").
    ``shapes`` and ``dtypes`` are by tensor name. ``weights_hash`` starts with its kind: "sha256:" covers every byte,
    "header-sha256:" only names, shapes and sizes.
    """

    folder: Path
    config: MistralConfig
    stated: dict[str, Any]
    files: tuple[Path, ...]
    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]
    weights_hash: str

    @property
    def stored_dtype(self) -> torch.dtype:
        """The dtype of most weights as stored: bfloat16, float16 or float32."""
        names = [self.dtypes[name] for name in self.shapes if len(self.shapes[name]) == 2]
        most = max(set(names), key=names.count)
        return {"BF16": torch.bfloat16, "F16": torch.float16}.get(most, torch.float32)


def open_checkpoint(folder: str | Path) -> Checkpoint:
    """Reads and checks a checkpoint folder. Raises CheckpointError, with the remedy, for the first thing wrong."""
    folder = Path(folder)
    raw = _read_config(folder)
    config = _mistral_config(folder, raw)
    stated = {
        "window": read_window(raw),
        "theta": read_theta(raw),
        "theta_spelling": theta_spelling(raw),
        "max_position_embeddings": raw.get("max_position_embeddings", "absent"),
    }
    files = _weight_files(folder)
    shapes: dict[str, tuple[int, ...]] = {}
    dtypes: dict[str, str] = {}
    for file in files:
        _read_header(file, shapes, dtypes)
    _check_shapes(folder, config, shapes, dtypes)
    return Checkpoint(folder, config, stated, files, shapes, dtypes, _weights_hash(files))


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise CheckpointError(
            f"{folder} has no config.json", expected="a checkpoint folder as transformers' save_pretrained writes it"
        )
    return read_json_object(path)


def read_json_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; CheckpointError where it is no JSON or no object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError):
        raise CheckpointError(
            f"{path} is not readable JSON", expected="the file as published", remedy="Download it again"
        ) from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds a JSON {type(value).__name__}", expected="a JSON object")
    return value


def _mistral_config(folder: Path, raw: Mapping[str, Any]) -> MistralConfig:
    kind, architectures = raw.get("model_type"), raw.get("architectures") or ["MistralForCausalLM"]
    if kind != "mistral" or "MistralForCausalLM" not in architectures:
        described = f"model_type {kind!r}" if kind != "mistral" else f"architectures {architectures!r}"
        raise CheckpointError(
            f"{folder} is not a Mistral language model: its config.json says {described}",
            expected="model_type 'mistral' and MistralForCausalLM",
            remedy="Choose a checkpoint of Mistral 7B's architecture",
        )
    if raw.get("quantization_config"):
        raise CheckpointError(
            f"{folder} holds weights that are already quantized",
            expected="weights in float32, float16 or bfloat16",
            remedy='Load the original checkpoint with quantization="8bit" or "4bit"',
        )
    read_window(raw), read_theta(raw)
    for name in _POSITIVE_FIELDS:
        value = raw.get(name, 1)
        nullable = name in ("head_dim", "num_key_value_heads")
        if not (value is None and nullable) and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise CheckpointError(
                f"{name} in {folder / 'config.json'} is {value!r}", expected="a positive whole number"
            )
    try:
        config = MistralConfig.from_dict({name: value for name, value in raw.items() if name != "auto_map"})
    except Exception as error:  # the config class validates with several exception types of its own
        raise CheckpointError(
            f"{folder / 'config.json'} is not a valid Mistral config ({first_line(error)})",
            remedy="Compare it with the published one",
        ) from None
    if config.num_attention_heads % config.num_key_value_heads:
        raise CheckpointError(
            f"{config.num_attention_heads} attention heads cannot share {config.num_key_value_heads} key-value heads",
            expected="a whole number of query heads for each key-value head",
            remedy=f"Correct {folder / 'config.json'}",
        )
    return config


def _weight_files(folder: Path) -> tuple[Path, ...]:
    index = folder / _INDEX
    if index.is_file():
        table = read_json_object(index).get("weight_map")
        if not isinstance(table, dict) or not table:
            raise CheckpointError(f"{index} names no weight files", expected="a weight_map", remedy="Download it again")
        names = sorted({str(name) for name in table.values()})
        if any(Path(name).name != name or not name.endswith(".safetensors") for name in names):
            raise CheckpointError(f"{index} names files outside its folder or not safetensors", expected="safetensors")
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise CheckpointError(
                f"{folder} lacks {len(missing)} of the {len(names)} weight files that its index names, "
                f"the first is {missing[0]}",
                remedy="Download the missing files",
            )
        return tuple(folder / name for name in names)
    single = folder / "model.safetensors"
    if single.is_file():
        return (single,)
    if any(folder.glob("*.bin")) or any(folder.glob("*.pth")) or any(folder.glob("*.pt")):
        raise CheckpointError(
            f"{folder} holds weights only as .bin or .pt files, which can run code when opened",
            expected="safetensors",
            remedy="Where you trust the file, load it with transformers and write it with "
            "save_pretrained(folder, safe_serialization=True)",
        )
    others = sorted(path.name for path in folder.glob("*.safetensors"))
    raise CheckpointError(
        f"{folder} has no weights" + (f" under transformers' names (found {others[0]})" if others else ""),
        expected=f"model.safetensors, or {_INDEX} with its files",
        remedy="Download the checkpoint again",
    )


def _read_header(file: Path, shapes: dict[str, tuple[int, ...]], dtypes: dict[str, str]) -> None:
    try:
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - safe_open is not a mapping
                view = tensors.get_slice(name)
                shapes[name], dtypes[name] = tuple(view.get_shape()), view.get_dtype()
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{file} is damaged or cut short ({first_line(error)})",
            expected="a complete safetensors file",
            remedy="Download it again",
        ) from None


def _check_shapes(
    folder: Path, config: MistralConfig, shapes: Mapping[str, tuple[int, ...]], dtypes: Mapping[str, str]
) -> None:
    """Compares the headers with the model that the config describes, built without memory on the meta device."""
    with torch.device("meta"):
        model = MistralForCausalLM(config)
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        expected.pop("lm_head.weight", None)
    missing = [name for name in expected if name not in shapes]
    if missing:
        raise CheckpointError(
            f"The weights in {folder} lack {len(missing)} of {len(expected)} tensors, the first is {missing[0]}",
            expected="every tensor of the model that config.json describes",
            remedy="Check num_hidden_layers and tie_word_embeddings in config.json, or download the checkpoint again",
        )
    for name, shape in expected.items():
        if shapes[name] != shape:
            raise CheckpointError(
                f"{name} in {folder} has the shape {list(shapes[name])}",
                expected=f"{list(shape)} by config.json",
                remedy="config.json and the weights belong to different models: take both from one source",
            )
        if dtypes[name] not in ("F32", "F16", "BF16"):
            raise CheckpointError(
                f"{name} in {folder} is stored as {dtypes[name]}",
                expected="float32, float16 or bfloat16",
                remedy='Load the original checkpoint, with quantization="8bit" or "4bit" where memory is short',
            )


def _weights_hash(files: tuple[Path, ...]) -> str:
    """ "sha256:..." over all bytes of a small checkpoint, "header-sha256:..." over headers and sizes of a large one."""
    whole = sum(file.stat().st_size for file in files) <= FULL_HASH_BYTES
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as stream:
            if whole:
                while block := stream.read(2**22):
                    digest.update(block)
            else:
                length = stream.read(8)  # safetensors: little-endian length of the JSON header, then the header
                digest.update(length + stream.read(int.from_bytes(length, "little")))
    return f"{'sha256' if whole else 'header-sha256'}:{digest.hexdigest()}"


def first_line(error: BaseException) -> str:
    """The first line of another library's error, short enough to stand inside a sentence."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]
