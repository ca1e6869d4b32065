"""Loading a model: from a name to a checked LoadedModel, or one sentence that says what is wrong."""

from __future__ import annotations

import tempfile
import threading
import warnings
import weakref
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from transformers import BitsAndBytesConfig, MistralForCausalLM

from workbench.errors import CheckpointError, DeviceError
from workbench.models import hub
from workbench.models.architecture import ABSENT, DEFAULT_THETA, DEFAULT_WINDOW, read_theta, read_window, theta_text
from workbench.models.bars import no_bars
from workbench.models.checkpoint import Checkpoint, first_line, open_checkpoint
from workbench.models.loaded import LoadedModel
from workbench.models.placement import check_quantization, computes_on_cpu, read_device, read_dtype
from workbench.models.registry import ModelSpec, assets_folder, resolve
from workbench.models.tokenizer import load_tokenizer

BLINK = 2**30
"""Bytes of weights under which reading them shows no progress bar."""
# While it builds a model, transformers replaces PreTrainedModel.tie_weights and torch's default dtype for the whole
# process: two loads at once leave a model untied, or every later one.
_ONE_AT_A_TIME = threading.Lock()


def load_model(
    name: str | Path,
    *,
    revision: str | None = None,
    dtype: str | torch.dtype = "auto",
    device_map: str | Mapping[str, Any] | None = None,
    quantization: str | None = None,
    local_files_only: bool | None = None,
    max_memory: Mapping[int | str, int | str] | None = None,
    offload_folder: str | Path | None = None,
) -> LoadedModel:
    """The named model, loaded and checked.

    ``name``: a registered name, a hub id (downloaded when it is not in the cache), or a checkpoint folder.
    ``dtype``: "auto" is float32 on a CPU and the stored dtype elsewhere; or "float32", "bfloat16", "float16".
    ``device_map``: None puts everything on the GPU where there is one, else on the CPU; a device such as "cpu" or
    "cuda:1"; "auto", "balanced", "sequential" or a dictionary let accelerate place the layers, with those that do not
    fit on "cpu" or "disk" (``max_memory`` bounds each device, ``offload_folder`` names the place on disk; by default a
    temporary folder that goes with the model). ``quantization``: "8bit" or "4bit" by bitsandbytes, on an NVIDIA GPU.

    Raises UnknownModelError, OfflineError, CheckpointError or DeviceError, each with the remedy.
    """
    spec = resolve(name)
    torch_dtype = read_dtype(dtype)
    check_quantization(quantization)
    device = read_device(device_map)
    folder, commit = _locate(spec, revision, local_files_only)
    checkpoint = open_checkpoint(folder)
    _check_against_spec(spec, checkpoint, revision)
    tokenizer = load_tokenizer(folder)
    if tokenizer.vocab_size > checkpoint.config.vocab_size:
        raise CheckpointError(
            f"The tokenizer in {folder} has {tokenizer.vocab_size} ids",
            expected=f"at most one for each of the embedding's {checkpoint.config.vocab_size} rows",
            remedy="Take the tokenizer and the weights from the same source",
        )
    spec = _noted(spec, checkpoint)
    if torch_dtype is None:
        torch_dtype = torch.float32 if computes_on_cpu(device, device_map) else checkpoint.stored_dtype
    module = _load_module(checkpoint, torch_dtype, device, device_map, quantization, max_memory, offload_folder)
    loaded = LoadedModel(
        name=spec.name,
        spec=spec,
        module=module,
        tokenizer=tokenizer,
        revision=commit,
        weights_hash=checkpoint.weights_hash,
        dtype=torch_dtype,
        device=_input_device(module),
        quantization=quantization,
        stated=checkpoint.stated,
    )
    check_on_arrival(loaded)
    return loaded


@torch.no_grad()
def check_on_arrival(loaded: LoadedModel) -> None:
    """Raises CheckpointError where the weights cannot be a working model.

    One forward over a few tokens must give finite logits that differ between tokens: a NaN or infinity in any layer
    reaches them. The embedding, of which a forward reads only some rows, is searched whole. Tied embeddings must be
    one tensor.
    """
    config, module = loaded.module.config, loaded.module
    embedding = module.get_input_embeddings().weight
    head = module.get_output_embeddings().weight
    damaged = CheckpointError(
        f"The weights of {loaded.name} hold numbers that are not finite (NaN or infinity)",
        expected="finite weights",
        remedy="Download or train the checkpoint again; for float16, try dtype='bfloat16' or 'float32'",
    )
    if embedding.device.type != "meta" and not torch.isfinite(embedding).all():
        raise damaged
    if config.tie_word_embeddings and embedding.device.type != "meta" and head.data_ptr() != embedding.data_ptr():
        raise CheckpointError(
            f"config.json of {loaded.name} says that embedding and unembedding are tied, but they are two tensors",
            remedy="Set tie_word_embeddings to false in config.json",
        )
    step = max(1, loaded.vocab_size // 8)
    ids = torch.arange(1, loaded.vocab_size, step, device=loaded.device)[None, :8]  # (1, token)
    logits = module(input_ids=ids, use_cache=False).logits.float()
    if not torch.isfinite(logits).all():
        raise damaged
    if bool((logits.amax(-1) == logits.amin(-1)).all()):
        raise CheckpointError(
            f"{loaded.name} gives every token the same logit: its weights are empty",
            expected="trained or randomly initialised weights",
            remedy="Download or train the checkpoint again",
        )


def _locate(spec: ModelSpec, revision: str | None, local_files_only: bool | None) -> tuple[Path, str | None]:
    """The checkpoint's folder and its hub commit (None for folders)."""
    if spec.kind == "hub":
        folder = hub.fetch(spec, revision=revision, local_files_only=local_files_only)
        return folder, folder.name
    if revision is not None:
        raise CheckpointError(
            f"{spec.name} is a folder and has no revisions, but revision {revision!r} was asked for",
            remedy="Leave out revision",
        )
    folder = assets_folder() / spec.location if spec.kind == "twin" else Path(spec.location)
    if spec.kind == "twin" and not (folder / "config.json").is_file():
        raise CheckpointError(
            f"The checkpoint of {spec.name} is not in {folder}",
            remedy="Get it with the repository, or train it with: workbench twins train",
        )
    return folder, None


def _check_against_spec(spec: ModelSpec, checkpoint: Checkpoint, revision: str | None) -> None:
    """A registered model must state the window and theta it is known for: a wrong one gives plausible nonsense."""
    if not spec.checked:
        return
    found = {"sliding_window": checkpoint.stated["window"], "rope_theta": checkpoint.stated["theta"]}
    known = {"sliding_window": spec.window, "rope_theta": spec.theta}
    for name, value in known.items():
        if found[name] != value:
            raise CheckpointError(
                f"config.json of {spec.name} in {checkpoint.folder} states {name} {_shown(found[name])}",
                expected=f"{_shown(value)}, as published",
                remedy="Take the checkpoint again from its source"
                + (f", at revision {spec.revision}" if spec.revision and revision else ""),
            )


def _noted(spec: ModelSpec, checkpoint: Checkpoint) -> ModelSpec:
    """The spec with what the config leaves unsaid added to its note; a warning for each such silence."""
    notes = [spec.note] if spec.note else []
    if checkpoint.stated["window"] == ABSENT:
        notes.append(
            f"config.json does not state sliding_window (absent, not null): transformers' default of {DEFAULT_WINDOW} "
            "tokens is in force. Write sliding_window into it, as a number or null, to say what is meant."
        )
    if checkpoint.stated["theta"] == ABSENT:
        notes.append(
            f"config.json does not state rope_theta: transformers' default of {theta_text(DEFAULT_THETA)} is in force. "
            "Write rope_theta into it to say what is meant."
        )
    for note in notes[bool(spec.note) :]:
        warnings.warn(f"{checkpoint.folder}: {note}", UserWarning, stacklevel=3)
    return replace(
        spec,
        note=" ".join(notes),
        window=read_window(checkpoint.config) if not spec.checked else spec.window,  # type: ignore[arg-type]
        theta=float(read_theta(checkpoint.config)),
    )


def _load_module(
    checkpoint: Checkpoint,
    dtype: torch.dtype,
    device: torch.device | None,
    device_map: str | Mapping[str, Any] | None,
    quantization: str | None,
    max_memory: Mapping[int | str, int | str] | None,
    offload_folder: str | Path | None,
) -> MistralForCausalLM:
    placement: Any = {"": device} if device is not None else device_map
    if isinstance(placement, Mapping):
        placement = dict(placement)
    temporary = None
    if device is None and offload_folder is None:
        temporary = tempfile.TemporaryDirectory(prefix="workbench-offload-")
        offload_folder = temporary.name
    options: dict[str, Any] = {}
    if quantization:
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_8bit=quantization == "8bit",
            load_in_4bit=quantization == "4bit",
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=dtype,
        )
    if device is None:
        options |= {"offload_folder": str(offload_folder), "max_memory": dict(max_memory) if max_memory else None}
    try:
        small = sum(file.stat().st_size for file in checkpoint.files) < BLINK
        with _ONE_AT_A_TIME, no_bars() if small else nullcontext():
            module = MistralForCausalLM.from_pretrained(
                str(checkpoint.folder),
                config=checkpoint.config,
                dtype=dtype,
                device_map=placement,
                attn_implementation="sdpa",
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                **options,
            )
    except torch.OutOfMemoryError:
        raise DeviceError(
            f"{checkpoint.folder} does not fit into the memory of {device or device_map}",
            remedy='Use device_map="auto", which keeps what does not fit on the CPU or disk, or quantization="4bit"',
        ) from None
    except (ValueError, KeyError, RuntimeError, AssertionError) as error:
        if device is not None and not quantization:
            raise
        raise DeviceError(
            f"{checkpoint.folder} cannot be placed as device_map={device_map!r} asks ({first_line(error)})",
            expected='"auto", "balanced", "sequential", a device, or a dictionary of modules and devices',
            remedy='Try device_map="auto"',
        ) from error
    module.eval()
    if temporary is not None:
        weakref.finalize(module, temporary.cleanup)
    return cast(MistralForCausalLM, module)


def _input_device(module: MistralForCausalLM) -> torch.device:
    """Where token ids go: the embedding's device, or for offloaded weights the device that accelerate computes on."""
    embedding = module.get_input_embeddings()
    if embedding.weight.device.type != "meta":
        return cast(torch.device, embedding.weight.device)
    hook = getattr(embedding, "_hf_hook", None) or getattr(module, "_hf_hook", None)
    return torch.device(getattr(hook, "execution_device", None) or "cpu")


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    return "nothing" if value == ABSENT else theta_text(value) if isinstance(value, float) else str(value)
