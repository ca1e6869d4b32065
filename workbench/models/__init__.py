"""Models: their names, tokenizers and weights, checked when they are loaded."""

from workbench.models.architecture import ABSENT, read_theta, read_window
from workbench.models.checkpoint import Checkpoint, open_checkpoint
from workbench.models.loaded import LoadedModel
from workbench.models.loading import check_on_arrival, load_model
from workbench.models.registry import SPECS, ModelSpec, assets_folder, resolve
from workbench.models.tokenizer import TextStream, Tokenizer, load_tokenizer, save_v1_tokenizer, v1_tokenizer

__all__ = [
    "ABSENT",
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
    "v1_tokenizer",
]
