"""The numbers of a Mistral-architecture model that decide what it needs, known without its weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import UnknownModelError
from workbench.models.architecture import read_window
from workbench.models.checkpoint import read_json_object
from workbench.models.registry import ModelSpec, assets_folder, resolve


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
        return _from_config(model.name, vars(model.module.config) | {"sliding_window": model.window})

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
    raw = read_json_object(folder / "config.json")
    window = read_window(raw)
    return _from_config(spec.name, raw | {"sliding_window": 4096 if window == "absent" else window})


def _from_config(name: str, config: dict[str, Any]) -> ModelShape:
    heads = config["num_attention_heads"]
    return ModelShape(
        name, config["num_hidden_layers"], heads, config.get("num_key_value_heads") or heads,
        config.get("head_dim") or config["hidden_size"] // heads, config["hidden_size"], config["intermediate_size"],
        config["vocab_size"], config["sliding_window"], config["max_position_embeddings"],
        bool(config.get("tie_word_embeddings")),
    )  # fmt: skip
