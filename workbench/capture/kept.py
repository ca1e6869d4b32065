"""What a recording holds after its first tokens, set aside so that a later run with the same ones can go on from it.

The running sums are copied, because the recording goes on adding to them; all else only ever grows, and is shared. This
is the one place besides the recorders themselves that knows their fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from workbench.capture.attention import AttentionRecorder
from workbench.capture.lens import LensRecorder
from workbench.capture.pooling import LayerSums
from workbench.capture.positions import chosen

_SUMS = ("mass", "peak", "received", "statistics")


@dataclass(frozen=True)
class KeptLayer:
    """One layer's sums by name, over the blocks and keys of the tokens read, and its states part by part."""

    sums: dict[str, Tensor] | None
    queries: list[Tensor]
    keys: list[Tensor]
    lse: list[Tensor]


@dataclass(frozen=True)
class KeptAttention:
    """``alike``: the settings under which another recorder would have summed the same."""

    alike: tuple[Any, ...]
    block: int
    states: bool
    layers: list[KeptLayer]
    sought: list[int]
    scale: float
    window: int | None

    @classmethod
    def of(cls, recorder: AttentionRecorder, tokens: int) -> KeptAttention:
        """What ``recorder`` has of the ``tokens`` it was shown."""
        blocks = -(-tokens // recorder.block)
        layers = []
        for layer in recorder.layers:
            held = recorder._by_layer[layer]
            sums = None if held.sums is None else _copied(held.sums, blocks, tokens)
            layers.append(KeptLayer(sums, list(held.queries), list(held.keys), list(held.lse)))
        return cls(
            _alike(recorder), recorder.block, recorder.wanted.states, layers, list(recorder._sought),
            recorder._scale, recorder._window,
        )  # fmt: skip

    def serves(self, recorder: AttentionRecorder, tokens: int) -> bool:
        """Whether ``recorder``, which has seen nothing, can go on behind these ``tokens`` as if it had seen them."""
        return (
            self.alike == _alike(recorder)
            and recorder.wanted.sample is None
            and recorder.block % self.block == 0
            and (self.states or not recorder.wanted.states)
            and not _rows_among(recorder, tokens)
        )

    @torch.inference_mode()
    def resume(self, recorder: AttentionRecorder, ids: list[int]) -> None:
        """Let ``recorder`` go on behind ``ids``."""
        recorder.know(ids, 0)
        recorder._sought = list(self.sought)
        recorder._scale, recorder._window = self.scale, self.window
        for layer, kept in zip(recorder.layers, self.layers, strict=True):
            held = recorder._by_layer[layer]
            if recorder.wanted.states:
                held.queries, held.keys, held.lse = list(kept.queries), list(kept.keys), list(kept.lse)
            if kept.sums is not None:
                held.sums = LayerSums(
                    recorder.wanted, len(recorder.heads), recorder.blocks, recorder.total, recorder.reach,
                    recorder._choice, kept.sums["mass"].device,
                )  # fmt: skip
                _poured(kept.sums, held.sums, recorder.block // self.block)

    def tensors(self) -> Iterator[Tensor]:
        for layer in self.layers:
            yield from (layer.sums or {}).values()
            yield from (*layer.queries, *layer.keys, *layer.lse)


def _rows_among(recorder: AttentionRecorder, tokens: int) -> bool:
    """Whether exact rows of the first ``tokens`` are wanted, which are not kept. Words name the prompt's end and what
    follows, or all."""
    wanted = recorder.wanted.rows
    if wanted is None or isinstance(wanted, str):
        return wanted == "all"
    return any(position < tokens for position in chosen(wanted, recorder.prompt, "row") or ())


def _alike(recorder: AttentionRecorder) -> tuple[Any, ...]:
    wanted = recorder.wanted
    return (
        tuple(recorder.layers), tuple(recorder.heads), recorder.reach, bool(wanted.pool), wanted.maximum,
        wanted.statistics, wanted.sample, wanted.sink_tokens, wanted.recent,
    )  # fmt: skip


def _copied(sums: LayerSums, blocks: int, tokens: int) -> dict[str, Tensor]:
    found = {"mass": sums.mass[:, :blocks, :blocks], "received": sums.received[:, :tokens]}
    found["statistics"] = sums.statistics[..., :blocks]
    if sums.peak is not None:
        found["peak"] = sums.peak[:, :blocks, :blocks]
    return {name: values.clone() for name, values in found.items()}


def _poured(kept: dict[str, Tensor], into: LayerSums, ratio: int) -> None:
    """Fill fresh sums with kept ones, of whose blocks ``ratio`` make one here.

    >>> sums of blocks 0 1 2 3 4 at ratio 2 are those of (0 1) (2 3) (4 and nothing)
    """
    blocks = kept["mass"].shape[-1]
    new, missing = -(-blocks // ratio), -blocks % ratio
    into.received[:, : kept["received"].shape[-1]] = kept["received"]
    values = pad(kept["statistics"], (0, missing)).unflatten(-1, (new, ratio))
    into.statistics[..., :new] = values.sum(-1)
    square = (0, missing, 0, missing)
    cells = pad(kept["mass"], square).unflatten(-1, (new, ratio)).unflatten(1, (new, ratio))
    into.mass[:, :new, :new] = cells.sum((2, 4))
    if into.peak is not None:
        cells = pad(kept["peak"], square, value=-126.0).unflatten(-1, (new, ratio)).unflatten(1, (new, ratio))
        into.peak[:, :new, :new] = cells.amax((2, 4))


@dataclass(frozen=True)
class KeptLens:
    """Positions read out and positions that wait for their next token, as a `LensRecorder` has them."""

    layers: list[int]
    top_k: int
    translators: Any
    waiting: list[tuple[list[int], Tensor]]
    done: list[tuple[list[int], dict[str, Tensor]]]

    @classmethod
    def of(cls, recorder: LensRecorder) -> KeptLens:
        return cls(
            recorder.layers, recorder.top_k, recorder._translators, list(recorder._waiting), list(recorder._done)
        )

    def serves(self, recorder: LensRecorder, tokens: int) -> bool:
        """Whether every position of the first ``tokens`` that ``recorder`` wants was kept as it wants it."""
        wanted = recorder._reading.among(0, tokens)
        alike = (self.layers, self.top_k) == (recorder.layers, recorder.top_k)
        if not wanted or not alike or self.translators is not recorder._translators:
            return not wanted
        return set(wanted) <= {position for at, _ in (*self.waiting, *self.done) for position in at}

    @torch.inference_mode()
    def resume(self, recorder: LensRecorder, ids: list[int]) -> None:
        """Let ``recorder`` go on behind ``ids``."""
        wanted = set(recorder._reading.among(0, len(ids)))
        for at, rows in self.waiting:
            if some := [i for i, position in enumerate(at) if position in wanted]:
                recorder._waiting.append(([at[i] for i in some], rows if len(some) == len(at) else rows[:, some]))
        for at, found in self.done:
            if some := [i for i, position in enumerate(at) if position in wanted]:
                whole = len(some) == len(at)
                recorder._done.append(
                    (at, found) if whole else ([at[i] for i in some], {name: v[:, some] for name, v in found.items()})
                )

    def tensors(self) -> Iterator[Tensor]:
        for _, rows in self.waiting:
            yield rows
        for _, found in self.done:
            yield from found.values()


@dataclass(frozen=True)
class KeptRecording:
    """What a `Recording` held after ``tokens`` tokens; absent parts are None."""

    tokens: int
    attention: KeptAttention | None
    lens: KeptLens | None
    blocks: KeptLens | None

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor that it holds."""
        for part in (self.attention, self.lens, self.blocks):
            if part is not None:
                yield from part.tensors()


def serves(kept: KeptAttention | KeptLens | None, recorder: Any, tokens: int) -> bool:
    """Whether ``recorder``, None where nothing is recorded, can go on from ``kept``."""
    if recorder is None:
        return True
    if kept is None:
        return isinstance(recorder, LensRecorder) and not recorder._reading.among(0, tokens)
    return kept.serves(recorder, tokens)


def resume(kept: KeptAttention | KeptLens | None, recorder: Any, ids: list[int]) -> None:
    """Let ``recorder``, None where nothing is recorded, go on behind ``ids``; ``kept`` must serve it."""
    if recorder is not None and kept is not None:
        kept.resume(recorder, ids)
