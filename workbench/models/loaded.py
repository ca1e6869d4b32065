"""A model ready to run, with the facts that every other room reads from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import torch

from workbench.models.architecture import read_theta, read_window, theta_text
from workbench.models.registry import ModelSpec
from workbench.models.tokenizer import Tokenizer

if TYPE_CHECKING:
    from transformers import MistralForCausalLM


@dataclass
class LoadedModel:
    """A model ready to run: its module (eval mode, SDPA attention), its tokenizer, and where both come from.

    ``revision`` is the hub commit, None for folders. ``weights_hash`` starts with its kind (``Checkpoint``).
    ``stated`` is what config.json says before defaults; ``window`` and ``theta`` are what the module computes with.
    ``switches`` names what was switched after loading, "window" or "theta" with the new value (`models.switches`), and
    ``base`` is then the model that was loaded, whose weights this one computes with; else {} and None.
    """

    name: str
    spec: ModelSpec
    module: MistralForCausalLM
    tokenizer: Tokenizer
    revision: str | None
    weights_hash: str
    dtype: torch.dtype
    device: torch.device
    quantization: str | None = None
    switches: dict[str, Any] = field(default_factory=dict)
    stated: dict[str, Any] = field(default_factory=dict)
    base: LoadedModel | None = None

    def __repr__(self) -> str:
        window = "full attention" if self.window is None else f"window {self.window}"
        switches = f"{window}, theta {theta_text(self.theta)}"
        size = f"{self.layers} layers, {self.heads} heads ({self.kv_heads} key-value)"
        precision = self.quantization or str(self.dtype).removeprefix("torch.")
        return f"LoadedModel({self.name}: {size}, {switches}, {precision} on {self.device})"

    @property
    def layers(self) -> int:
        """Number of decoder layers."""
        return int(self.module.config.num_hidden_layers)

    @property
    def heads(self) -> int:
        """Number of query heads in a layer."""
        return int(self.module.config.num_attention_heads)

    @property
    def kv_heads(self) -> int:
        """Number of key-value heads in a layer; each serves heads / kv_heads query heads."""
        return int(self.module.config.num_key_value_heads)

    @property
    def head_dim(self) -> int:
        """Numbers in one head's query, key or value."""
        return int(self.module.config.head_dim)

    @property
    def hidden(self) -> int:
        """Numbers in the residual stream at one position."""
        return int(self.module.config.hidden_size)

    @property
    def vocab_size(self) -> int:
        """Rows of the embedding, which may be more than the tokenizer has ids."""
        return int(self.module.config.vocab_size)

    @property
    def window(self) -> int | None:
        """Keys that a query sees, itself included; None for full attention."""
        return cast("int | None", read_window(self.module.config))

    @property
    def theta(self) -> float:
        """RoPE base that the module computes with."""
        return float(read_theta(self.module.config))

    @property
    def context(self) -> int:
        """Positions that the config allows (max_position_embeddings), in tokens."""
        return int(self.module.config.max_position_embeddings)

    @property
    def trained_context(self) -> int | None:
        """Tokens of the longest training sequences, None where nobody stated them."""
        return self.spec.trained_context

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes that one position adds to the KV cache over all layers, in the model's dtype."""
        return 2 * self.layers * self.kv_heads * self.head_dim * self.dtype.itemsize
