"""Text of a model's own: what it writes when nothing is asked, drawn at temperature 1."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import torch

from workbench.capture.observer import install
from workbench.generation.prefill import new_cache
from workbench.models.placement import turn

_TOGETHER = 16  # sequences written at once


@torch.inference_mode()
def samples(
    module: Any, start: int, tokens: int, length: int = 256, seed: int = 0, stop: threading.Event | None = None
) -> Iterator[list[list[int]]]:
    """Sequences of ``length`` token ids that begin with ``start`` (the BOS token), some at a time, until they are
    ``tokens`` together; fewer when ``stop`` is set. An end of text does not end a sequence. The same seed gives the
    same text on the same device."""
    install(module)
    device = module.get_input_embeddings().weight.device
    device = device if device.type != "meta" else torch.device("cpu")
    generator = torch.Generator(device).manual_seed(seed)
    for done in range(0, tokens, _TOGETHER * length):
        count = min(_TOGETHER, -(-(tokens - done) // length))
        ids = torch.full((count, 1), start, device=device)
        cache = new_cache(module)
        while ids.shape[1] < length:
            if stop is not None and stop.is_set():
                return
            with turn(module):
                logits = module(input_ids=ids[:, -1:], past_key_values=cache, use_cache=True).logits[:, -1]
            token = torch.multinomial(logits.float().softmax(-1).to(device), 1, generator=generator)
            ids = torch.cat([ids, token], 1)
        yield ids.tolist()
