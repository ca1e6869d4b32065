"""The models a page offers: loaded once, when first needed, and shared by all visitors."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import workbench as wb
from apps.server.faults import Faults
from apps.server.metrics import Metrics
from workbench.errors import UnknownModelError, WorkbenchError
from workbench.models.registry import resolve
from workbench.models.switches import describe

if TYPE_CHECKING:
    from apps.studio.visit import Visiting

MOST_SWITCHED = 8
"""Switched models kept; each is a few small containers around the same weights."""
RETRY = 30.0
"""Seconds after which a model that could not be loaded is tried again."""
_FACTS = ("window", "theta", "context", "kv_bytes_per_token")


class Shelf:
    """One or two models by name, in the order of their columns."""

    def __init__(
        self, models: Sequence[str | wb.Model], loading: Mapping[str, Any] | None = None,
        visiting: Visiting | None = None, faults: Faults | None = None, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """``models`` are names for `wb.load`, which gets the keywords ``loading``, or models already loaded. One of two
        names may be of nothing that is there: the other is served. With ``visiting`` their weights are of use on its
        visits only; here they tokenize and tell their facts."""
        if not 1 <= len(models) <= 2:
            raise WorkbenchError(f"{len(models)} models", expected="one or two", remedy="Name at most two")
        self._loading, self.visiting = dict(loading or {}), visiting
        self._loaded: dict[str, wb.Model] = {}
        self._switched: dict[tuple[Any, ...], wb.Model] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._failed: dict[str, tuple[str, float]] = {}
        self.faults, self._clock = faults or Faults(Metrics()), clock
        unknown: list[UnknownModelError] = []
        self.names: list[str] = []
        for model in models:
            try:
                name = resolve(model).name if isinstance(model, str) else model.name
            except UnknownModelError as error:
                name = str(model)
                unknown.append(error)
                self._fail(name, error)
            if name in self._locks:
                raise WorkbenchError(f"{name} was named twice", remedy="Name two different models, or one")
            if not isinstance(model, str):
                self._loaded[name] = model
            self.names.append(name)
            self._locks[name] = threading.Lock()
        if len(unknown) == len(models):
            raise unknown[0]

    def get(self, name: str, switches: Mapping[str, Any] | None = None) -> wb.Model:
        """The model, loaded now if it is not yet, under another window or theta where ``switches`` say so: one model
        object for the same switches. WorkbenchError when it cannot be."""
        with self._locks[name]:
            if name not in self._loaded:
                self._loaded[name] = self._load(name)
            model = self._loaded[name]
            if not switches:
                return model
            if self.visiting is not None:
                raise WorkbenchError("A switched model only answers here", remedy="Ask it a question")
            key = (name, *sorted(switches.items()))
            found = self._switched.pop(key, None) or model.switched(**switches)
            self._switched[key] = found  # the latest last
            while len(self._switched) > MOST_SWITCHED:
                del self._switched[next(iter(self._switched))]
            return found

    def _load(self, name: str) -> wb.Model:
        """Load it, unless that has failed a moment ago. WorkbenchError, whatever went wrong."""
        sentence, at = self._failed.get(name, ("", 0.0))
        if not sentence or self._clock() - at >= RETRY:
            try:
                model = wb.load(name, **self._loading)
            except Exception as error:
                sentence = self._fail(name, error)
            else:
                self._failed.pop(name, None)
                return model
        raise WorkbenchError(sentence)

    def _fail(self, name: str, error: BaseException) -> str:
        sentence = (
            f"{title(name)} could not be loaded, and is tried again after {RETRY:.0f} s: {self.faults.told(error)}"
        )
        self._failed[name] = (sentence, self._clock())
        return sentence

    def ready(self) -> dict[str, wb.Model]:
        """The models that can be loaded, by name, loaded now if they are not yet. WorkbenchError when none can be."""
        found, errors = {}, []
        for name in self.names:
            try:
                found[name] = self.get(name)
            except WorkbenchError as error:
                errors.append(error)
        if not found:
            raise errors[0]
        return found

    def warm(self) -> None:
        """Load every model and let it write one token, so that the first visitor does not wait for it."""
        for name in self.names if self.visiting is None else ():
            try:
                for _ in self.get(name).generate("Hi", wb.Sampling(max_new_tokens=1), capture=wb.Capture.nothing()):
                    pass
            except Exception as error:
                print(f"{name}: {self.faults.told(error)}", flush=True)

    def label(self, name: str, switches: Mapping[str, Any]) -> str:
        """A model's title with what is switched: "v0.1 · no window"."""
        return " · ".join(part for part in (title(name), describe(dict(switches))) if part)

    def describe(self, name: str, facts: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What the page says of a model as it was loaded: model, title, tone ("a" or "b"); and once it is loaded, or
        ``facts`` of an inspection are at hand: window, theta, dtype, device, context (most tokens),
        kv_bytes_per_token; "failed", a sentence, when it could not be loaded."""
        found: dict[str, Any] = {"model": name, "title": title(name), "tone": "ab"[self.names.index(name)]}
        if (failed := self._failed.get(name)) is not None:  # a thread that loads it may drop it meanwhile
            found["failed"] = failed[0]
        with suppress(UnknownModelError):
            spec = resolve(name)
            if spec.checked:
                found |= {"window": spec.window, "theta": spec.theta}
        if (model := self._loaded.get(name)) is not None:
            found |= {fact: getattr(model, fact) for fact in _FACTS}
            found |= {"dtype": str(model.dtype).removeprefix("torch."), "device": str(model.device)}
        elif facts:
            found |= {fact: facts[fact] for fact in (*_FACTS, "dtype", "device")}
        return found


def title(name: str) -> str:
    """A short name for a switch or a column: the last part of a path or hub id."""
    return name.rstrip("/").rsplit("/", 1)[-1]
