"""What the benchmarks share: a model of random weights, a prompt, a plain forward, and ratios of processor time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import DynamicCache, MistralConfig, MistralForCausalLM

import workbench as wb
from workbench.chat.encoding import EncodedPrompt
from workbench.model import Model
from workbench.models import save_v1_tokenizer


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds of this process spent in ``work``."""
    began = time.process_time()
    work()
    return time.process_time() - began


def ratio(one: Callable[[], object], other: Callable[[], object], rounds: int) -> tuple[float, float, float]:
    """Median processor seconds of ``one``, of ``other``, and the median of their ratios round by round."""
    one(), other()  # warm
    pairs = [(seconds(one), seconds(other)) for _ in range(rounds)]
    return (
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(a / b for a, b in pairs),
    )


def prompt_of(model: Model, tokens: int) -> EncodedPrompt:
    ids = [1, *torch.randint(300, 31000, (tokens - 1,), generator=torch.Generator().manual_seed(0)).tolist()]
    n = len(ids)
    return EncodedPrompt(tuple(ids), ("",) * n, ("text",) * n, (None,) * n, (0,) * n, "", model.tokenizer.sha256)


EVERYTHING = wb.Capture(wb.AttentionCapture(maximum=True), wb.LensCapture(blocks=64))
"""Last row, mean and largest maps, all head statistics, the lens of the last token and of 64 blocks of the prompt, and
the cache."""

TINY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16}  # fmt: skip
SMALL = {"hidden_size": 512, "intermediate_size": 1792, "num_hidden_layers": 8, "num_attention_heads": 8,
         "num_key_value_heads": 2, "head_dim": 64}  # fmt: skip
SEVEN_B = {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 2, "num_attention_heads": 32,
           "num_key_value_heads": 8, "head_dim": 128}  # fmt: skip
SHAPES = {"tiny": TINY, "small": SMALL, "7b": SEVEN_B}
"""SMALL is 8 layers x 8 heads x 64 with 2 key-value heads, SEVEN_B two layers of the true shape. TINY measures nothing:
it shows in seconds that a benchmark runs."""


def described(shape: dict[str, int]) -> str:
    return f"{shape['num_hidden_layers']} layers x {shape['num_attention_heads']} heads x {shape['head_dim']}"


def bench_model(folder: Path, window: int | None = None, shape: dict[str, int] = SMALL) -> Model:
    """A model of random weights, its files left in ``folder``; float32, on the CPU."""
    config = MistralConfig(
        vocab_size=32000, max_position_embeddings=32768, sliding_window=window,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6}, **shape,
    )  # fmt: skip
    torch.manual_seed(0)
    MistralForCausalLM(config).save_pretrained(folder)
    save_v1_tokenizer(folder)
    return wb.load(str(folder))


def plain_forward(module: MistralForCausalLM, ids: list[int]) -> Callable[[], object]:
    @torch.inference_mode()
    def work() -> object:
        cache = DynamicCache(config=module.config)
        return module(torch.tensor([ids]), past_key_values=cache, use_cache=True, logits_to_keep=1)

    return work
