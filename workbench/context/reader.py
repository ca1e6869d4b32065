"""Reading the texts of a study: those that begin alike are read from where they part."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor
from transformers import DynamicCache

from workbench.context.reading import SPREAD
from workbench.generation.packed import Part, forward_packed
from workbench.generation.prefill import forward_rows, new_cache

if TYPE_CHECKING:
    from workbench.model import Model


STEP = 1024
"""Tokens read at once: few, because a step that stands behind others works out every key for every query."""


class Reader:
    """Reads texts of one model that share beginnings; holds the cache of the first one, the trunk, which the others
    leave, and of the last one that had next to nothing in common with it (a needle at the very beginning: shorter texts
    share that one). One reader a case then, and the longest text with the latest needle first."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.module: Any = model.module
        self._trunks: list[tuple[tuple[int, ...], list[tuple[Tensor, Tensor]]]] = []
        self.read = 0

    def read_up_to(self, ids: Sequence[int], stop: threading.Event | None = None) -> tuple[Tensor, Any] | None:
        """Float32 logits (vocabulary,) behind ``ids``, and the cache after them; None when stopped. A trunk's cache
        keeps every token, whatever the window, so that it can be left anywhere."""
        ids = tuple(ids)
        shared, nearest = max(((_common(ids, known), i) for i, (known, _) in enumerate(self._trunks)), default=(0, 0))
        trunk = not self._trunks or (shared < SPREAD * len(ids) and _room(self._trunks[0][1]))
        at = 0 if trunk else min(shared, len(ids) - 1)
        cache = DynamicCache() if trunk else cropped(self.module, self._trunks[nearest][1], at)
        logits: Tensor | None = None
        while at < len(ids):
            if stop is not None and stop.is_set():
                return None
            logits = self.feed(ids[at : at + STEP], cache, 1)[-1]
            at += STEP
        assert logits is not None
        if trunk:
            self._trunks[1:] = []
            self._trunks.append((ids, layers_of(cache)))
        return logits, cache

    def feed(self, ids: Sequence[int], cache: Any, rows: int) -> Tensor:
        """Read ``ids`` behind what ``cache`` holds; float32 logits (rows, vocabulary) of the last ``rows``."""
        self.read += len(ids)
        return forward_rows(self.module, list(ids), cache, None, rows)

    def feed_each(self, parts: Sequence[Part]) -> list[Tensor]:
        """`feed` for each of several texts, in one forward."""
        self.read += sum(len(ids) for ids, _, _ in parts)
        return forward_packed(self.module, parts)

    def returning(self, cache: Any, length: int) -> Callable[[], Any]:
        """A function that gives a cache as ``cache`` is now, after ``length`` tokens, whatever is read behind it."""
        stood = layers_of(cache)
        return lambda: cropped(self.module, stood, length, length)


class AnyReader(Protocol):
    """What `answer` needs: `Reader`, or one that reads with another cache (`workbench.cache_lab`)."""

    @property
    def read(self) -> int: ...
    @property
    def model(self) -> Model: ...
    @property
    def module(self) -> Any: ...
    def read_up_to(self, ids: Sequence[int], stop: threading.Event | None = None) -> tuple[Tensor, Any] | None: ...
    def feed(self, ids: Sequence[int], cache: Any, rows: int) -> Tensor: ...
    def returning(self, cache: Any, length: int) -> Callable[[], Any]: ...


def _room(layers: list[tuple[Tensor, Tensor]]) -> bool:
    """Whether a GPU has the memory for another trunk like this one, and for a text that leaves it."""
    keys = layers[0][0]
    if keys.device.type != "cuda":
        return True
    held = sum(part.nbytes for pair in layers for part in pair)
    return bool(torch.cuda.mem_get_info(keys.device)[0] > 3 * held)


def layers_of(cache: DynamicCache) -> list[tuple[Tensor, Tensor]]:
    """Keys and values (1, kv_head, tokens, head_dim) of each layer. They are never written to."""
    return [(layer.keys, layer.values) for layer in cache.layers]


def cropped(module: Any, layers: list[tuple[Tensor, Tensor]], length: int, read: int | None = None) -> DynamicCache:
    """A cache of ``module`` after ``length`` tokens, without a copy, from ``layers`` that hold the last of the ``read``
    first tokens of a text (all of them, where nothing else is said): layers with a sliding window begin with what they
    would still store."""
    cache = new_cache(module)
    for layer, (keys, values) in zip(cache.layers, layers, strict=False):
        layer.update(keys[:, :, :0], values[:, :, :0])  # sets its type and device
        dropped = (keys.shape[-2] if read is None else read) - keys.shape[-2]
        stored = min(length, layer.sliding_window - 1) if getattr(layer, "is_sliding", False) else length
        part = slice(length - stored - dropped, length - dropped)
        layer.keys, layer.values = keys[:, :, part], values[:, :, part]
        if hasattr(layer, "cumulative_length"):
            layer.cumulative_length = length
    return cache


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    for i, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return i
    return min(len(one), len(other))
