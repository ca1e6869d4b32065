"""One request's recording: it is the `Observer` of every forward, and hands out what was captured at the end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import Cache

from workbench.capture.attention import AttentionRecorder, AttentionResult
from workbench.capture.attribution import AttributionRecorder, AttributionResult
from workbench.capture.kept import KeptAttention, KeptLens, KeptRecording, resume, serves
from workbench.capture.kv_cache import Growth, KVCacheResult, measure
from workbench.capture.lens import LensRecorder, LensResult
from workbench.capture.lens_blocks import LensBlocks, in_blocks, nested_spread, spread
from workbench.capture.observer import Kept
from workbench.capture.positions import Reading, block_size, growing_block_size
from workbench.capture.request import Capture
from workbench.capture.tuned_lens import Origin, TunedLens
from workbench.errors import CaptureError
from workbench.models.placement import turn

_PENDING = 32  # decoding steps whose attention is worked out together


@dataclass
class Captured:
    """The parts that were asked for; the others are None."""

    attention: AttentionResult | None
    lens: LensResult | None
    kv_cache: KVCacheResult | None
    lens_blocks: LensBlocks | None = None
    attribution: AttributionResult | None = None


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
    once. The order of calls is: `before` each forward, `after` it, and `finish` once. ``origin`` says whose weights the
    module holds; a tuned lens is checked against it. One that ``grows`` has blocks of which a later, longer recording
    can be made (`keep`, `resume`).
    """

    def __init__(
        self, capture: Capture, module: Any, prompt: int, total: int, origin: Origin | None = None, grows: bool = False
    ) -> None:
        config = module.config
        if not isinstance(capture, Capture):
            raise CaptureError(
                f"The capture is {capture!r}", expected="a Capture", remedy="Write Capture(attention=..., lens=...)"
            )
        capture.check(_Shape(config), prompt, total - prompt)
        self.capture = capture
        self._read, self._prompt = 0, prompt
        self._attention: AttentionRecorder | None = None
        self._lens: LensRecorder | None = None
        self._blocks: LensRecorder | None = None
        self._attribution: AttributionRecorder | None = None
        if (wanted := capture.attention) is not None:
            window = getattr(config, "sliding_window", None)
            reach = wanted.reach or window or max(1, config.max_position_embeddings // 8)
            self._attention = AttentionRecorder(
                wanted, config.num_hidden_layers, config.num_attention_heads, config.num_key_value_heads,
                prompt, total, reach, growing_block_size(total, wanted.pool or 256) if grows else None,
            )  # fmt: skip
        readers = (config.num_hidden_layers, module.model.norm, module.lm_head)
        if (lens := capture.lens) is not None:
            if isinstance(lens.translators, TunedLens):
                if origin is None:
                    raise CaptureError("A tuned lens needs to know whose weights it reads", expected="origin=a model")
                lens.translators.check(origin)
            self._lens = LensRecorder(lens, Reading.of(lens.positions, prompt), *readers)
            if lens.blocks:
                self._block = (growing_block_size if grows else block_size)(total, lens.blocks)
                read = Reading((nested_spread if grows else spread)(total, self._block, lens.per_block))
                self._blocks = LensRecorder(replace(lens, top_k=1), read, *readers)
        if (explained := capture.attribution) is not None:
            self._attribution = AttributionRecorder(
                explained, Reading.of(explained.positions, prompt), config.num_hidden_layers,
                config.num_attention_heads, module.model.norm, module.lm_head, config.rms_norm_eps,
            )  # fmt: skip
        # Everything that reads the residual stream, and is told of every forward.
        self._readers = [reader for reader in (self._lens, self._blocks, self._attribution) if reader is not None]
        self._growth = Growth(prompt) if capture.kv_cache else None
        self._turn = turn(module)  # the lens reads with the model's own norm and unembedding
        self._watched = frozenset(self._attention.layers if self._attention else ())
        self._pending: dict[int, _Pending] = {}
        self._waiting: dict[int, tuple[Any, ...]] = {}  # by layer, of a cache that drops keys: the step before this one
        self._pending_from, self._steps = 0, 0
        self._window: int | None = None
        self._scale = 1.0

    @property
    def idle(self) -> bool:
        """Nothing has to be seen while the forward runs."""
        return self._attention is None and not self._readers

    def expect(self, ids: list[int]) -> None:
        """``ids`` will be fed from here on, in parts: what comes next is known before a part is read."""
        if self._attention:
            self._attention.know(ids, self._read)

    def before(self, ids: list[int]) -> None:
        """``ids`` are about to be fed."""
        if self._attention:
            self._attention.know(ids, self._read)
        if self._steps and (len(ids) > 1 or self._steps >= _PENDING or self._waiting):
            self._flush()
        self._first = self._read
        self._read += len(ids)
        for reader in self._readers:
            reader.read(ids)
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

    def kept(self, layer: int, query: Tensor, key: Tensor, kept: Kept, window: int | None, scale: float) -> None:
        assert self._attention is not None
        if self._pending:  # of a prompt's end that was read with the model's own cache
            self._flush()
        seen = (layer, query, key, kept, self._first, window, scale)
        if query.shape[1] > 1:
            self._attention.absorb_kept(*seen)
            return
        self._waiting[layer] = seen  # what follows this token is not known yet
        self._steps = max(1, self._steps)

    def wants_heads(self, layer: int) -> bool:
        return self._attribution is not None and self._attribution.looks

    def heads(self, layer: int, output: Tensor, project: nn.Module) -> None:
        assert self._attribution is not None
        self._attribution.absorb_heads(layer, output, project)

    def residual(self, layer: int, hidden: Tensor) -> None:
        for reader in self._readers:
            reader.absorb(layer, hidden)

    def after(self, cache: Cache | None = None) -> None:
        """The forward is over, and ``cache`` holds what it left."""
        for reader in self._readers:
            reader.end_forward()
        if self._growth and cache is not None:
            self._growth.note(cache, self._read)

    def replaced(self, cache: Cache) -> None:
        """A policy has put ``cache`` in the place of that which the last forward left."""
        if self._growth:
            self._growth.replace(cache)

    @torch.inference_mode()
    def look(self, position: int, token: int) -> StepCapture:
        """What has been captured at ``position``, which chose ``token``. Works out what was set aside, so asking at
        every step costs more than asking at the end."""
        if self._attention:
            self._attention.know([token], position + 1)
        if self._steps:
            self._flush()
        with self._turn:
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
        for seen in self._waiting.values():
            self._attention.absorb_kept(*seen)
        self._pending.clear()
        self._waiting.clear()
        self._steps = 0

    @torch.inference_mode()
    def keep(self, follows: int) -> KeptRecording:
        """What has been recorded of the tokens read so far, behind which ``follows`` stands. The recording goes on."""
        if self._attention:
            self._attention.know([follows], self._read)
        if self._steps:
            self._flush()
        return KeptRecording(
            self._read,
            KeptAttention.of(self._attention, self._read) if self._attention else None,
            KeptLens.of(self._lens) if self._lens else None,
            KeptLens.of(self._blocks) if self._blocks else None,
        )

    def can_resume(self, kept: KeptRecording) -> bool:
        """Whether this recording, which has seen nothing yet, comes out the same when it goes on from ``kept``."""
        explained = self._attribution.wants_among(kept.tokens) if self._attribution else False
        return not explained and all(serves(part, own, kept.tokens) for part, own in self._parts(kept))

    def resume(self, kept: KeptRecording, ids: list[int]) -> None:
        """Go on behind ``ids``, the tokens of ``kept``, as if they had been fed here."""
        self._read = len(ids)
        for reader in self._readers:
            reader.resume(ids)
        for part, own in self._parts(kept):
            resume(part, own, ids)

    def _parts(self, kept: KeptRecording) -> list[tuple[KeptAttention | KeptLens | None, Any]]:
        return [(kept.attention, self._attention), (kept.lens, self._lens), (kept.blocks, self._blocks)]

    @torch.inference_mode()
    def finish(self, cache: Cache | None, last: int | None = None) -> Captured:
        """What was captured. ``last`` is the token generated last, which was never fed."""
        if self._attention and last is not None:
            self._attention.know([last], self._read)
        if self._steps:
            self._flush()
        if last is not None:
            for reader in self._readers:
                reader.chose(last)
        with self._turn:
            blocks = None
            if self._blocks:  # a prompt that was not read to its end counts whole, as the text of the run does
                blocks = in_blocks(self._blocks.result(), self._block, max(self._blocks.tokens, self._prompt))
            return Captured(
                self._attention.result(self._read) if self._attention else None,
                self._lens.result() if self._lens else None,
                measure(cache, self._growth) if self.capture.kv_cache and cache is not None else None,
                blocks,
                self._attribution.result() if self._attribution else None,
            )


class _Shape:
    """The numbers of a transformers config that `Capture` asks a model for."""

    def __init__(self, config: Any) -> None:
        self.layers, self.heads = config.num_hidden_layers, config.num_attention_heads
        self.kv_heads, self.vocab_size = config.num_key_value_heads, config.vocab_size
        self.head_dim = getattr(config, "head_dim", None) or config.hidden_size // self.heads
