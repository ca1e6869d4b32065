"""A policy as the cache of one request: how `Model.generate` and `Model.inspect` read under it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import Cache

from workbench.cache_lab.attention_sums import STEP, AttentionSums
from workbench.cache_lab.layer import KeptCache, KeptLayer
from workbench.cache_lab.policies import policy as read_policy
from workbench.cache_lab.policy import Policy
from workbench.cache_lab.reading import FullReading
from workbench.capture.recording import Recording
from workbench.capture.request import Capture
from workbench.errors import CaptureError
from workbench.generation.prefill import Progress, new_cache, prefill


class PolicyCaching:
    """The `workbench.generation.caching.Caching` of one policy. What is read is what `PolicyReader` reads."""

    def __init__(self, policy: str | Policy) -> None:
        """``policy`` as `policies.policy` reads it. Raises CacheError."""
        self.policy = read_policy(policy)

    def __str__(self) -> str:
        return str(self.policy)

    def check(self, capture: Capture) -> None:
        """States cannot say who saw a key, and a sample of rows is not drawn where keys are dropped while reading."""
        wanted = capture.attention
        if wanted is not None and wanted.states:
            raise CaptureError(
                f"Kept states do not tell which keys were dropped under the cache policy {self}",
                expected="AttentionCapture(states=False)", remedy='rows="all" keeps every row, exact',
            )  # fmt: skip
        if wanted is not None and wanted.sample is not None and self.policy.streams:
            raise CaptureError(
                f"Attention is not sampled under the cache policy {self}, which drops keys while the prompt is read",
                expected="sample=None",
            )

    def read(
        self, module: Any, ids: list[int], recording: Recording | None = None, stop: threading.Event | None = None,
        progress: Progress | None = None,
    ) -> tuple[Tensor | None, Cache]:  # fmt: skip
        """See `Caching.read`. A policy that does not stream reads the prompt with the model's own cache."""
        policy, layers = self.policy, int(module.config.num_hidden_layers)
        window = module.config.sliding_window
        sight = policy.sight(window, len(ids))
        if policy.streams:
            kept = KeptCache([KeptLayer(sight) for _ in range(layers)])
            return prefill(module, ids, kept, recording, STEP, stop, progress), kept
        sums = AttentionSums(policy.needs_received, [policy.voters] if policy.voters else [], len(ids))
        watching: Any = _Both(recording, sums) if policy.needs_received or policy.voters else recording
        cache = new_cache(module)
        logits = prefill(module, ids, cache, watching, STEP, stop, progress)
        if logits is None:
            return None, cache
        states = tuple((layer.keys, layer.values) for layer in cache.layers)
        full = FullReading(tuple(ids), logits, states, sums)  # type: ignore[arg-type]
        with torch.inference_mode():
            kept = KeptCache([policy.layer(full.stored(i, policy, window), sight) for i in range(layers)])
        if recording is not None:
            recording.replaced(kept)
        return logits, kept


class _Both:
    """Two that look on: a request's recording, if there is one, and what the policy needs to know."""

    idle = False

    def __init__(self, recording: Recording | None, sums: AttentionSums) -> None:
        self._recording, self._sums = recording, sums
        self._watching: list[Any] = [sums] if recording is None or recording.idle else [recording, sums]

    def expect(self, ids: list[int]) -> None:
        if self._recording is not None:
            self._recording.expect(ids)

    def before(self, ids: Sequence[int]) -> None:
        if self._recording is not None:
            self._recording.before(list(ids))
        self._sums.before(ids)

    def after(self, cache: Any) -> None:
        if self._recording is not None:
            self._recording.after(cache)

    def wants_attention(self, layer: int) -> bool:
        return any(one.wants_attention(layer) for one in self._watching)

    def attention(self, layer: int, *seen: Any) -> None:
        for one in self._watching:
            if one.wants_attention(layer):
                one.attention(layer, *seen)

    def wants_heads(self, layer: int) -> bool:
        return any(one.wants_heads(layer) for one in self._watching)

    def heads(self, layer: int, *seen: Any) -> None:
        for one in self._watching:
            if one.wants_heads(layer):
                one.heads(layer, *seen)

    def residual(self, layer: int, hidden: Tensor) -> None:
        for one in self._watching:
            one.residual(layer, hidden)
