"""Reading a prompt in chunks: the same result as reading it whole, with bounded memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, DynamicCache

from workbench.capture.cost import CHUNK
from workbench.capture.observer import install, observing
from workbench.capture.recording import Recording
from workbench.models.placement import turn

Progress = Callable[[int], None]


def new_cache(module: Any) -> DynamicCache:
    """An empty cache for ``module``: layers with a sliding window store only window - 1 positions."""
    return DynamicCache(config=module.config)


def forward(module: Any, ids: list[int], cache: Cache, recording: Recording | None) -> Tensor:
    """Feed ``ids`` after what ``cache`` holds; float32 logits (vocabulary,) of the last one."""
    return forward_rows(module, ids, cache, recording, 1)[-1]


def forward_rows(module: Any, ids: list[int], cache: Cache, recording: Recording | None, rows: int) -> Tensor:
    """Feed ``ids`` after what ``cache`` holds; float32 logits (rows, vocabulary) of the last ``rows`` of them."""
    install(module)
    device = module.get_input_embeddings().weight.device
    watching = recording if recording is not None and not recording.idle else None
    if recording is not None:
        recording.before(ids)
    with turn(module), torch.inference_mode(), observing(watching):
        inputs = torch.tensor([ids], device=device if device.type != "meta" else None)
        output = module(input_ids=inputs, past_key_values=cache, use_cache=True, logits_to_keep=rows)
        if recording is not None:
            recording.after(cache)
        return output.logits[0, -rows:].float()


def prefill(
    module: Any, ids: list[int], cache: Cache, recording: Recording | None = None,
    chunk: int = CHUNK, stop: threading.Event | None = None, progress: Progress | None = None,
) -> Tensor | None:  # fmt: skip
    """Feed a whole prompt in chunks; float32 logits (vocabulary,) of its last token, None when ``stop`` was set.
    ``progress`` is told how many tokens have been read after each chunk."""
    logits: Tensor | None = None
    if recording is not None:
        recording.expect(ids)
    for start in range(0, len(ids), chunk):
        if stop is not None and stop.is_set():
            return None
        logits = forward(module, ids[start : start + chunk], cache, recording)
        if progress is not None:
            progress(min(start + chunk, len(ids)))
    return logits
