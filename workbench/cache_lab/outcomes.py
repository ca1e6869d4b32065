"""What a cache costs and loses on one prompt: its bytes, and what is read behind it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from workbench.cache_lab.layer import KeptCache
from workbench.cache_lab.policy import Policy
from workbench.cache_lab.reading import PromptReader, fed

if TYPE_CHECKING:
    from workbench.model import Model


@dataclass(frozen=True, eq=False)
class Kept:
    """Which tokens a cache stores: ``positions`` by layer, each (kv_heads, tokens), ascending, of the ``length`` that
    were read."""

    length: int
    positions: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, cache: KeptCache) -> Kept:
        found = []
        for layer in cache.layers:
            heads = 1 if layer.keys is None else layer.keys.shape[1]
            found.append(layer.positions.expand(heads, -1).cpu().numpy().astype(np.int32))
        return cls(int(cache.get_seq_length()), tuple(found))

    @property
    def counts(self) -> tuple[int, ...]:
        """Tokens stored by layer, in each key-value head."""
        return tuple(one.shape[1] for one in self.positions)

    def heads(self, layer: int) -> np.ndarray:
        """(length,): how many key-value heads of a layer store each token."""
        return np.bincount(self.positions[layer].ravel(), minlength=self.length)

    def __repr__(self) -> str:
        return f"Kept({sorted(set(self.counts))} of {self.length} tokens in {len(self.positions)} layers)"


@dataclass(frozen=True)
class Followed:
    """The text behind a prompt: ``loss`` and ``kl`` (n,), nats, of each token read behind what the policy left; KL from
    the full cache's distribution to this one's. ``logprobs`` (n, vocabulary), float32, for the full cache alone."""

    loss: np.ndarray
    kl: np.ndarray
    logprobs: Tensor | None
    cache: KeptCache


def predicted_bytes(policy: Policy, model: Model, length: int) -> int:
    """Bytes of keys and values under ``policy`` after ``length`` tokens, by arithmetic."""
    kept = policy.kept(length, model.window)
    return model.layers * policy.layer_bytes(kept, model.kv_heads, model.head_dim, model.dtype.itemsize)


def follow(
    reader: PromptReader, policy: Policy, ids: list[int], length: int, against: Tensor | None,
    stop: threading.Event | None = None,
) -> Followed | None:  # fmt: skip
    """Read ``length`` of ``ids`` under ``policy``, then the rest behind what it left, every token as it stands in the
    text. The first token of the rest is still chosen by the prompt's own reading and not counted. ``against``: the full
    cache's ``logprobs``; None when this is the full cache. None when stopped."""
    found = reader.under(policy, ids[:length], stop)
    if found is None:
        return None
    cache = found[1].fork()
    losses, kls, kept, at = [], [], [], length
    with torch.inference_mode():
        for rows in fed(reader.model.module, ids[length:-1], cache):
            if stop is not None and stop.is_set():
                return None
            logprobs = rows.log_softmax(-1)
            n = len(rows)
            wanted = torch.tensor(ids[at + 1 : at + 1 + n], device=rows.device)
            losses.append(-logprobs.gather(1, wanted[:, None])[:, 0])
            if against is None:
                kept.append(logprobs)
                kls.append(torch.zeros(n))
            else:
                full = against[at - length : at - length + n]
                kls.append((full.exp() * (full - logprobs)).sum(-1))
            at += n
    whole: Any = torch.cat(kept) if against is None else None
    return Followed(torch.cat(losses).cpu().numpy(), torch.cat(kls).cpu().numpy(), whole, found[1])
