"""What a retrieval study will read and compute, from the models' shapes alone: no weights, no tokenizer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.context.answering import Reader, answer
from workbench.context.reading import flop, places_of, readings
from workbench.context.task import Task
from workbench.errors import ContextLengthError
from workbench.models.shape import ModelShape

if TYPE_CHECKING:
    from workbench.model import Model


@dataclass(frozen=True)
class Forecast:
    """What one model of ``shape`` is asked: ``trials``; ``tokens`` read, of ``whole`` if every text were read alone;
    ``flop`` of reading them (a multiply-add is two); ``written``: tokens of the answers at most; ``kv_bytes`` of one
    text of the ``longest`` length in two-byte numbers, every token kept, as the shared beginnings are."""

    shape: ModelShape
    longest: int
    trials: int
    tokens: int
    whole: int
    flop: int
    written: int

    @property
    def kv_bytes(self) -> int:
        shape = self.shape
        return 2 * 2 * shape.layers * shape.kv_heads * shape.head_dim * self.longest

    @property
    def need(self) -> int:
        """Bytes of the weights in two-byte numbers and of three such caches: two shared beginnings and a text that
        leaves one."""
        return 2 * self.shape.parameters + 3 * self.kv_bytes

    def seconds(self, flop_rate: float, bytes_rate: float | None = None) -> float:
        """Of reading at ``flop_rate`` a second and, where ``bytes_rate`` is said, of writing every answer to the end of
        its budget, each token as long as its weights take to be fetched."""
        writing = 0.0 if bytes_rate is None else self.written * 2 * self.shape.parameters / bytes_rate
        return self.flop / flop_rate + writing


def forecast(
    shape: ModelShape, lengths: Sequence[int], depths: Sequence[float], tasks: Sequence[Task], cases: int
) -> Forecast:
    """The `Forecast` of a study as `workbench.context.study.needle` would do it. Raises ContextLengthError for a length
    beyond the model's context."""
    if max(lengths) > shape.context:
        raise ContextLengthError(
            f"A length of {max(lengths)} tokens", expected=f"at most {shape.context} for {shape.name}",
            remedy="Ask for shorter lengths",
        )  # fmt: skip
    trials = tokens = whole = work = written = 0
    for task in tasks:
        places = places_of(lengths, depths, task.deep)
        read = readings(places, task)
        trials += cases * len(places)
        tokens += cases * sum(stop - start for start, stop in read)
        whole += cases * sum(stop for _, stop in read)
        work += cases * sum(flop(shape, *part) for part in read)
        written += cases * len(places) * task.budget
    return Forecast(shape, max(lengths), trials, tokens, whole, work, written)


def pace(model: Model, task: Task, length: int) -> float:
    """Floating-point operations a second of ``model`` here, measured on one question of ``length`` tokens, read twice;
    the second counts."""
    item = task.make(model.tokenizer, length)
    for _ in range(2):
        began = time.perf_counter()
        reader = Reader(model)
        answer(reader, item)
        spent = time.perf_counter() - began
    return flop(ModelShape.of(model), 0, reader.read) / spent
