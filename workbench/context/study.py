"""A retrieval study: the trials of a plan one after the other, kept as they end, resumed, stopped, told about."""

from __future__ import annotations

import datetime
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from workbench.context.answering import Answer, AnyReader, Reader, answers
from workbench.context.grid import Grid
from workbench.context.haystack import read_haystack
from workbench.context.item import Item
from workbench.context.plan import Group, Plan, Questions, Trial
from workbench.context.shares import shares
from workbench.context.spacing import depths as spaced
from workbench.context.store import TrialStore, read_trials
from workbench.context.task import Task
from workbench.context.tasks import task as named
from workbench.inspection.provenance import provenance
from workbench.models.given import models_given

if TYPE_CHECKING:
    from workbench.model import Model


Caches = Mapping[str, "Callable[[Model], AnyReader]"]


@dataclass(frozen=True)
class Progress:
    """``done`` of ``of`` trials, ``seconds_left`` by the pace so far (None before there is one), the last ``trial`` and
    its ``answer`` (None for those that were done before)."""

    done: int
    of: int
    seconds_left: float | None
    trial: Trial | None = None
    answer: Answer | None = None


class RetrievalStudy:
    """Iterate it for a `Progress` a trial; ``grid`` is what has been found so far, also when it was stopped."""

    def __init__(
        self, plan: Plan, folder: str | Path | None = None, stop: threading.Event | None = None,
        share: tuple[int, int] = (0, 1), caches: Caches | None = None,
    ) -> None:  # fmt: skip
        """``folder`` keeps finished trials, and those found there are not done again. ``share`` (i, n): this process
        does the i-th of n equal shares. ``caches``: who reads under each of the plan's policies."""
        self._caches = dict(caches or {})
        self.plan, self.stop = plan, stop or threading.Event()
        self._store = TrialStore(folder, plan.settings()) if folder is not None else None
        self._rows: list[dict[str, Any]] = []
        self._groups = shares(plan.groups(), share[1])[share[0]]
        self._provenance = {model.name: provenance(model.loaded, (), plan.settings()) for model in plan.models}

    @property
    def grid(self) -> Grid:
        """The results so far: all of the folder, or of this object."""
        frame = pd.DataFrame(self._rows)
        if self._store is not None:
            frame = read_trials(self._store.folder)
        return Grid(frame, {"settings": self.plan.settings(), "models": self._provenance})

    @property
    def count(self) -> int:
        """Trials of this share, done or not."""
        return sum(map(len, self._groups))

    def __iter__(self) -> Iterator[Progress]:
        known = self._store.known() if self._store is not None else {row["key"] for row in self._rows}
        of, done = self.count, 0
        questions = Questions()
        tokens, spent, ahead = 0.0, 0.0, sum(group.tokens for group in self._groups)
        try:
            for group in self._groups:
                began = time.perf_counter()
                reader: AnyReader = self._caches[group.cache](group.model) if group.cache else Reader(group.model)
                waiting = _Waiting(group, known, questions, self.stop)
                for number, found in answers(reader, waiting.items(), self.stop):
                    self._keep(group, waiting.asked[number], found)
                    done += 1
                    pace = (spent + time.perf_counter() - began) / max(1.0, tokens + reader.read)
                    yield Progress(done, of, pace * max(0.0, ahead - reader.read), waiting.asked[number], found)
                    if self.stop.is_set():
                        return
                if self.stop.is_set():
                    return
                for _ in range(waiting.known):
                    done += 1
                    yield Progress(done, of, None)
                ahead -= group.tokens
                if waiting.asked:
                    spent, tokens = spent + time.perf_counter() - began, tokens + reader.read
                if self._store is not None:
                    self._store.seal()
        finally:
            if self._store is not None:
                self._store.seal()

    def _keep(self, group: Group, trial: Trial, found: Answer) -> None:
        row = as_row(group, trial, found)
        if self._store is not None:
            self._store.add(row)
        else:
            self._rows.append(row)


class _Waiting:
    """The trials of a group that are to be done: ``asked`` so far, and how many were ``known``."""

    def __init__(self, group: Group, known: set[str], questions: Questions, stop: threading.Event) -> None:
        self._group, self._known, self._questions, self._stop = group, known, questions, stop
        self.asked: list[Trial] = []
        self.known = 0

    def items(self) -> Iterator[Item]:
        for place in self._group.places:
            if self._stop.is_set():
                return
            if self._group.recipe(place) in self._known:  # without making the question
                self.known += 1
                continue
            trial = self._group.trial(place, self._questions)
            if trial.key in self._known:
                self.known += 1
                continue
            self._known.add(trial.key)  # the same question again is no second trial
            self.asked.append(trial)
            yield trial.item


def as_row(group: Group, trial: Trial, found: Answer) -> dict[str, Any]:
    """One finished trial as it is stored."""
    item, model = trial.item, trial.model
    haystack = read_haystack(group.task.haystack or group.task.own_haystack).name
    return {
        "key": trial.key, "recipe": trial.recipe, "item": item.key, "model": trial.label,
        "cache": trial.cache or "full",
        "weights": model.weights_hash, "dtype": str(model.dtype).removeprefix("torch."),
        "quantization": model.quantization or "", "variant": group.task.variant,
        "switches": json.dumps(dict(model.switches), sort_keys=True), "task": item.task, "haystack": haystack,
        "length": item.length, "depth": item.depth, "case": item.case, "seed": item.seed, "form": item.form,
        "right": found.score.right, "share": found.score.share, "logprob": found.logprob,
        "first_logprob": found.first_logprob, "expected_tokens": found.expected_tokens, "answer": found.text,
        "tokens": found.tokens, "ended": found.ended, "expected": item.expected,
        "references": json.dumps(list(item.references)), "needles": json.dumps([list(span) for span in item.needles]),
        "prompt_tokens": len(item.prompt.ids), "read": found.read, "seconds": found.seconds,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }  # fmt: skip


def needle(
    models: Model | Sequence[Model], lengths: Sequence[int] | None = None, depths: Sequence[float] | int = 5, *,
    tasks: str | Task | Sequence[str | Task] = "needle", cases: int = 5, seed: int = 0, form: str = "chat",
    haystack: str = "", folder: str | Path | None = None, stop: threading.Event | None = None,
    share: tuple[int, int] = (0, 1), caches: Caches | None = None,
) -> RetrievalStudy:  # fmt: skip
    """A `RetrievalStudy`: iterate it to run it; then its ``grid``.

    ``lengths`` in tokens, the answer's included (by default five up to the shortest context); ``depths``: shares of the
    context, or how many of them, evenly. ``tasks``: names of `tasks.TASKS`, JSONL files, or tasks. ``haystack``:
    "drawn", "noise" or a text file, for tasks that hide something in prose. ``caches``: cache policies by name, each a
    function of the model that gives its reader (`cache_lab.reading.readers`); "full" is the model's own cache, which
    alone is used where none is named. Raises a WorkbenchError for what cannot be.
    """
    every = tuple(models) if isinstance(models, Sequence) else (models,)
    models_given(*every)
    context = min(model.context for model in every) if every else 0
    asked = tuple(lengths) if lengths is not None else tuple(round(context * part / 5) for part in range(1, 6))
    wanted = [tasks] if isinstance(tasks, str | Task) else list(tasks)
    where = spaced(depths) if isinstance(depths, int) else tuple(depths)
    under = tuple("" if name == "full" else name for name in caches) if caches else ("",)
    plan = Plan(every, tuple(named(one, haystack) for one in wanted), asked, where, cases, seed, form, under)
    return RetrievalStudy(plan, folder, stop, share, caches)
