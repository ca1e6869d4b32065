"""Models: their names, tokenizers and weights, checked when they are loaded.

Names are imported when first used: looking up a model's name needs neither torch nor transformers.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.models.architecture import ABSENT, read_theta, read_window
    from workbench.models.checkpoint import Checkpoint, open_checkpoint
    from workbench.models.loaded import LoadedModel
    from workbench.models.loading import check_on_arrival, load_model
    from workbench.models.registry import SPECS, ModelSpec, assets_folder, resolve
    from workbench.models.switches import KEEP, switched
    from workbench.models.tokenizer import TextStream, Tokenizer, load_tokenizer, save_v1_tokenizer, v1_tokenizer

_HOMES = {
    "architecture": ("ABSENT", "read_theta", "read_window"),
    "checkpoint": ("Checkpoint", "open_checkpoint"),
    "loaded": ("LoadedModel",),
    "loading": ("check_on_arrival", "load_model"),
    "registry": ("SPECS", "ModelSpec", "assets_folder", "resolve"),
    "switches": ("KEEP", "switched"),
    "tokenizer": ("TextStream", "Tokenizer", "load_tokenizer", "save_v1_tokenizer", "v1_tokenizer"),
}

__all__ = [
    "ABSENT",
    "KEEP",
    "SPECS",
    "Checkpoint",
    "LoadedModel",
    "ModelSpec",
    "TextStream",
    "Tokenizer",
    "assets_folder",
    "check_on_arrival",
    "load_model",
    "load_tokenizer",
    "open_checkpoint",
    "read_theta",
    "read_window",
    "resolve",
    "save_v1_tokenizer",
    "switched",
    "v1_tokenizer",
]


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"workbench.models.{module}"), name)
    raise AttributeError(f"module 'workbench.models' has no attribute {name!r}")
