"""What a chat writes with: its models, sampling, capture and cache policy, from the next question on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import traitlets

from workbench.capture.request import Capture
from workbench.errors import CaptureError, SamplingError, WorkbenchError
from workbench.generation.prefix import PrefixStore
from workbench.generation.sampling import Sampling
from workbench.model import Model, caching_of
from workbench.widgets.base import View
from workbench.widgets.writing import Settings


class Writers(View):
    """One model or two, and how they write."""

    models_shown: Any = traitlets.List().tag(sync=True)  # [{"name", "tone"}]

    def __init__(
        self, models: Sequence[Model], sampling: Sampling | None, capture: Capture | None, cache: str | None
    ) -> None:
        self._models: tuple[Model, ...] = ()
        self._store = PrefixStore()
        _two(models)
        super().__init__()
        self.models = models  # type: ignore[assignment]
        self.sampling, self.capture, self.cache = sampling or Sampling(max_new_tokens=256), capture, cache

    @property
    def models(self) -> tuple[Model, ...]:
        """The models, as many as at first; others take over with the next question."""
        return self._models

    @models.setter
    def models(self, models: Sequence[Model] | Model) -> None:
        given = _two([models] if isinstance(models, Model) else models)
        if self._models and len(given) != len(self._models):
            raise WorkbenchError(f"{len(given)} models", expected=f"{len(self._models)}, as the chat has had so far")
        self._models = given
        self.models_shown = [
            {"name": name, "tone": tone} for name, tone in zip(self.names, "ab", strict=False)
        ]  # fmt: skip

    @property
    def names(self) -> list[str]:
        """The models' names in this chat."""
        found = [str(one.name).rstrip("/").rsplit("/", 1)[-1] for one in self._models]
        return found if len(set(found)) == len(found) else [f"{name} · {side}" for name, side in zip(found, "ab")]

    @property
    def sampling(self) -> Sampling:
        return self._sampling

    @sampling.setter
    def sampling(self, sampling: Sampling) -> None:
        if not isinstance(sampling, Sampling):
            raise SamplingError(f"The sampling is a {type(sampling).__name__}", expected="Sampling(...)")
        self._sampling = sampling

    @property
    def capture(self) -> Capture | None:
        return self._capture

    @capture.setter
    def capture(self, capture: Capture | None) -> None:
        if capture is not None and not isinstance(capture, Capture):
            raise CaptureError(f"The capture is a {type(capture).__name__}", expected="Capture(...) or None")
        self._capture = capture

    @property
    def cache(self) -> str | None:
        """A cache policy as `Model.generate` takes it; None for the model's own cache."""
        return self._cache

    @cache.setter
    def cache(self, cache: str | None) -> None:
        if cache is not None:
            caching_of(cache)
        self._cache = cache

    @property
    def settings(self) -> Settings:
        """What the next reply is written with."""
        return Settings(self.sampling, self.capture, self.cache, self._store)


def _two(models: Iterable[Any]) -> tuple[Model, ...]:
    found = tuple(models)
    if not 1 <= len(found) <= 2 or not all(isinstance(one, Model) for one in found):
        said = ", ".join(type(one).__name__ for one in found) or "nothing"
        raise WorkbenchError(f"A chat with {said}", expected='one or two models of wb.load("...")')
    return found
