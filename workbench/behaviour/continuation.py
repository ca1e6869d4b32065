"""Exact log-probabilities of texts as the continuation of one prompt, which is read once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from workbench.capture.cost import CHUNK
from workbench.errors import ContextLengthError
from workbench.generation.prefill import forward_rows, new_cache, prefill
from workbench.generation.prefix import PrefixStore

if TYPE_CHECKING:
    from workbench.model import Model


def rows_behind(model: Model, prompt: Sequence[int], then: Sequence[int], store: PrefixStore) -> Tensor:
    """Float32 logits (len(then), vocabulary): row i is behind ``prompt`` and the first i ids of ``then``, what would
    choose the next one. Of the prompt only what ``store`` does not hold is read, and kept there."""
    prompt, then = tuple(prompt), tuple(then)
    if len(prompt) + len(then) > model.context:
        raise ContextLengthError(
            f"The prompt and its continuation have {len(prompt) + len(then)} tokens",
            expected=f"at most {model.context} for {model.name}", remedy="Shorten the text",
        )  # fmt: skip
    cache = new_cache(model.module)
    at = store.resume(model.module, prompt, cache, None)
    if at < len(prompt) - 1:
        prefill(model.module, list(prompt[at:-1]), cache, None, CHUNK)
        store.keep(model.module, prompt[:-1], prompt[-1], cache, None)
    return forward_rows(model.module, [prompt[-1], *then[:-1]], cache, None, max(1, len(then)))


def logprobs(rows: Tensor, ids: Sequence[int]) -> np.ndarray:
    """Log-probability (tokens,) in nats of each id under its row of logits."""
    with torch.inference_mode():
        chosen = rows.log_softmax(-1)[torch.arange(len(ids)), torch.tensor(ids, device=rows.device)]
    return chosen.cpu().numpy().astype(float)


def continuations(
    model: Model, prompt: Sequence[int], texts: Sequence[Sequence[int]], store: PrefixStore | None = None
) -> list[np.ndarray]:  # fmt: skip
    """For each of ``texts`` (ids, at least one each) the log-probabilities (tokens,) of its ids behind ``prompt``."""
    held = PrefixStore() if store is None else store
    return [logprobs(rows_behind(model, prompt, ids, held), ids) for ids in texts]
