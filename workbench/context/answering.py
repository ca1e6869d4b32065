"""Answers to retrieval items: greedy text and the log-probability of the right answer, from one reading.

A written-out right answer is read behind the prompt. Its logits give its log-probability; as long as the most likely
token is the answer's own, they are also the greedy reply, and only where the model departs from it is the rest written
token by token. Texts that begin alike are read from where they part.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor
from transformers import DynamicCache

from workbench.context.item import Item
from workbench.context.reading import SPREAD
from workbench.context.scoring import Score, score
from workbench.errors import ContextLengthError
from workbench.generation.beginning import end_tokens
from workbench.generation.prefill import forward_rows, new_cache
from workbench.generation.sampling import Sampling

if TYPE_CHECKING:
    from workbench.model import Model


STEP = 1024
"""Tokens read at once: few, because a step that stands behind others works out every key for every query."""


@dataclass(frozen=True)
class Answer:
    """``text`` of the greedy reply, ``tokens`` of it, ``ended`` by itself or cut at the budget; its ``score``.

    ``logprob``: nats of the expected answer, all its ``expected_tokens`` together; ``first_logprob`` of its first one.
    ``seconds`` of wall clock, ``read`` tokens that were really read (what an earlier text shared was not).
    """

    text: str
    tokens: int
    ended: bool
    score: Score
    logprob: float
    first_logprob: float
    expected_tokens: int
    seconds: float
    read: int


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


def answer(reader: AnyReader, item: Item, stop: threading.Event | None = None) -> Answer | None:
    """The `Answer` of the reader's model to ``item``; None when stopped. Raises ContextLengthError when the item is
    longer than the model's positions."""
    model, began, before = reader.model, time.perf_counter(), reader.read
    if item.length > model.context:
        raise ContextLengthError(
            f"A context of {item.length} tokens", expected=f"at most {model.context} for {model.name}",
            remedy="Ask for shorter lengths",
        )  # fmt: skip
    prompt, expected = item.prompt.ids, expected_ids(model, item)
    found = reader.read_up_to(prompt, stop)
    if found is None:
        return None
    first, cache = found
    again = reader.returning(cache, len(prompt))
    rows = torch.cat([first[None], reader.feed(expected, cache, len(expected))])
    logprobs = [float(row[token] - row.logsumexp(-1)) for row, token in zip(rows, expected, strict=False)]
    reply = _agreed(rows.argmax(-1).tolist(), expected)
    ends = end_tokens(Sampling().generation_config(reader.module))
    if reply[-1] not in ends and len(reply) < item.budget:
        if len(reply) <= len(expected):  # it departs: back to where the prompt ended
            cache = again()
            if len(reply) > 1:
                reader.feed(reply[:-1], cache, 1)
        while reply[-1] not in ends and len(reply) < item.budget:
            if stop is not None and stop.is_set():
                return None
            reply.append(int(reader.feed(reply[-1:], cache, 1)[-1].argmax()))
    ended = next((i for i, token in enumerate(reply) if token in ends), None)
    reply = reply[: item.budget] if ended is None else reply[:ended]
    text = model.tokenizer.decode(reply).strip()
    return Answer(
        text, len(reply), ended is not None, score(text, item.references, item.judge), sum(logprobs), logprobs[0],
        len(expected), time.perf_counter() - began, reader.read - before,
    )  # fmt: skip


def expected_ids(model: Model, item: Item) -> tuple[int, ...]:
    """The ids of the expected answer as this model would write it behind the prompt."""
    tokenizer = model.tokenizer
    return tuple(tokenizer.encode(item.expected if tokenizer.is_v1 or item.form == "chat" else f" {item.expected}"))


def _agreed(best: Sequence[int], expected: Sequence[int]) -> list[int]:
    """The greedy reply as far as the logits behind the expected answer tell it: up to and with the first departure."""
    for i, token in enumerate(expected):
        if best[i] != token:
            return list(best[: i + 1])
    return list(best[: len(expected) + 1])


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    for i, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return i
    return min(len(one), len(other))
