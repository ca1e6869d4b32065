"""Tuned lens: a learned affine translator a layer, after which the final norm and the unembedding read it better.

Source: Belrose et al., "Eliciting Latent Predictions from Transformers with the Tuned Lens" (2023), section 3: the
stream h after a layer is read as ``h + A h + b``. The last layer needs none: it is what the model itself reads.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn.functional import linear

from workbench.errors import CaptureError, FileFormatError
from workbench.models.given import path_given
from workbench.models.tensor_file import write_tensor_file

KEY = "mistral-workbench.tuned-lens"
SCHEMA = 1
LARGEST_FILE = 8 * 1024**3
LARGEST_RECORD = 2**20
_RETRAIN = "Train one for this model: workbench lens train --model {name} --out FILE"


class Origin(Protocol):
    """What tells whose weights a module holds; a `LoadedModel` does."""

    @property
    def name(self) -> str: ...
    @property
    def weights_hash(self) -> str: ...
    @property
    def revision(self) -> str | None: ...


class TunedLensRecord(BaseModel):
    """Where translators come from. ``layers`` counts the decoder layers of the model: translator i reads the stream
    after i of them, 0 to layers - 1. ``tokens`` were read in ``steps``. ``loss_before`` (plain lens) and
    ``loss_after`` are the mean KL divergence in nats from each of those readings to the model's output on text held
    out. ``source`` says what the text was."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = SCHEMA
    model: str = Field(max_length=1000)
    weights: str = Field(max_length=200)
    revision: str | None = Field(default=None, max_length=200)
    width: int = Field(ge=1, le=2**17)
    layers: int = Field(ge=1, le=4096)
    tokens: int = Field(default=0, ge=0)
    steps: int = Field(default=0, ge=0)
    seed: int = 0
    source: dict[str, str] = Field(default_factory=dict, max_length=16)
    loss_before: list[float] = Field(default_factory=list, max_length=4096)
    loss_after: list[float] = Field(default_factory=list, max_length=4096)
    created: str = Field(default="", max_length=100)


class TunedLens:
    """The translators of one model: ``weight`` (layers, width, width) and ``bias`` (layers, width), float32.

    Several threads may use one at once. ``TunedLens.identity(model)`` changes nothing: the plain logit lens.
    """

    def __init__(self, record: TunedLensRecord, weight: Tensor, bias: Tensor) -> None:
        expected = (record.layers, record.width, record.width)
        if tuple(weight.shape) != expected or tuple(bias.shape) != expected[:2]:
            raise CaptureError(
                f"The translators are {tuple(weight.shape)} and {tuple(bias.shape)}",
                expected=f"{expected} and {expected[:2]}, as their record says",
            )
        self.record, self.weight, self.bias = record, weight.detach().float().cpu(), bias.detach().float().cpu()
        self._placed: dict[tuple[torch.device, torch.dtype], tuple[Tensor, Tensor]] = {}

    def __repr__(self) -> str:
        trained = f"{self.record.tokens} tokens" if self.record.steps else "untrained"
        return f"TunedLens({self.record.model}: {self.record.layers} translators of {self.record.width}, {trained})"

    @classmethod
    def identity(cls, model: Any) -> TunedLens:
        """Untrained translators for ``model`` (name, weights_hash, revision, layers, hidden)."""
        record = TunedLensRecord(
            model=model.name, weights=model.weights_hash, revision=model.revision, width=model.hidden,
            layers=model.layers,
        )  # fmt: skip
        size = (model.layers, model.hidden, model.hidden)
        return cls(record, torch.zeros(size), torch.zeros(size[:2]))

    @cached_property
    def sha256(self) -> str:
        """Hash over record, weights and biases: two lenses with the same one read the same."""
        digest = hashlib.sha256(self.record.model_dump_json().encode())
        for part in (self.weight, self.bias):
            digest.update(part.contiguous().numpy().data)
        return digest.hexdigest()

    def settings(self) -> dict[str, Any]:
        """What an inspection's provenance says of the translators that read it."""
        told = self.record.model_dump(include={"model", "weights", "tokens", "steps", "seed", "source"})
        return {"sha256": self.sha256} | told

    def check(self, origin: Origin) -> None:
        """CaptureError when these translators were trained for other weights than those of ``origin``."""
        ours, theirs = self.record, origin.weights_hash
        same = ours.weights == theirs
        if same and theirs.startswith("header-"):
            # Such a hash covers shapes only, which other weights share: the revision or the name must agree as well.
            name = (getattr(origin, "base", None) or origin).name  # a switched model has the weights of its base
            same = ours.revision == origin.revision if ours.revision or origin.revision else ours.model == name
        if not same:
            raise CaptureError(
                f"The tuned lens was trained for {ours.model} with weights {_short(ours.weights)}",
                expected=f"one for {origin.name} with weights {_short(theirs)}",
                remedy=_RETRAIN.format(name=origin.name),
            )

    def translate(self, residual: Tensor, layers: Sequence[int]) -> Tensor:
        """``residual`` (layers, positions, width) with each layer's translator applied, in its own dtype; ``layers``
        says which ones these are. The model's output, layer number ``record.layers``, stays as it is."""
        weight, bias = self._on(residual.device, residual.dtype)
        rows = [
            rows if layer == self.record.layers else rows + linear(rows, weight[layer], bias[layer])
            for layer, rows in zip(layers, residual, strict=True)
        ]
        return torch.stack(rows)

    def _on(self, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        if (device, dtype) not in self._placed:
            self._placed[device, dtype] = (self.weight.to(device, dtype), self.bias.to(device, dtype))
        return self._placed[device, dtype]

    def save(self, path: str | Path) -> Path:
        """Write record and translators to one safetensors file; FileFormatError when it cannot be written."""
        arrays = {"weight": self.weight.numpy(), "bias": self.bias.numpy()}
        return write_tensor_file(path, arrays, {KEY: self.record.model_dump_json()})

    @classmethod
    def load(cls, path: str | Path) -> TunedLens:
        """The lens in a file that `save` wrote; FileFormatError when it is missing, damaged, too large or none."""
        path = path_given(path)
        if not path.is_file():
            raise FileFormatError(
                f"There is no file {path.name}", remedy="Check the path, or write one with workbench lens train"
            )
        if path.stat().st_size > LARGEST_FILE:
            raise FileFormatError(f"{path.name} is too large", expected=f"at most {LARGEST_FILE // 1024**3} GiB")
        again = "Copy the file again, or train it again with workbench lens train"
        try:
            with safe_open(path, framework="pt") as file:
                text = (file.metadata() or {}).get(KEY)
                if text is None or len(text) > LARGEST_RECORD:
                    raise FileFormatError(
                        f"{path.name} is a safetensors file but no tuned lens",
                        expected="a file written by workbench lens train",
                    )
                record = _record(text, path.name)
                size = [record.layers, record.width]
                expected = {"weight": [*size, record.width], "bias": size}
                views = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - safe_open is no mapping
                found = {name: view.get_shape() for name, view in views.items()}
                if found != expected or any(view.get_dtype() != "F32" for view in views.values()):
                    raise FileFormatError(f"{path.name} contradicts its own record", remedy=again)
                weight, bias = file.get_tensor("weight"), file.get_tensor("bias")
        except FileFormatError:
            raise
        except (SafetensorError, OSError, ValueError, TypeError, KeyError, RuntimeError):
            raise FileFormatError(f"{path.name} is truncated, damaged or no tuned lens", remedy=again) from None
        if not (torch.isfinite(weight).all() and torch.isfinite(bias).all()):
            raise FileFormatError(f"{path.name} holds numbers that are not finite", remedy=again)
        return cls(record, weight, bias)


def _record(text: str, name: str) -> TunedLensRecord:
    try:
        fields = json.loads(text)
        version = fields.get("schema_version") if isinstance(fields, dict) else None
        if version != SCHEMA:
            raise FileFormatError(
                f"{name} has format version {repr(version)[:40]}", expected=f"version {SCHEMA}",
                remedy="Read it with the version of the workbench that wrote it",
            )  # fmt: skip
        json.dumps(fields, ensure_ascii=False, allow_nan=False).encode()  # a lone surrogate can be shown nowhere
        record = TunedLensRecord.model_validate(fields)
    except FileFormatError:
        raise
    except (ValueError, RecursionError):
        raise FileFormatError(f"The record of {name} is damaged", remedy="Copy the file again") from None
    if any(len(losses) not in (0, record.layers) for losses in (record.loss_before, record.loss_after)):
        raise FileFormatError(f"{name} contradicts its own record", remedy="Copy the file again")
    return record


def _short(weights: str) -> str:
    kind, _, digest = weights.rpartition(":")
    return f"{kind}:{digest[:12]}" if kind else digest[:12]
