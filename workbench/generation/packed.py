"""Several texts fed in one forward, each behind a cache of its own: no padding, whatever their lengths.

Their new tokens stand one behind the other in one row, with the positions they have in their own texts. Everything but
attention looks at single tokens; attention is worked out text by text, as if each were fed alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin

from workbench.capture.observer import install, observing, say_parts
from workbench.models.placement import turn

Part = tuple[Sequence[int], Cache, int]
"""Tokens to feed, the cache that they stand behind, and how many rows of logits are wanted."""


class _PackedLayer(CacheLayerMixin):
    """One layer of several caches: keys and values (1, kv_heads, new tokens of all texts, head_dim) go to theirs."""

    is_sliding = False

    def __init__(self, layers: Sequence[Any], counts: Sequence[int]) -> None:
        super().__init__()
        self.layers, self.counts = list(layers), list(counts)
        self.is_initialized = True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        pass

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **others: Any) -> tuple[Tensor, Tensor]:
        """What was given, with `say_parts`: each text's own keys and values, old and new."""
        new = zip(key_states.split(self.counts, 2), value_states.split(self.counts, 2), strict=True)
        parts = [layer.update(*states) for layer, states in zip(self.layers, new, strict=True)]
        handed = key_states.view_as(key_states)  # the mark is not to outlive this forward
        say_parts(handed, [(n, *part) for n, part in zip(self.counts, parts, strict=True)])
        return handed, value_states

    def get_seq_length(self) -> int:
        """Nothing, as transformers is told, so that no mask is built: positions are given."""
        return 0

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return query_length, 0

    def get_max_length(self) -> int:
        return -1


def forward_packed(module: Any, parts: Sequence[Part]) -> list[Tensor]:
    """Feed the tokens of every part, at least one each, behind its cache; of each the float32 logits (rows, vocabulary)
    of its last ``rows`` tokens. Equal to `prefill.forward_rows` one by one, up to the rounding of matrix products."""
    install(module)
    counts = [len(ids) for ids, _, _ in parts]
    begins = [cache.get_seq_length() for _, cache, _ in parts]
    ends = torch.tensor(counts).cumsum(0).tolist()
    packed = Cache(layers=[
        _PackedLayer(layers, counts) for layers in zip(*(cache.layers for _, cache, _ in parts), strict=True)
    ])  # fmt: skip
    device = module.get_input_embeddings().weight.device
    with turn(module), torch.inference_mode(), observing(None):
        ids = torch.tensor([[token for tokens, _, _ in parts for token in tokens]], device=device)
        positions = torch.cat([torch.arange(b, b + n) for b, n in zip(begins, counts, strict=True)])
        kept = torch.cat([torch.arange(end - rows, end) for end, (_, _, rows) in zip(ends, parts, strict=True)])
        output = module(
            input_ids=ids, position_ids=positions[None].to(device), past_key_values=packed, use_cache=True,
            logits_to_keep=kept.to(device),
        )  # fmt: skip
        return list(output.logits[0].float().split([rows for _, _, rows in parts]))
