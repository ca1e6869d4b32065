"""The numbers of a Mistral-architecture model that decide what it needs, known without its weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import CheckpointError, UnknownModelError
from workbench.models.architecture import ABSENT, DEFAULT_WINDOW, read_window
from workbench.models.checkpoint import read_json_object
from workbench.models.given import models_given
from workbench.models.registry import ModelSpec, assets_folder, resolve

_MOST = 2**31 - 1


@dataclass(frozen=True)
class ModelShape:
    """Counts of a config: ``window`` in tokens (None: full attention), ``context`` the most tokens of a text."""

    name: str
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    intermediate: int
    vocab_size: int
    window: int | None
    context: int
    tied: bool = False

    @classmethod
    def of(cls, model: Any) -> ModelShape:
        """The shape of a loaded model, of a name, of a folder with a config.json, or a shape itself. Raises
        UnknownModelError for a hub id, whose config is not here, and CheckpointError for an unreadable config."""
        if isinstance(model, cls):
            return model
        if isinstance(model, str | Path):
            return _named(resolve(str(model)))
        models_given(model)
        return _from_config(model.name, vars(model.module.config) | {"sliding_window": model.window})

    @classmethod
    def of_config(cls, name: str, config: Any) -> ModelShape:
        """The shape that the object of a config.json describes; an absent window is transformers' default. Raises
        CheckpointError for another architecture and for missing or impossible numbers."""
        if not isinstance(config, dict):
            raise CheckpointError(f"The config is a JSON {type(config).__name__}", expected="a JSON object")
        if config.get("model_type", "mistral") != "mistral":
            raise CheckpointError(
                f"The config's model_type is {str(config['model_type'])[:40]!r}", expected="'mistral'"
            )
        window = read_window(config)
        return _from_config(name, config | {"sliding_window": DEFAULT_WINDOW if window == ABSENT else window})

    @property
    def matrices(self) -> dict[str, int]:
        """Weights of one layer's matrices by name."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return {
            "q_proj": self.hidden * queries, "k_proj": self.hidden * keys, "v_proj": self.hidden * keys,
            "o_proj": queries * self.hidden, "gate_proj": self.hidden * self.intermediate,
            "up_proj": self.hidden * self.intermediate, "down_proj": self.intermediate * self.hidden,
        }  # fmt: skip

    @property
    def embedding(self) -> int:
        """Weights of the token embedding; the unembedding has as many, and of its own unless ``tied``."""
        return self.vocab_size * self.hidden

    @property
    def norms(self) -> int:
        return (2 * self.layers + 1) * self.hidden

    @property
    def parameters(self) -> int:
        """All weights."""
        return self.layers * sum(self.matrices.values()) + self.embedding * (2 - self.tied) + self.norms

    @property
    def tensors(self) -> int:
        """Tensors of a safetensors checkpoint: nine a layer, embedding, last norm, and the unembedding if its own."""
        return 9 * self.layers + 2 + (not self.tied)

    @property
    def groups(self) -> dict[str, int]:
        """Weights by part: attention, mlp, embedding, unembedding (0 when tied), norms; together all `parameters`."""
        attention = sum(self.matrices[name] for name in ("q_proj", "k_proj", "v_proj", "o_proj"))
        return {
            "attention": self.layers * attention,
            "mlp": self.layers * (sum(self.matrices.values()) - attention),
            "embedding": self.embedding,
            "unembedding": 0 if self.tied else self.embedding,
            "norms": self.norms,
        }

    @property
    def reach(self) -> int | None:
        """Tokens from which information can reach a position through all layers: L (W - 1) + 1, each layer handing it
        on by W - 1; None without a window. v0.1: 32 x 4095 + 1 = 131 041."""
        return None if self.window is None else self.layers * (self.window - 1) + 1


def _named(spec: ModelSpec) -> ModelShape:
    if spec.kind == "hub":
        if not spec.checked:
            raise UnknownModelError(
                f"The shape of {spec.name} is not known without its files", expected="v0.1, v0.2, a twin or a folder",
                remedy="Download its config.json and name the folder",
            )  # fmt: skip
        # Both 7B checkpoints have this shape; the window alone tells them apart here.
        return ModelShape(spec.name, 32, 32, 8, 128, 4096, 14336, 32000, spec.window, 32768)
    folder = assets_folder() / spec.location if spec.kind == "twin" else Path(spec.location)
    return ModelShape.of_config(spec.name, read_json_object(folder / "config.json"))


def _from_config(name: str, config: dict[str, Any]) -> ModelShape:
    heads = _count(config, "num_attention_heads")
    hidden = _count(config, "hidden_size")
    return ModelShape(
        name, _count(config, "num_hidden_layers"), heads, _count(config, "num_key_value_heads", heads),
        _count(config, "head_dim", hidden // heads), hidden, _count(config, "intermediate_size"),
        _count(config, "vocab_size"), config["sliding_window"], _count(config, "max_position_embeddings"),
        bool(config.get("tie_word_embeddings")),
    )  # fmt: skip


def _count(config: dict[str, Any], name: str, default: int | None = None) -> int:
    value = config.get(name)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST:
        said = "absent" if value is None else repr(value)[:40]
        raise CheckpointError(f"{name} in the config is {said}", expected=f"a whole number from 1 to {_MOST:,}")
    return value
