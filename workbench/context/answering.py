"""Answers to retrieval items: greedy text and the log-probability of the right answer, from one reading.

A written-out right answer is read behind the prompt. Its logits give its log-probability; as long as the most likely
token is the answer's own, they are also the greedy reply, and only where the model departs from it is the rest written
token by token. Several prompts are read before any is answered, and their answers are then read and written together:
one forward gives each of them its next token, and a reply that has ended leaves the others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from workbench.context.item import Item
from workbench.context.reader import AnyReader, Reader
from workbench.context.scoring import Score, score
from workbench.errors import ContextLengthError
from workbench.generation.beginning import end_tokens
from workbench.generation.packed import Part
from workbench.generation.sampling import Sampling

if TYPE_CHECKING:
    from workbench.model import Model


TOGETHER = 12
"""The most items that are answered together."""
HELD = 2**29
"""Bytes of their caches after which no more are read before those are answered,"""
SOON = 5.0
"""and seconds of reading: what a stop or a kill can lose."""


@dataclass(frozen=True)
class Answer:
    """``text`` of the greedy reply, ``tokens`` of it, ``ended`` by itself or cut at the budget; its ``score``.

    ``logprob``: nats of the expected answer, all its ``expected_tokens`` together; ``first_logprob`` of its first one.
    ``seconds`` of wall clock, of what was done for several its share; ``read`` tokens that were really read (what an
    earlier text shared was not).
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


def answer(reader: AnyReader, item: Item, stop: threading.Event | None = None) -> Answer | None:
    """The `Answer` of the reader's model to ``item``; None when stopped. Raises ContextLengthError when the item is
    longer than the model's positions."""
    return next((found for _, found in answers(reader, [item], stop)), None)


def answers(
    reader: AnyReader, items: Iterable[Item], stop: threading.Event | None = None
) -> Iterator[tuple[int, Answer]]:
    """Each of ``items`` by its number, in their order, and its `Answer`: those answered together come together.
    Ends early when stopped. Raises ContextLengthError for an item longer than the model's positions."""
    several = isinstance(reader, Reader)
    rows: list[_Row] = []
    held, began = 0, time.perf_counter()
    for number, item in enumerate(items):
        row = _read(reader, number, item, stop)
        if row is None:
            return
        rows.append(row)
        held += sum(part.nbytes for layer in row.cache.layers for part in (layer.keys, layer.values)) if several else 0
        if not several or len(rows) == TOGETHER or held > HELD or time.perf_counter() - began > SOON:
            yield from sorted(_replies(reader, rows, stop), key=itemgetter(0))
            rows, held, began = [], 0, time.perf_counter()
    if rows:
        yield from sorted(_replies(reader, rows, stop), key=itemgetter(0))


@dataclass(eq=False)
class _Row:
    """An item whose prompt has been read, on its way to an answer. ``first``: logits (vocabulary,) behind the prompt;
    ``cache``: after all that was fed; ``seconds`` and tokens ``read`` so far."""

    number: int
    item: Item
    expected: tuple[int, ...]
    first: Tensor
    cache: Any
    seconds: float
    read: int
    logprobs: list[float] = field(default_factory=list)
    reply: list[int] = field(default_factory=list)

    def answer(self, model: Model, ends: Collection[int]) -> Answer | None:
        """None while the reply goes on."""
        ended = next((i for i, token in enumerate(self.reply) if token in ends), None)
        if ended is None and len(self.reply) < self.item.budget:
            return None
        reply = self.reply[: self.item.budget] if ended is None else self.reply[:ended]
        text = model.tokenizer.decode(reply).strip()
        return Answer(
            text, len(reply), ended is not None, score(text, self.item.references, self.item.judge),
            sum(self.logprobs), self.logprobs[0], len(self.expected), self.seconds, self.read,
        )  # fmt: skip


def _read(reader: AnyReader, number: int, item: Item, stop: threading.Event | None) -> _Row | None:
    """The row of ``item`` once its prompt has been read; None when stopped."""
    model, began, before = reader.model, time.perf_counter(), reader.read
    if item.length > model.context:
        raise ContextLengthError(
            f"A context of {item.length} tokens", expected=f"at most {model.context} for {model.name}",
            remedy="Ask for shorter lengths",
        )  # fmt: skip
    found = reader.read_up_to(item.prompt.ids, stop)
    if found is None:
        return None
    first, cache = found
    spent = time.perf_counter() - began
    return _Row(number, item, expected_ids(model, item), first, cache, spent, reader.read - before)


def _replies(reader: AnyReader, rows: Sequence[_Row], stop: threading.Event | None) -> Iterator[tuple[int, Answer]]:
    """The answers of ``rows`` as their replies end."""
    ends = end_tokens(Sampling().generation_config(reader.module))
    again = [reader.returning(row.cache, len(row.item.prompt.ids)) for row in rows]
    logits = _fed(reader, rows, [(row.expected, row.cache, len(row.expected)) for row in rows])
    waiting: list[_Row] = []
    for row, back, behind in zip(rows, again, logits, strict=True):
        known = torch.cat([row.first[None], behind])
        right = torch.tensor(row.expected, device=known.device)[:, None]
        row.logprobs = (known[:-1].gather(1, right)[:, 0] - known[:-1].logsumexp(-1)).tolist()
        row.reply = _agreed(known.argmax(-1).tolist(), row.expected)
        if (found := row.answer(reader.model, ends)) is not None:
            yield row.number, found
            continue
        if len(row.reply) <= len(row.expected):  # it departs: back to where the prompt ended
            row.cache = back()
        waiting.append(row)
    del again
    new = [row.reply if len(row.reply) <= len(row.expected) else row.reply[-1:] for row in waiting]
    while waiting:
        if stop is not None and stop.is_set():
            return
        logits = _fed(reader, waiting, [(ids, row.cache, 1) for ids, row in zip(new, waiting, strict=True)])
        going = []
        for row, behind in zip(waiting, logits, strict=True):
            row.reply.append(int(behind[-1].argmax()))
            if (found := row.answer(reader.model, ends)) is not None:
                yield row.number, found
            else:
                going.append(row)
        waiting, new = going, [row.reply[-1:] for row in going]


def _fed(reader: AnyReader, rows: Sequence[_Row], parts: Sequence[Part]) -> list[Tensor]:
    """Feed each row's part, together where the reader can; each row is charged its tokens and its share of the time."""
    began = time.perf_counter()
    if isinstance(reader, Reader) and len(parts) > 1:
        logits = reader.feed_each(parts)
    else:
        logits = [reader.feed(*part) for part in parts]
    each = (time.perf_counter() - began) / len(rows)
    for row, (ids, _, _) in zip(rows, parts, strict=True):
        row.seconds += each
        row.read += len(ids)
    return logits


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


__all__ = ["Answer", "AnyReader", "Reader", "answer", "answers", "expected_ids"]
