"""Reading a prompt under a policy: the cache it leaves, and going on from there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from workbench.cache_lab.attention_sums import STEP, AttentionSums, read_watched
from workbench.cache_lab.layer import KeptCache, KeptLayer
from workbench.cache_lab.policy import Policy, Stored, available
from workbench.generation.prefill import forward_rows

if TYPE_CHECKING:
    from workbench.model import Model


@dataclass(frozen=True, eq=False)
class FullReading:
    """A prompt read with the model's own cache: float32 ``logits`` (vocabulary,) behind it, keys and values (1,
    kv_heads, stored, head_dim) by layer, and the sums over attention that the policies to come need."""

    ids: tuple[int, ...]
    logits: Tensor
    layers: tuple[tuple[Tensor, Tensor], ...]
    sums: AttentionSums

    def stored(self, layer: int, policy: Policy, window: int | None) -> Stored:
        """What ``policy`` has to choose from in one layer."""
        length = len(self.ids)
        keys, values = self.layers[layer]
        m = available(keys.shape[2], window)
        first = keys.shape[2] - m
        votes = self.sums.votes[policy.voters][layer] if policy.voters else None
        received = self.sums.received[layer] if policy.needs_received else None

        def by_group(sums: Tensor | None) -> Tensor | None:
            if sums is None:
                return None
            return sums.unflatten(0, (keys.shape[1], -1)).mean(1)[:, length - m :]

        return Stored(keys[:, :, first:], values[:, :, first:], length, by_group(received), by_group(votes))


@dataclass
class PromptReader:
    """Reads prompts in full for several policies: the last one is held, so that each is read once."""

    model: Model
    policies: Sequence[Policy]
    read: int = 0
    _last: FullReading | None = field(default=None, repr=False)

    def full(self, ids: Sequence[int], stop: threading.Event | None = None) -> FullReading | None:
        """The `FullReading` of ``ids``; None when stopped."""
        if self._last is not None and self._last.ids == tuple(ids):
            return self._last
        received = any(policy.needs_received for policy in self.policies)
        sums = AttentionSums(received, [policy.voters for policy in self.policies if policy.voters], len(ids))
        found = read_watched(self.model.module, ids, sums, stop)
        if found is None:
            return None
        self.read += len(ids)
        layers = tuple((layer.keys, layer.values) for layer in found[1].layers)
        self._last = FullReading(tuple(ids), found[0], layers, sums)
        return self._last

    def under(
        self, policy: Policy, ids: Sequence[int], stop: threading.Event | None = None
    ) -> tuple[Tensor, KeptCache] | None:
        """Float32 logits (vocabulary,) behind ``ids`` and the cache that ``policy`` leaves; None when stopped."""
        module, window = self.model.module, self.model.window
        sight = policy.sight(window, len(ids))
        if not policy.streams:
            found = self.full(ids, stop)
            if found is None:
                return None
            with torch.inference_mode():
                layers = [
                    policy.layer(found.stored(i, policy, window), sight) for i in range(module.config.num_hidden_layers)
                ]
            return found.logits, KeptCache(layers)
        cache = KeptCache([KeptLayer(sight) for _ in range(module.config.num_hidden_layers)])
        logits: Tensor | None = None
        for start in range(0, len(ids), STEP):
            if stop is not None and stop.is_set():
                return None
            part = list(ids[start : start + STEP])
            logits = forward_rows(module, part, cache, None, 1)[-1]
            self.read += len(part)
        assert logits is not None
        return logits, cache


class PolicyReader:
    """Reads prompts under one policy, in the form in which `workbench.context` has its questions answered."""

    def __init__(self, model: Model, policy: Policy, reader: PromptReader | None = None) -> None:
        """``reader`` shares full readings with other policies."""
        self.model, self.policy, self.module = model, policy, model.module
        self._reader = reader or PromptReader(model, [policy])
        self._fed = 0

    @property
    def read(self) -> int:
        """Tokens really read, those of the shared reader included."""
        return self._reader.read + self._fed

    def read_up_to(self, ids: Sequence[int], stop: threading.Event | None = None) -> tuple[Tensor, Any] | None:
        """Float32 logits (vocabulary,) behind ``ids``, and the policy's cache; None when stopped."""
        return self._reader.under(self.policy, ids, stop)

    def feed(self, ids: Sequence[int], cache: Any, rows: int) -> Tensor:
        """Read ``ids`` behind what ``cache`` holds; float32 logits (rows, vocabulary) of the last ``rows``. The same
        as one by one."""
        self._fed += len(ids)
        return torch.cat(list(fed(self.module, ids, cache)))[-rows:]

    def returning(self, cache: Any, length: int) -> Callable[[], Any]:
        """A function that gives a cache as ``cache`` is now, whatever is read behind it since."""
        stood = cache.fork()
        return lambda: stood.fork()


def readers(policies: Iterable[Policy]) -> dict[str, Callable[[Model], PolicyReader]]:
    """For each policy, by how it is said: what makes its reader for a model, as `wb.needle` takes them."""
    return {str(policy): partial(_reader, policy) for policy in policies}


def _reader(policy: Policy, model: Model) -> PolicyReader:
    return PolicyReader(model, policy)


def fed(module: Any, ids: Sequence[int], cache: KeptCache, step: int = 256) -> Iterable[Tensor]:
    """Float32 logits (n, vocabulary) behind each of ``ids``, some at a time: no more than the cache has room for."""
    at = 0
    while at < len(ids):
        n = min(step, len(ids) - at, cache.room or step)
        yield forward_rows(module, list(ids[at : at + n]), cache, None, n)
        at += n
