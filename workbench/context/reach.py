"""How far back a model can look: by arithmetic on its window, and measured on the model itself.

A query sees W keys, itself included, so one layer moves information W - 1 tokens and L layers L (W - 1); the last token
depends on L (W - 1) + 1 of them. Measured, a token reaches the end when the last residual stream has a gradient with
respect to its embedding, or changes when the token does.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
import xarray as xr

from workbench.context.loss import STEP
from workbench.errors import ContextLengthError, PromptError
from workbench.generation.prefill import forward_rows, new_cache
from workbench.inspection.provenance import provenance
from workbench.models.given import models_given
from workbench.results import Result

if TYPE_CHECKING:
    from workbench.model import Model

MOST_GRADIENT = 4096
"""Tokens up to which the gradient is taken: it keeps heads x T x T probabilities of every layer."""


def receptive_field(window: int | None, layers: int, tokens: int) -> np.ndarray:
    """For each layer 0 to ``layers``: how many of ``tokens`` the last position depends on after it."""
    depth = np.arange(layers + 1)
    return (
        np.full(layers + 1, tokens) * (depth > 0) + (depth == 0)
        if window is None
        else np.minimum(tokens, depth * (window - 1) + 1)
    )


def seen(window: int | None, query: int) -> range:
    """The keys that the query at a position sees in one layer."""
    return range(0 if window is None else max(0, query - window + 1), query + 1)


@dataclass(frozen=True, eq=False)
class Reach(Result):
    """What the last of ``tokens`` tokens depends on. ``influence`` (tokens,): the norm of the gradient of the last
    residual stream's length with respect to each embedding (float64, "gradient"), or the largest change of the last
    logits when the token is replaced ("change"; NaN where that was not tried). ``expected``: L (W - 1) + 1, all tokens
    without a window."""

    model: str
    method: str
    influence: np.ndarray = field(repr=False)
    expected: int
    provenance: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def measured(self) -> int:
        """How many tokens, from the end, hold all those with any influence."""
        reached = np.flatnonzero(np.nan_to_num(self.influence) > 0)
        return len(self.influence) - int(reached[0]) if len(reached) else 0

    def table(self) -> pd.DataFrame:
        """By distance from the end: influence."""
        return pd.DataFrame({"distance": np.arange(len(self.influence))[::-1], "influence": self.influence})

    def to_dataframe(self) -> pd.DataFrame:
        """`table`: a row a token, the farthest first."""
        return self.table()

    def to_xarray(self) -> xr.DataArray:
        """influence (position,), with the coordinate distance: tokens before the last one."""
        place = np.arange(len(self.influence))
        coords: dict[str, Any] = {"position": place, "distance": ("position", place[::-1])}
        return xr.DataArray(self.influence, dims=("position",), coords=coords, name="influence")

    def figure(self) -> Any:
        """A plotly figure: influence by distance, and where arithmetic says that it ends. Raises WorkbenchError without
        plotly."""
        return importlib.import_module("workbench.figures.dots").reach_figure(self)

    def __repr__(self) -> str:
        return (
            f"Reach({self.model}: {self.measured} of {len(self.influence)} tokens reach the last one, by "
            f"{self.method}; L (W - 1) + 1 allows {self.expected})"
        )


def reach(model: Model, ids: Sequence[int]) -> Reach:
    """The `Reach` of ``model`` over ``ids`` by one gradient, in float64 on a copy of the model's weights. Raises
    ContextLengthError for more than `MOST_GRADIENT` tokens, or more than the context."""
    ids = _checked(model, ids)
    if len(ids) > MOST_GRADIENT:
        raise ContextLengthError(
            f"{len(ids)} tokens are too many for a gradient", expected=f"at most {MOST_GRADIENT}",
            remedy="Use reach_by_change, which reads the text once for every token tried",
        )  # fmt: skip
    import copy

    module: Any = copy.deepcopy(model.module).double()
    with torch.enable_grad():
        embedded = module.get_input_embeddings()(torch.tensor([ids], device=module.device)).detach().requires_grad_()
        last = module.model(inputs_embeds=embedded, use_cache=False).last_hidden_state[0, -1]
        # a direction of its own for every width: the length of a normed vector hardly changes
        direction = torch.linspace(1, 2, len(last), dtype=last.dtype, device=last.device)
        (gradient,) = torch.autograd.grad((last * direction).sum(), embedded)
    return Reach(model.name, "gradient", gradient[0].norm(dim=-1).cpu().numpy(), _expected(model, len(ids)),
                 provenance(model.loaded, ids, {"reach": "gradient"}))  # fmt: skip


def reach_by_change(
    model: Model, ids: Sequence[int], distances: Sequence[int], replacement: int | None = None,
    stop: threading.Event | None = None,
) -> Iterator[tuple[int, Reach]]:  # fmt: skip
    """The `Reach` by replacing the token at each of ``distances`` from the end, one after the other: yields (distance,
    what is known by then). At any length, in the model's own precision: what has no influence never shows any, but a
    very small one is lost in rounding, so it is a lower bound."""
    ids = _checked(model, ids)
    if wrong := [distance for distance in distances if not 0 <= distance < len(ids)]:
        raise PromptError(f"There is no token {wrong[0]} before the last", expected=f"distances of 0 to {len(ids) - 1}")
    base = _last_logits(model, ids)
    found = np.full(len(ids), np.nan)
    said = provenance(model.loaded, ids, {"reach": "change", "distances": list(distances), "replacement": replacement})
    for distance in distances:
        if stop is not None and stop.is_set():
            return
        place = len(ids) - 1 - distance
        other = replacement if replacement is not None else _other(ids[place], model.vocab_size)
        changed = [*ids[:place], other, *ids[place + 1 :]]
        found[place] = float((_last_logits(model, changed) - base).abs().max())
        yield distance, Reach(model.name, "change", found.copy(), _expected(model, len(ids)), said)


def _other(token: int, vocabulary: int) -> int:
    """Another token: 1000 further on, or the next one where that would come round to the same."""
    return (token + (1000 if 1000 % vocabulary else 1)) % vocabulary


def _last_logits(model: Model, ids: Sequence[int]) -> torch.Tensor:
    cache = new_cache(model.module)
    logits = torch.zeros(0)
    for start in range(0, len(ids), STEP):
        logits = forward_rows(model.module, list(ids[start : start + STEP]), cache, None, 1)[-1]
    return logits


def _checked(model: Model, ids: Sequence[int]) -> list[int]:
    models_given(model)
    found = [int(token) for token in ids]
    if not found:
        raise PromptError("There are no tokens", expected="at least one")
    if len(found) > model.context:
        raise ContextLengthError(f"{len(found)} tokens", expected=f"at most {model.context} for {model.name}")
    return found


def _expected(model: Model, tokens: int) -> int:
    return int(receptive_field(model.window, model.layers, tokens)[-1])
