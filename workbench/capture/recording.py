"""One request's recording: it is the `Observer` of every forward, and hands out what was captured at the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import Cache

from workbench.capture.attention import AttentionRecorder, AttentionResult
from workbench.capture.kv_cache import KVCacheResult, measure
from workbench.capture.lens import LensRecorder, LensResult
from workbench.capture.request import Capture
from workbench.errors import CaptureError

_PENDING = 32  # decoding steps whose attention is worked out together


@dataclass
class Captured:
    """The parts that were asked for; the others are None."""

    attention: AttentionResult | None
    lens: LensResult | None
    kv_cache: KVCacheResult | None


@dataclass(frozen=True)
class StepCapture:
    """What was captured where a token was chosen: attention (layer, head, key), the exact row of the position before
    it; lens by layer (top_ids, top_logprobs, entropy, kl, target_rank, target_logprob). None when not asked for."""

    attention: np.ndarray | None
    lens: dict[str, np.ndarray] | None


@dataclass
class _Pending:
    """Queries of single-token forwards of one layer, and the keys they need."""

    queries: list[Tensor]
    first_keys: Tensor
    new_keys: list[Tensor]


class Recording:
    """Record one request of ``prompt`` tokens that may grow to ``total`` on a Mistral ``module``.

    While decoding, queries are only set aside; their rows, maps and statistics are worked out for some 30 tokens at
    once. The order of calls is: `before` each forward, `after` it, and `finish` once.
    """

    def __init__(self, capture: Capture, module: Any, prompt: int, total: int) -> None:
        config = module.config
        if not isinstance(capture, Capture):
            raise CaptureError(
                f"The capture is {capture!r}", expected="a Capture", remedy="Write Capture(attention=..., lens=...)"
            )
        capture.check(_Shape(config), prompt, total - prompt)
        self.capture = capture
        self._read = 0
        self._attention: AttentionRecorder | None = None
        self._lens: LensRecorder | None = None
        if (wanted := capture.attention) is not None:
            window = getattr(config, "sliding_window", None)
            reach = wanted.reach or window or max(1, config.max_position_embeddings // 8)
            self._attention = AttentionRecorder(
                wanted, config.num_hidden_layers, config.num_attention_heads, config.num_key_value_heads,
                prompt, total, reach,
            )  # fmt: skip
        if capture.lens is not None:
            self._lens = LensRecorder(capture.lens, config.num_hidden_layers, prompt, module.model.norm, module.lm_head)
        self._watched = frozenset(self._attention.layers if self._attention else ())
        self._pending: dict[int, _Pending] = {}
        self._pending_from, self._steps = 0, 0
        self._window: int | None = None
        self._scale = 1.0

    @property
    def idle(self) -> bool:
        """Nothing has to be seen while the forward runs."""
        return self._attention is None and self._lens is None

    def before(self, ids: list[int]) -> None:
        """``ids`` are about to be fed."""
        if self._steps and (len(ids) > 1 or self._steps >= _PENDING):
            self._flush()
        self._first = self._read
        self._read += len(ids)
        if self._attention:
            self._attention.read(ids)
        if self._lens:
            self._lens.read(ids)
        if len(ids) == 1 and self._attention:
            self._pending_from = self._first if not self._steps else self._pending_from
            self._steps += 1

    def wants_attention(self, layer: int) -> bool:
        return layer in self._watched

    def attention(
        self, layer: int, query: Tensor, key: Tensor, lse: Tensor | None, window: int | None, scale: float
    ) -> None:
        assert self._attention is not None
        if query.shape[1] > 1:
            self._attention.absorb(layer, query, key, lse, self._first, window, scale)
            return
        self._window, self._scale = window, scale
        waiting = self._pending.get(layer)
        if waiting is None:
            self._pending[layer] = _Pending([query], key, [])
        else:
            waiting.queries.append(query)
            if window is None:  # a full cache still holds every key when the queries are worked out
                waiting.first_keys = key
            else:
                waiting.new_keys.append(key[:, -1:].clone())  # a view would hold this step's whole window of keys

    def residual(self, layer: int, hidden: Tensor) -> None:
        if self._lens:
            self._lens.absorb(layer, hidden)

    def after(self) -> None:
        """The forward is over."""
        if self._lens:
            self._lens.end_forward()

    @torch.inference_mode()
    def look(self, position: int, token: int) -> StepCapture:
        """What has been captured at ``position``, which chose ``token``. Works out what was set aside, so asking at
        every step costs more than asking at the end."""
        if self._steps:
            self._flush()
        return StepCapture(
            self._attention.row_of(position) if self._attention else None,
            self._lens.look(position, token) if self._lens else None,
        )

    @torch.inference_mode()
    def _flush(self) -> None:
        """Work out the attention of the decoding steps set aside."""
        assert self._attention is not None
        for layer, waiting in self._pending.items():
            keys = torch.cat([waiting.first_keys, *waiting.new_keys], 1)
            self._attention.absorb(
                layer, torch.cat(waiting.queries, 1), keys, None, self._pending_from, self._window, self._scale
            )
        self._pending.clear()
        self._steps = 0

    @torch.inference_mode()
    def finish(self, cache: Cache | None, last: int | None = None) -> Captured:
        """What was captured. ``last`` is the token generated last, which was never fed."""
        if self._steps:
            self._flush()
        if self._lens and last is not None:
            self._lens.chose(last)
        return Captured(
            self._attention.result(self._read) if self._attention else None,
            self._lens.result() if self._lens else None,
            measure(cache) if self.capture.kv_cache and cache is not None else None,
        )


class _Shape:
    """The numbers of a transformers config that `Capture` asks a model for."""

    def __init__(self, config: Any) -> None:
        self.layers, self.heads = config.num_hidden_layers, config.num_attention_heads
        self.kv_heads = config.num_key_value_heads
        self.head_dim = getattr(config, "head_dim", None) or config.hidden_size // self.heads
