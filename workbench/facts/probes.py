"""Theta and window found from loss: neither is stored in the weights, but the weights work best under their own.

The same texts are read under one value after another (`Model.switched`, no weight is copied), and the mean loss of each
is compared with that of the stated value, text by text.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from workbench.capture.request import Capture, LensCapture
from workbench.errors import PromptError

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
        """Whether the stated value is the best: None where another is as low, or lower by less than twice the standard
        error of the difference over texts."""
        mean, own = self.mean, self.values.index(self.stated)
        if self.best == self.stated:
            return None if np.sum(mean < mean[own] + 1e-6) > 1 else True
        count, gain = len(self.lengths), mean[own] - mean.min()
        if count < 2:
            return None
        weights = self.lengths / self.lengths.sum()
        apart = self.losses[own] - self.losses[self.values.index(self.best)] - gain
        error = np.sqrt((weights**2 * apart**2).sum() * count / (count - 1))
        return False if gain > 2 * error else None

    def table(self) -> pd.DataFrame:
        """By value: loss (nats a token) and the difference from the stated value's."""
        mean = self.mean
        names = [_written(value) for value in self.values]
        frame = pd.DataFrame({"loss": mean, "difference": mean - mean[self.values.index(self.stated)]}, index=names)
        return frame.rename_axis(self.switch)

    def __str__(self) -> str:
        mean = self.mean
        own = mean[self.values.index(self.stated)]
        said = f"{self.switch} {_written(self.stated)}: loss {own:.3f} over {int(self.lengths.sum())} tokens"
        if self.agrees:
            others = np.delete(mean, self.values.index(self.stated))
            return (
                f"{said}, the lowest of {len(self.values)} tried (the others {others.min():.3f} to {others.max():.3f})"
            )
        if self.agrees is None:
            rivals = np.where(np.arange(len(mean)) == self.values.index(self.stated), np.inf, mean)
            return (
                f"{said}; these texts do not tell it from {_written(self.values[rivals.argmin()])} ({rivals.min():.3f})"
            )
        return f"{said}, but {mean.min():.3f} with {_written(self.best)}: the config may state the wrong one"


def probe_theta(
    model: Model, texts: Iterable[Any], factors: Sequence[float] = FACTORS, stop: threading.Event | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Probe:  # fmt: skip
    """The `Probe` of RoPE theta over ``texts`` (anything `Model.encode` takes; several long ones tell it best).
    ``progress`` is told how many of how many forwards are done."""
    values = sorted({model.theta, *(model.theta * factor for factor in factors)})
    return _probe(model, texts, "theta", values, model.theta, stop, progress)


def probe_window(
    model: Model, texts: Iterable[Any], windows: Sequence[int | None] | None = None,
    stop: threading.Event | None = None, progress: Callable[[int, int], None] | None = None,
) -> Probe:  # fmt: skip
    """The `Probe` of the sliding window: by default the stated one, none at all, and halves of the longest text down
    to an eighth. Texts no longer than a window cannot tell it from none."""
    encoded = [model.encode(text) for text in texts]
    longest = max((len(one) for one in encoded), default=0)
    tried = [longest // 2, longest // 4, longest // 8] if windows is None else windows
    values = sorted({model.window, None, *(one for one in tried if one is None or one > 0)}, key=lambda w: w or 2**60)
    return _probe(model, encoded, "window", values, model.window, stop, progress)


def _probe(
    model: Model, texts: Iterable[Any], switch: str, values: Sequence[Any], stated: Any,
    stop: threading.Event | None, progress: Callable[[int, int], None] | None,
) -> Probe:  # fmt: skip
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
            if progress is not None:
                progress(i * len(encoded) + j + 1, losses.size)
    return Probe(switch, tuple(values), stated, losses, np.array([len(one) - 1 for one in encoded]))


def _written(value: Any) -> str:
    return "none" if value is None else f"{value:g}".replace("e+0", "e")
