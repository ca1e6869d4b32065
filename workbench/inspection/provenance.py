"""Where a number comes from: model, weights, switches, tokenizer, device, versions and settings of every result."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from workbench.capture.tuned_lens import TunedLens
from workbench.chat.encoding import EncodedPrompt
from workbench.models.loading import LoadedModel

PACKAGES = ("mistral-workbench", "torch", "transformers", "accelerate", "mistral-common", "numpy")


def describe_model(model: LoadedModel) -> dict[str, Any]:
    """The model's numbers that views and captions need."""
    return {
        "name": model.name,
        "layers": model.layers,
        "heads": model.heads,
        "kv_heads": model.kv_heads,
        "head_dim": model.head_dim,
        "hidden": model.hidden,
        "vocab_size": model.vocab_size,
        "window": model.window,
        "theta": model.theta,
        "context": model.context,
        "trained_context": model.trained_context,
        "kv_bytes_per_token": model.kv_bytes_per_token,
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": str(model.device),
        "switches": dict(model.switches),
    }


def provenance(model: LoadedModel, ids: Sequence[int], settings: dict[str, Any]) -> dict[str, Any]:
    """Everything needed to run the same again; ``ids`` are the prompt's, ``settings`` how it was run."""
    return {
        "model": model.name,
        "location": model.spec.location if model.spec.kind != "folder" else "local folder",
        "revision": model.revision,
        "weights": model.weights_hash,
        "switches": dict(model.switches),
        "switched_from": None if model.base is None else model.base.name,
        "quantization": model.quantization,
        "tokenizer": model.tokenizer.sha256,
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": str(model.device),
        "prompt_sha256": hashlib.sha256(",".join(map(str, ids)).encode()).hexdigest(),
        "settings": settings,
        "versions": {name: _version(name) for name in PACKAGES} | {"python": platform.python_version()},
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def as_said(prompt: EncodedPrompt) -> str | list[dict[str, str]] | None:
    """What ``model.encode`` made the prompt of: a text, or messages; None where that is not known."""
    if prompt.source is None or isinstance(prompt.source, str):
        return prompt.source
    return [{"role": role, "content": content} for role, content in prompt.source]


def as_settings(value: Any) -> Any:
    """A settings dataclass as JSON-able data; slices as text; a tuned lens as where it comes from."""
    if isinstance(value, TunedLens):
        return value.settings()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_settings(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, slice):
        return f"slice({value.start}, {value.stop}, {value.step})"
    if isinstance(value, list | tuple | range):
        return [as_settings(item) for item in value]
    return value


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
