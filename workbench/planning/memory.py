"""The memory calculator: bytes of weights, KV cache, activations and capture, without loading anything."""

from __future__ import annotations

import dataclasses
import importlib
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from workbench.capture.cost import CHUNK, estimate, readable
from workbench.capture.request import Capture
from workbench.errors import ContextLengthError, WorkbenchError
from workbench.models.shape import ModelShape
from workbench.planning.cards import CARDS, Card
from workbench.planning.weights import FORMATS
from workbench.results import Result

KV_BITS = (32, 16, 8, 4, 2)
_LENGTHS = (1024, 2048, 4096, 8192, 16384, 32768)


@dataclass(frozen=True)
class MemoryPlan(Result):
    """What one text of ``tokens`` needs on a model of ``shape``, in bytes.

    weights: in ``format``. kv_cache: of ``kv_bits`` a number, as the model's own layers store it: all tokens, or with a
    sliding window the last window - 1. kv_cache_full: the same without the window. activations: of one chunk of 2048
    tokens at the widest place of a layer, and the logits of one token; an estimate. capture: what recording holds at
    most (`Capture.estimate`). eager_scores: what one layer's attention matrices would take with eager attention, in
    the activations' dtype (its softmax works in float32, twice that again for 16 bits); nothing here makes them.
    """

    shape: ModelShape
    tokens: int
    format: str
    kv_bits: int
    weights: int
    kv_cache: int
    kv_cache_full: int
    activations: int
    capture: int
    eager_scores: int

    @property
    def total(self) -> int:
        """Bytes of weights, cache, activations and capture."""
        return self.weights + self.kv_cache + self.activations + self.capture

    @property
    def all_logits(self) -> int:
        """Bytes that float32 logits of every position would take; nothing here makes more than a few positions'."""
        return 4 * self.tokens * self.shape.vocab_size

    def fits(self, card: Card) -> bool:
        """Whether `total` is at most what ``card`` has left for a model."""
        return self.total <= card.usable

    def longest(self, card: Card) -> int:
        """Tokens of the longest text that fits on ``card``, up to the model's context; 0 when the weights alone do
        not. Without capture, whose size depends on what is asked."""
        room = card.usable - self.weights
        low, high = 0, self.shape.context
        while low < high:
            middle = (low + high + 1) // 2
            fits = _kv(self.shape, middle, self.kv_bits) + _activations(self.shape, middle, self.format) <= room
            low, high = (middle, high) if fits else (low, middle - 1)
        return low

    def cards(self) -> pd.DataFrame:
        """By card: memory (GiB), whether this plan fits, and the longest text in tokens."""
        rows = [(c.name, c.memory / 2**30, self.fits(c), self.longest(c)) for c in CARDS]
        return pd.DataFrame(rows, columns=["card", "memory_gib", "fits", "longest_tokens"]).set_index("card")

    def by_length(self, lengths: tuple[int, ...] = _LENGTHS) -> pd.DataFrame:
        """Bytes by tokens of text: weights, kv_cache, kv_cache_full, activations, eager_scores; without capture."""
        some = [n for n in lengths if n <= self.shape.context]
        plans = [memory(self.shape, n, self.format, self.kv_bits) for n in some or [self.shape.context]]
        names = ["weights", "kv_cache", "kv_cache_full", "activations", "eager_scores"]
        table = pd.DataFrame([[getattr(plan, name) for name in names] for plan in plans], columns=names)
        table.index = pd.Index([plan.tokens for plan in plans], name="tokens")
        return table

    def to_dataframe(self) -> pd.DataFrame:
        """Bytes by part: weights, kv_cache, activations and capture, whose sum is `total`; then kv_cache_full and
        eager_scores, which are not in it."""
        names = ["weights", "kv_cache", "activations", "capture", "kv_cache_full", "eager_scores"]
        return pd.DataFrame({"part": names, "bytes": [getattr(self, name) for name in names]})

    def figure(self) -> Any:
        """A plotly figure: gibibytes by part. Raises WorkbenchError without plotly."""
        return importlib.import_module("workbench.figures.dots").memory_figure(self)

    def tables(self) -> list[tuple[str, pd.DataFrame]]:
        """The parts, the cards, and other lengths."""
        return [("Bytes by part", self.to_dataframe()), ("Cards", self.cards()), ("By length", self.by_length())]

    @property
    def provenance(self) -> dict[str, Any]:
        """What the arithmetic starts from."""
        return {"shape": dataclasses.asdict(self.shape), "tokens": self.tokens, "format": self.format,
                "kv_bits": self.kv_bits}  # fmt: skip

    def __repr__(self) -> str:
        return f"MemoryPlan({self})"

    def __str__(self) -> str:
        parts = ["weights", "kv_cache", "activations", "capture"]
        named = ", ".join(f"{p.replace('_', ' ')} {readable(getattr(self, p))}" for p in parts if getattr(self, p))
        return f"{self.shape.name}, {self.format}, {self.tokens} tokens: {readable(self.total)} ({named})"


def memory(
    model: Any, tokens: int | None = None, format: str = "bfloat16", kv_bits: int | None = None,
    capture: Capture | None = None,
) -> MemoryPlan:  # fmt: skip
    """The `MemoryPlan` of a text of ``tokens`` (prompt and reply; the whole context by default) on ``model``: a name
    whose weights need not be here ("v0.1", "v0.2", a twin, a folder with a config.json), a loaded model, or a
    `ModelShape`. format: a key of `weights.FORMATS`. kv_bits: a number's bits in the cache; by default those of the
    activations, 32 for float32 and 16 otherwise. Raises WorkbenchError for what does not exist.
    """
    shape = ModelShape.of(model)
    if format not in FORMATS:
        raise WorkbenchError(f"The format is {str(format)[:40]!r}", expected=f"one of {', '.join(FORMATS)}")
    kv_bits = (32 if format == "float32" else 16) if kv_bits is None else kv_bits
    if kv_bits not in KV_BITS:
        raise WorkbenchError(f"kv_bits is {kv_bits!r}", expected=f"one of {', '.join(map(str, KV_BITS))}")
    tokens = shape.context if tokens is None else tokens
    if not isinstance(tokens, int) or isinstance(tokens, bool) or not 1 <= tokens <= shape.context:
        raise ContextLengthError(f"A text of {tokens!r} tokens", expected=f"1 to {shape.context} for {shape.name}")
    held = 0
    if capture is not None:
        held = estimate(capture, shape, tokens).peak
    return MemoryPlan(
        shape, tokens, format, kv_bits, FORMATS[format](shape), _kv(shape, tokens, kv_bits),
        _kv(replace(shape, window=None), tokens, kv_bits), _activations(shape, tokens, format), held,
        _size(format) * shape.heads * tokens**2,
    )  # fmt: skip


def _kv(shape: ModelShape, tokens: int, bits: int) -> int:
    """Keys and values of all layers; a sliding layer stores one token less than its window."""
    stored = tokens if shape.window is None or shape.window == 1 else min(tokens, shape.window - 1)
    return 2 * shape.layers * shape.kv_heads * shape.head_dim * stored * bits // 8


def _activations(shape: ModelShape, tokens: int, format: str) -> int:
    """The widest moment of a chunk: the stream twice, the MLP's two inner products and their result; one token's logits
    in float32."""
    return min(CHUNK, tokens) * (2 * shape.hidden + 3 * shape.intermediate) * _size(format) + 4 * shape.vocab_size


def _size(format: str) -> int:
    """Bytes of an activation's number."""
    return 4 if format == "float32" else 2
