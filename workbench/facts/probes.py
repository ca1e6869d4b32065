"""Theta and window found from loss: neither is stored in the weights, but the weights work best under their own.

The same texts are read under one value after another (`Model.switched`, no weight is copied), and the mean loss of each
is compared with that of the stated value, text by text.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from workbench.capture.request import Capture, LensCapture
from workbench.chat.shipped import shipped_texts
from workbench.errors import PromptError
from workbench.models.architecture import theta_text

if TYPE_CHECKING:
    from workbench.model import Model

FACTORS = (1 / 64, 1 / 16, 1 / 4, 1.0, 4.0, 16.0, 64.0)
"""Thetas tried, as multiples of the stated one."""
_LOSS = Capture(attention=None, lens=LensCapture(layers=[-1], positions="all", top_k=1), kv_cache=False)


@dataclass(frozen=True)
class Probe:
    """Mean loss (value, text) in nats a token of ``texts`` texts under each of ``values``; ``stated`` is one of them.

    ``lengths`` (text,): tokens whose prediction was scored.
    """

    switch: str
    values: tuple[Any, ...]
    stated: Any
    losses: np.ndarray
    lengths: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Loss (value,) over all tokens, nats."""
        return np.average(self.losses, axis=1, weights=self.lengths)

    @property
    def best(self) -> Any:
        """The value with the lowest loss; the stated one where it is as low."""
        mean = self.mean
        own = self.values.index(self.stated)
        return self.stated if mean[own] <= mean.min() else self.values[int(mean.argmin())]

    @property
    def agrees(self) -> bool | None:
        """Whether the stated value is the best: None where these texts cannot say. They cannot when another value is as
        low, or lower by less than twice the standard error of the difference over texts, or when it is a wider window:
        more in sight can help any model, while a narrower window that helps shows what the weights were made for."""
        mean, own = self.mean, self.values.index(self.stated)
        if self.best == self.stated:
            return None if np.sum(mean < mean[own] + 1e-6) > 1 else True
        if self.switch == "window" and _width(self.best) > _width(self.stated):
            narrower = [m for m, value in zip(mean, self.values, strict=True) if _width(value) < _width(self.stated)]
            return None if all(mean[own] <= m for m in narrower) else self._told_apart(narrower)
        return self._told_apart(list(mean))

    def _told_apart(self, rivals: list[float]) -> bool | None:
        """False where the lowest of ``rivals`` (nats) is clearly below the stated value's loss, else None."""
        mean, own = self.mean, self.values.index(self.stated)
        count, lowest = len(self.lengths), min(rivals)
        if count < 2:
            return None
        gain = mean[own] - lowest
        weights = self.lengths / self.lengths.sum()
        apart = self.losses[own] - self.losses[mean.tolist().index(lowest)] - gain
        error = np.sqrt((weights**2 * apart**2).sum() * count / (count - 1))
        return False if gain > 2 * error else None

    def table(self) -> pd.DataFrame:
        """By value: loss (nats a token) and the difference from the stated value's."""
        mean = self.mean
        names = [_written(value) for value in self.values]
        frame = pd.DataFrame({"loss": mean, "difference": mean - mean[self.values.index(self.stated)]}, index=names)
        return frame.rename_axis(self.switch)

    def __repr__(self) -> str:
        return f"Probe({self})"

    def __str__(self) -> str:
        mean = self.mean
        own = mean[self.values.index(self.stated)]
        said = f"{self.switch} {_written(self.stated)}: loss {own:.3f} over {int(self.lengths.sum())} tokens"
        if self.agrees:
            others = np.delete(mean, self.values.index(self.stated))
            return (
                f"{said}, the lowest of {len(self.values)} tried (the others {others.min():.3f} to {others.max():.3f})"
            )
        wider = self.switch == "window" and _width(self.best) > _width(self.stated)
        if self.agrees is None and wider:
            return (
                f"{said}, lower than any narrower one; {mean.min():.3f} with {_written(self.best)}: more in sight "
                "helps, which says nothing against the config"
            )
        if self.agrees is None:
            rivals = np.where(np.arange(len(mean)) == self.values.index(self.stated), np.inf, mean)
            return (
                f"{said}; these texts do not tell it from {_written(self.values[rivals.argmin()])} ({rivals.min():.3f})"
            )
        return f"{said}, but {mean.min():.3f} with {_written(self.best)}: the config may state the wrong one"


Steps = Generator[tuple[int, int], None, Probe]


def probe_theta(
    model: Model, texts: Iterable[Any], factors: Sequence[float] = FACTORS, stop: threading.Event | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Probe:  # fmt: skip
    """The `Probe` of RoPE theta over ``texts`` (anything `Model.encode` takes; several long ones tell it best).
    ``progress`` is told how many of how many forwards are done."""
    return _finished(theta_steps(model, texts, factors, stop), progress)


def probe_window(
    model: Model, texts: Iterable[Any], windows: Sequence[int | None] | None = None,
    stop: threading.Event | None = None, progress: Callable[[int, int], None] | None = None,
) -> Probe:  # fmt: skip
    """The `Probe` of the sliding window: by default the stated one, none at all, and halves of the longest text down
    to an eighth. Texts no longer than a window cannot tell it from none."""
    return _finished(window_steps(model, texts, windows, stop), progress)


def theta_steps(
    model: Model, texts: Iterable[Any], factors: Sequence[float] = FACTORS, stop: threading.Event | None = None
) -> Steps:
    """`probe_theta` as a generator: yields (forwards done, forwards to do) and returns the `Probe`."""
    values = sorted({model.theta, *(model.theta * factor for factor in factors)})
    return _probe(model, texts, "theta", values, model.theta, stop)


def window_steps(
    model: Model, texts: Iterable[Any], windows: Sequence[int | None] | None = None,
    stop: threading.Event | None = None,
) -> Steps:  # fmt: skip
    """`probe_window` as a generator: yields (forwards done, forwards to do) and returns the `Probe`."""
    encoded = [model.encode(text) for text in texts]
    longest = max((len(one) for one in encoded), default=0)
    tried = [longest // 2, longest // 4, longest // 8] if windows is None else windows
    values = sorted({model.window, None, *(one for one in tried if one is None or one > 0)}, key=lambda w: w or 2**60)
    return _probe(model, encoded, "window", values, model.window, stop)


def probe_texts() -> list[list[dict[str, str]]]:
    """Conversations to probe with when no texts are at hand: those that come with the workbench, in the plain English
    that the twins know, held out from their training. PromptError where they were not installed."""
    return shipped_texts()


def _finished(steps: Steps, progress: Callable[[int, int], None] | None) -> Probe:
    """The probe at the end of ``steps``."""
    while True:
        try:
            done = next(steps)
        except StopIteration as end:
            return cast(Probe, end.value)
        if progress is not None:
            progress(*done)


def _probe(
    model: Model, texts: Iterable[Any], switch: str, values: Sequence[Any], stated: Any, stop: threading.Event | None
) -> Steps:
    encoded = [one for one in map(model.encode, texts) if len(one) > 1]
    if not encoded:
        raise PromptError("There is no text to probe with", expected="at least one of two tokens or more")
    losses = np.full((len(values), len(encoded)), np.nan)
    for i, value in enumerate(values):
        variant = model.switched(**{switch: value})
        for j, prompt in enumerate(encoded):
            if stop is not None and stop.is_set():
                raise PromptError("The probe was stopped", remedy="Start it again")
            lens = variant.inspect(prompt, _LOSS).lens
            assert lens is not None
            losses[i, j] = -float(np.nanmean(lens["target_logprob"].values, dtype=np.float64))
            yield i * len(encoded) + j + 1, losses.size
    return Probe(switch, tuple(values), stated, losses, np.array([len(one) - 1 for one in encoded]))


def _width(window: int | None) -> float:
    return np.inf if window is None else window


def _written(value: Any) -> str:
    return "none" if value is None else theta_text(value) if isinstance(value, float) else str(value)
