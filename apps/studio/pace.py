"""What a retrieval study would cost, by a short reading: questions, tokens, seconds and bytes."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from workbench.capture.cost import readable
from workbench.context.answering import Reader, answer
from workbench.context.study import RetrievalStudy

LONGER = 4
"""The second question that is timed is so many times as long as the shortest, at most."""


@dataclass(frozen=True)
class Forecast:
    """``trials`` questions, ``tokens`` to read (what texts share counted once), ``seconds`` by the pace just measured,
    ``kv_bytes`` of the longest text for the model that needs most."""

    trials: int
    tokens: int
    seconds: float
    kv_bytes: int

    @property
    def sentence(self) -> str:
        spent = f"{self.seconds / 60:.0f} min" if self.seconds >= 90 else f"{max(1, round(self.seconds))} s"
        return (
            f"{self.trials:,} questions, about {self.tokens:,} tokens to read, about {spent} here; "
            f"the KV cache of the longest text takes {readable(self.kv_bytes)}."
        )


def forecast(study: RetrievalStudy, stop: threading.Event) -> Forecast:
    """Answers one short and one longer question of the study with each model, without keeping them: their times give a
    cost of a question and of a token."""
    plan = study.plan
    short = plan.lengths[0]
    long = max(length for length in plan.lengths if length <= LONGER * short)
    seconds = 0.0
    for model in plan.models:
        _timed(study, model, short, stop)  # a first call is slow
        spent = {length: _timed(study, model, length, stop) for length in dict.fromkeys((short, long))}
        per_token = max(0.0, (spent[long] - spent[short]) / (long - short)) if long > short else spent[short] / short
        per_question = max(0.0, spent[short] - per_token * short)
        groups = [group for group in plan.groups() if group.model is model]
        seconds += sum(len(group) * per_question + group.tokens * per_token for group in groups)
    tokens = round(sum(group.tokens for group in plan.groups()))
    kv_bytes = max(int(model.kv_bytes_per_token) for model in plan.models) * max(plan.lengths)
    return Forecast(plan.count, tokens, seconds, kv_bytes)


def _timed(study: RetrievalStudy, model: object, length: int, stop: threading.Event) -> float:
    plan = study.plan
    reader = Reader(next(one for one in plan.models if one is model))
    began = time.perf_counter()
    item = plan.tasks[0].make(reader.model.tokenizer, length, 0.5, 0, plan.seed, plan.form)
    answer(reader, item, stop)
    return time.perf_counter() - began
