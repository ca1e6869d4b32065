"""What a retrieval study asks: every model every item, in an order that reads shared beginnings once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from workbench.context.identity import source_of
from workbench.context.item import Item
from workbench.context.reading import flop, places_of, readings
from workbench.context.task import Task
from workbench.errors import ContextLengthError, WorkbenchError
from workbench.models.shape import ModelShape

if TYPE_CHECKING:
    from workbench.model import Model

MOST_TRIALS = 1_000_000
MOST_REMEMBERED = 300_000
"""Tokens of items held for the next model, some 250 bytes each."""


@dataclass(frozen=True)
class Trial:
    """One item for one model under one cache policy ("": the model's own cache); ``recipe``: see `Group.recipe`."""

    model: Model
    item: Item
    cache: str = ""
    recipe: str | None = None

    @property
    def label(self) -> str:
        """The model's name, with the policy where there is one."""
        return f"{self.model.name} [{self.cache}]" if self.cache else self.model.name

    @property
    def key(self) -> str:
        """Sixteen digits that name model, switches, precision, item and policy: the same on every machine."""
        return _named(self.item.key, self.model, self.cache)


def _named(question: str, model: Model, cache: str) -> str:
    said = [question, model.weights_hash, dict(model.switches), str(model.dtype), model.quantization]
    said += [cache] if cache else []
    return hashlib.sha256(json.dumps(said, default=str).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Group:
    """Trials of one model, policy and case: their texts begin alike. The longest with the latest needle first."""

    model: Model
    task: Task
    case: int
    places: tuple[tuple[int, float], ...]
    seed: int
    form: str
    cache: str = ""

    def trials(self, questions: Questions | None = None) -> Iterator[Trial]:
        """Its trials in their order; ``questions`` remembers those that another model was asked before."""
        questions = Questions() if questions is None else questions
        for place in self.places:
            yield self.trial(place, questions)

    def trial(self, place: tuple[int, float], questions: Questions) -> Trial:
        """The trial at one of its places."""
        return Trial(self.model, questions.of(self, *place), self.cache, self.recipe(place))

    def recipe(self, place: tuple[int, float]) -> str | None:
        """As `Trial.key` of the trial at ``place``, without making its question: two equal ones have equal trials. None
        where that cannot be said."""
        source = self._source
        return None if source is None else _named(f"{source}/{place[0]}/{place[1]!r}", self.model, self.cache)

    @cached_property
    def _source(self) -> str | None:
        return source_of(self.task, self.seed, self.case, self.form, self.model.tokenizer.sha256)

    def __len__(self) -> int:
        return len(self.places)

    @property
    def tokens(self) -> float:
        """About how many tokens are read."""
        return sum(stop - start for start, stop in readings(self.places, self.task))

    @property
    def work(self) -> float:
        """About how many multiply-adds its model needs, by its shape."""
        shape = ModelShape.of(self.model)
        return sum(flop(shape, *part) for part in readings(self.places, self.task)) / 2


class Questions:
    """The items of the last case that was asked about, for the next model with the same tokenizer: to fit a text to a
    length takes a tenth of the time that a small model takes to read it."""

    def __init__(self) -> None:
        self._about: tuple[object, ...] = ()
        self._items: dict[tuple[int, float], Item] = {}
        self._tokens = 0

    def of(self, group: Group, length: int, depth: float) -> Item:
        about = (group.task, group.case, group.seed, group.form, group.model.tokenizer.sha256)
        if about != self._about:
            self._about, self._items, self._tokens = about, {}, 0
        found = self._items.get((length, depth))
        if found is None:
            found = group.task.make(group.model.tokenizer, length, depth, group.case, group.seed, group.form)
            if self._tokens + length <= MOST_REMEMBERED:
                self._items[length, depth] = found
                self._tokens += length
        return found


@dataclass(frozen=True)
class Plan:
    """``models`` x ``caches`` x ``tasks`` x ``lengths`` x ``depths`` x ``cases`` questions of one ``seed`` and
    ``form``. ``caches`` are the names of cache policies, "" for the model's own cache."""

    models: tuple[Model, ...]
    tasks: tuple[Task, ...]
    lengths: tuple[int, ...]
    depths: tuple[float, ...]
    cases: int
    seed: int = 0
    form: str = "chat"
    caches: tuple[str, ...] = ("",)

    def __post_init__(self) -> None:
        for name, values in (("models", self.models), ("tasks", self.tasks), ("lengths", self.lengths),
                             ("depths", self.depths), ("caches", self.caches)):  # fmt: skip
            if not values:
                raise WorkbenchError(f"There are no {name}", expected="at least one of each")
        if self.cases < 1:
            raise WorkbenchError(f"{self.cases} cases", expected="at least one")
        if len({model.name for model in self.models}) < len(self.models):
            raise WorkbenchError("Two models have one name", expected="each model once")
        if self.count > MOST_TRIALS:
            raise WorkbenchError(f"{self.count} trials", expected=f"at most {MOST_TRIALS}")
        for model in self.models:
            if max(self.lengths) > model.context:
                raise ContextLengthError(
                    f"A length of {max(self.lengths)} tokens", expected=f"at most {model.context} for {model.name}",
                    remedy="Ask for shorter lengths",
                )  # fmt: skip
        for task in self.tasks:
            for tokenizer in {model.tokenizer.sha256: model.tokenizer for model in self.models}.values():
                task.check(tokenizer, self.cases)
        if min(self.lengths) < 1 or not all(0 <= depth <= 1 for depth in self.depths):
            raise WorkbenchError("A length or depth is out of range", expected="lengths of tokens, depths of 0 to 1")

    @property
    def count(self) -> int:
        """How many trials there are."""
        each = sum(len(places_of(self.lengths, self.depths, task.deep)) for task in self.tasks)
        return each * self.cases * len(self.models) * len(self.caches)

    def groups(self) -> list[Group]:
        """All trials, those with a common beginning together; case by case, so that a stopped study has seen all
        models, tasks, lengths and depths equally often."""
        found = []
        for case in range(self.cases):
            for task in self.tasks:
                places = places_of(self.lengths, self.depths, task.deep)
                found += [
                    Group(model, task, case, places, self.seed, self.form, cache)
                    for model in self.models
                    for cache in self.caches
                ]
        return found

    def items(self) -> list[Item]:
        """The questions as the first model is asked them."""
        first = [one for one in self.groups() if one.model is self.models[0] and one.cache == self.caches[0]]
        return [trial.item for group in first for trial in group.trials()]

    def settings(self) -> dict[str, Any]:
        """What all trials of one store have in common; everything else stands in each trial's key."""
        return {"kind": "retrieval", "format": 1, "seed": self.seed, "form": self.form}
