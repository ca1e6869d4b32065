"""Loss by position: where in a long text a model stops gaining from what stands before.

The same texts, token by token, under several models or switches; the mean loss of the tokens in each range of positions
with a band that respects that neighbouring tokens are alike (protocol: the curves of tomaarsen/attention_sinks).
"""

from __future__ import annotations

import importlib
import itertools
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
import xarray as xr

from workbench.chat.shipped import shipped_texts as shipped_texts
from workbench.errors import ContextLengthError, PromptError
from workbench.generation.prefill import forward_rows, new_cache
from workbench.inspection.provenance import provenance
from workbench.models.given import models_given
from workbench.results import Result
from workbench.statistics import resampled

if TYPE_CHECKING:
    from workbench.model import Model

STEP = 256
"""Tokens read at once; their logits are held: 32 MiB in float32 with a vocabulary of 32 000."""
SEGMENT = 32
"""Neighbouring tokens that are resampled together: the band is a block bootstrap over them."""


@dataclass(frozen=True, eq=False)
class LossByPosition(Result):
    """``losses`` by model name: for each text an array (tokens - 1,), nats of the token at position i + 1 given those
    before it."""

    losses: dict[str, tuple[np.ndarray, ...]] = field(repr=False)
    provenance: dict[str, Any] = field(default_factory=dict, repr=False)

    def curve(self, edges: Sequence[int] | None = None) -> pd.DataFrame:
        """By model and range of positions [start, stop): mean loss in nats a token, low and high of its 95 % band,
        tokens, texts. ``edges`` are the ranges' ends; by default each range is twice as long as the one before.

        The band: segments of 32 neighbouring tokens of all texts are resampled (block bootstrap, 2000 times, seed 0);
        NaN for fewer than two of them.
        """
        longest = max((len(one) + 1 for texts in self.losses.values() for one in texts), default=0)
        ends = tuple(edges) if edges is not None else default_edges(longest)
        if len(ends) < 2 or any(a >= b for a, b in itertools.pairwise(ends)) or ends[0] < 0:
            raise PromptError("The edges of the ranges do not grow", expected="two or more, such as 0, 256, 512")
        rows = []
        for name, texts in self.losses.items():
            for start, stop in itertools.pairwise(ends):
                parts = [one[max(0, start - 1) : max(0, stop - 1)] for one in texts]
                parts = [part for part in parts if len(part)]
                if not parts:
                    continue
                every = np.concatenate(parts)
                low, high = segments_interval(parts)
                rows.append((name, start, stop, float(every.mean()), low, high, len(every), len(parts)))
        return pd.DataFrame(rows, columns=["model", "start", "stop", "loss", "low", "high", "tokens", "texts"])

    def difference(self, a: str, b: str, edges: Sequence[int] | None = None) -> pd.DataFrame:
        """Model b less model a on the same tokens, in the columns of `curve`: a paired band."""
        for name in (a, b):
            if name not in self.losses:
                raise PromptError(f"There is no model {name[:60]!r} here", expected=", ".join(self.losses))
        apart = tuple(y - x for x, y in zip(self.losses[a], self.losses[b], strict=True))
        return LossByPosition({f"{b} - {a}": apart}).curve(edges)

    def figure(self, edges: Sequence[int] | None = None) -> Any:
        """A plotly figure of the curves with their bands."""
        return importlib.import_module("workbench.figures.loss").loss_figure(self.curve(edges))

    @property
    def models(self) -> list[str]:
        """The models' names."""
        return list(self.losses)

    def to_dataframe(self, edges: Sequence[int] | None = None) -> pd.DataFrame:
        """`curve`: a row a model and range of positions, nats a token."""
        return self.curve(edges)

    def to_xarray(self) -> xr.DataArray:
        """Nats of every token over (model, text, position): the token at ``position``, given those before it; NaN
        behind a text's end. Position 0 is never told and left out."""
        longest = max((len(one) for texts in self.losses.values() for one in texts), default=0)
        count = max((len(texts) for texts in self.losses.values()), default=0)
        values = np.full((len(self.losses), count, longest), np.nan)
        for i, texts in enumerate(self.losses.values()):
            for j, one in enumerate(texts):
                values[i, j, : len(one)] = one
        coords = {"model": list(self.losses), "text": np.arange(count), "position": np.arange(1, longest + 1)}
        return xr.DataArray(values, dims=("model", "text", "position"), coords=coords, name="loss")

    def __repr__(self) -> str:
        texts = len(next(iter(self.losses.values()), ()))
        means = ", ".join(f"{name} {np.concatenate(parts).mean():.3f}" for name, parts in self.losses.items() if parts)
        return f"LossByPosition({texts} texts; nats a token: {means or 'nothing read yet'})"


@dataclass(frozen=True)
class Read:
    """``done`` of ``of`` tokens over all models and texts; the ``model`` and its mean loss so far in this text."""

    done: int
    of: int
    model: str
    loss: float


class LossStudy:
    """Iterate it for a `Read` a step; ``found`` is what has been read in full so far, also when it was stopped."""

    def __init__(
        self, models: Sequence[Model], texts: Sequence[Any], length: int | None = None,
        stop: threading.Event | None = None,
    ) -> None:  # fmt: skip
        """``texts`` (plain ones, or chats as messages) are read from their beginnings, up to ``length`` tokens (by
        default to the shortest context). Raises PromptError for texts that are too short, ContextLengthError for a
        length beyond the context of a model."""
        if not models or not texts:
            raise PromptError("There is nothing to read", expected="at least one model and one text")
        models_given(*models)
        if len({model.name for model in models}) < len(models):
            raise PromptError("Two models have one name", expected="each model once")
        context = min(model.context for model in models)
        if length is not None and not 2 <= length <= context:
            raise ContextLengthError(
                f"A length of {length} tokens", expected=f"2 to {context} for these models",
                remedy="Ask for a shorter length",
            )  # fmt: skip
        self.models, self.stop = list(models), stop or threading.Event()
        self.ids: dict[str, list[list[int]]] = {
            model.name: [list(model.encode(text).ids)[: length or context] for text in texts] for model in models
        }
        for name, cut in self.ids.items():
            for place, ids in enumerate(cut):
                if len(ids) < 2 or (length is not None and len(ids) < length):
                    raise PromptError(
                        f"Text {place} has {len(ids)} tokens for {name}", expected=f"at least {length or 2}",
                        remedy="Give a longer text, or ask for a shorter length",
                    )  # fmt: skip
        if len({tuple(map(len, cut)) for cut in self.ids.values()}) > 1:
            raise PromptError(
                "These models cut the texts into different tokens", expected="models that share a tokenizer"
            )
        self._losses: dict[str, tuple[np.ndarray, ...]] = {model.name: () for model in models}

    def __iter__(self) -> Iterator[Read]:
        of = sum(len(ids) for cut in self.ids.values() for ids in cut)
        done = 0
        for place in range(len(next(iter(self.ids.values())))):
            for model in self.models:
                ids = self.ids[model.name][place]
                if place < len(self._losses[model.name]):
                    done += len(ids)
                    continue
                parts: list[np.ndarray] = []
                for part in token_losses(model, ids):
                    parts.append(part)
                    done += min(STEP, len(ids))
                    if self.stop.is_set():
                        return
                    yield Read(min(done, of), of, model.name, float(np.concatenate(parts).mean()))
                self._losses[model.name] += (np.concatenate(parts),)

    @property
    def found(self) -> LossByPosition:
        """The texts that every model has read."""
        whole = min(len(texts) for texts in self._losses.values())
        said = {
            model.name: provenance(model.loaded, self.ids[model.name][0], {"texts": whole}) for model in self.models
        }
        return LossByPosition({name: texts[:whole] for name, texts in self._losses.items()}, said)


def token_losses(model: Model, ids: Sequence[int]) -> Iterator[np.ndarray]:
    """Nats of each token given those before it, (tokens - 1,) in parts as they are read, in float64."""
    module: Any = model.module
    cache = new_cache(module)
    for start in range(0, len(ids), STEP):
        fed = list(ids[start : start + STEP])
        logits = forward_rows(module, fed, cache, None, len(fed))
        right = torch.tensor(ids[start + 1 : start + len(fed) + 1], device=logits.device)
        if len(right):
            told = logits[: len(right)].gather(1, right[:, None])[:, 0]
            yield (logits[: len(right)].logsumexp(1).double() - told.double()).cpu().numpy()


def loss(
    models: Model | Sequence[Model], texts: str | Sequence[Any], length: int | None = None,
    stop: threading.Event | None = None,
) -> LossStudy:  # fmt: skip
    """A `LossStudy`: iterate it to read, then its ``found``."""
    every = list(models) if isinstance(models, Sequence) else [models]
    return LossStudy(every, [texts] if isinstance(texts, str) else list(texts), length, stop)


def default_edges(tokens: int) -> tuple[int, ...]:
    """Ranges that double: 1, 32, 64, 128 ... up to ``tokens``."""
    ends, at = [1], 32
    while at < tokens:
        ends.append(at)
        at *= 2
    return (*ends, tokens) if tokens > 1 else (0, 1)


def segments_interval(parts: Sequence[np.ndarray]) -> tuple[float, float]:
    """The 95 % block bootstrap interval of the mean over all tokens of ``parts``: segments of `SEGMENT` neighbours are
    drawn, a shorter rest with its weight."""
    cut = [part[i : i + SEGMENT] for part in parts for i in range(0, len(part), SEGMENT)]
    if len(cut) < 2:
        return float("nan"), float("nan")
    weights = np.array([len(one) for one in cut], float)
    sums = np.array([one.sum() for one in cut])
    means = resampled(len(cut), 2000, 0, lambda picked: sums[picked].sum(1) / weights[picked].sum(1))
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
