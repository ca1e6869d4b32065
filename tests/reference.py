"""Independent references: plain PyTorch and transformers' eager attention, sharing no code with the workbench."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import MistralForCausalLM


def eager(folder: Path, dtype: torch.dtype = torch.float32) -> MistralForCausalLM:
    """A second copy of a checkpoint with transformers' own eager attention."""
    return MistralForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=dtype).eval()


@torch.no_grad()
def eager_states(module: MistralForCausalLM, ids: list[int]) -> dict[str, torch.Tensor]:
    """attention (layer, head, T, T), hidden (layer + 1, T, width; the last one normed), logits (T, vocabulary)."""
    found = module(torch.tensor([ids]), output_attentions=True, output_hidden_states=True, use_cache=False)
    return {
        "attention": torch.stack([layer[0] for layer in found.attentions]),
        "hidden": torch.stack([layer[0] for layer in found.hidden_states]),
        "logits": found.logits[0].float(),
    }


@torch.no_grad()
def residual_stream(module: MistralForCausalLM, ids: list[int]) -> torch.Tensor:
    """(layer + 1, T, width): the embedding and the stream after each layer, before the final norm."""
    kept: list[torch.Tensor] = []
    hooks = [layer.register_forward_hook(lambda m, a, out: kept.append(out[0])) for layer in module.model.layers]
    module(torch.tensor([ids]), use_cache=False)
    for hook in hooks:
        hook.remove()
    return torch.stack([module.model.embed_tokens(torch.tensor(ids)), *kept])


def random_ids(count: int, seed: int) -> list[int]:
    """BOS and word-like ids with many repetitions, so that induction targets exist."""
    generator = torch.Generator().manual_seed(seed)
    pool = torch.randint(300, 31000, (max(4, count // 3),), generator=generator)
    return [1, *pool[torch.randint(0, len(pool), (count - 1,), generator=generator)].tolist()]
