"""Fixtures for every room: small checkpoints with random weights, built by transformers, independent of the twins."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import MistralConfig, MistralForCausalLM

from workbench.models import save_v1_tokenizer


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function that gives the folder of a random-weight checkpoint with the v1 tokenizer.

    The same arguments give the same folder. Weights are drawn wide (std 0.2) so that attention is far from uniform and
    differences are visible.
    """
    built: dict[tuple[object, ...], Path] = {}
    tokenizer = tmp_path_factory.mktemp("tokenizer")

    def build(
        *,
        layers: int = 2,
        heads: int = 4,
        kv_heads: int = 1,
        window: int | None = None,
        theta: float = 1e4,
        hidden: int = 64,
        context: int = 2048,
        tied: bool = False,
        dtype: torch.dtype = torch.float32,
        seed: int = 0,
    ) -> Path:
        key = (layers, heads, kv_heads, window, theta, hidden, context, tied, dtype, seed)
        if key not in built:
            config = MistralConfig(
                vocab_size=32000,
                hidden_size=hidden,
                intermediate_size=2 * hidden,
                num_hidden_layers=layers,
                num_attention_heads=heads,
                num_key_value_heads=kv_heads,
                max_position_embeddings=context,
                sliding_window=window,
                rope_parameters={"rope_type": "default", "rope_theta": theta},
                rms_norm_eps=1e-5,
                tie_word_embeddings=tied,
                initializer_range=0.2,
            )
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                module = MistralForCausalLM(config).to(dtype)
            folder = tmp_path_factory.mktemp("checkpoint")
            module.save_pretrained(folder)
            if not built:
                save_v1_tokenizer(tokenizer)
            shutil.copytree(tokenizer, folder, dirs_exist_ok=True)
            built[key] = folder
        return built[key]

    return build
