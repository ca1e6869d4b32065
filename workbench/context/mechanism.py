"""Why a question behind a long text was answered, or not: which heads read the needle while the answer is written, and
at which layer the answer can be read from the residual stream.

The expected answer is read behind the prompt, as if the model had written it; what is looked at are the positions that
predict its tokens. Exact, at any length: of each layer only the rows of those few positions are worked out.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from workbench.capture.observer import install, observing
from workbench.context.answering import expected_ids
from workbench.context.item import Item
from workbench.errors import ContextLengthError
from workbench.generation.prefill import new_cache, prefill
from workbench.inspection.provenance import provenance
from workbench.models.given import models_given
from workbench.models.placement import turn
from workbench.results import Result

if TYPE_CHECKING:
    from workbench.model import Model

KEYS = 2**22
"""Scores of one layer held at once, heads x rows x keys."""


@dataclass(frozen=True, eq=False)
class Mechanism(Result):
    """What one model does with one item.

    ``pieces`` (answer,): the tokens of the expected answer; ``told`` (answer,): those of a reference that stand in a
    needle. ``needle_mass`` (layer, head, answer): attention of each predicting position on all needles together, 0 to
    1. ``copied`` (layer, head): the share of the told tokens for which the head's most attended key is that token in a
    needle (the retrieval score of Wu et al. 2024, read along the expected answer); NaN where none is told. ``logprob``
    and ``rank`` (layer, answer): of the right next token after each layer, by the logit lens; layer 0 is the embedding.
    """

    model: str
    item: Item
    pieces: tuple[str, ...]
    told: np.ndarray
    needle_mass: xr.DataArray
    copied: xr.DataArray
    logprob: xr.DataArray
    rank: xr.DataArray
    provenance: dict[str, Any] = field(repr=False)

    @property
    def settles(self) -> int | None:
        """The first layer from which on every told token is the lens's first guess (every token, where none is
        told); None when it is not even the model's own guess."""
        rank = self.rank.values[:, self._seen]
        good = (rank == 1).all(1)
        if not good[-1]:
            return None
        wrong = np.flatnonzero(~good)
        return int(wrong[-1]) + 1 if len(wrong) else 0

    @property
    def _seen(self) -> np.ndarray:
        return self.told if self.told.any() else np.ones(len(self.told), bool)

    def heads(self) -> pd.DataFrame:
        """By layer and head: copied, and needle_mass over the told tokens; best first."""
        mass = self.needle_mass.values[..., self._seen].mean(-1)
        layers, heads = np.meshgrid(self.copied["layer"].values, self.copied["head"].values, indexing="ij")
        table = pd.DataFrame({
            "layer": layers.ravel(), "head": heads.ravel(), "copied": self.copied.values.ravel(),
            "needle_mass": mass.ravel(),
        })  # fmt: skip
        return table.sort_values(["copied", "needle_mass"], ascending=False, ignore_index=True)

    def figure(self, *others: Mechanism) -> Any:
        """A plotly figure: attention on the needle by layer and head, the answer by the lens; ``others`` beside it."""
        return importlib.import_module("workbench.figures.heads").mechanism_figure([self, *others])

    def to_dataframe(self) -> pd.DataFrame:
        """`heads`: a row a layer and head, best first."""
        return self.heads()

    def to_xarray(self) -> xr.Dataset:
        """needle_mass (layer, head, answer) and copied (layer, head), shares; logprob (nats) and rank (residual,
        answer) by the logit lens, residual 0 being the embedding. ``piece`` (answer,) spells the answer, ``told`` says
        which of its tokens stand in a needle."""
        lens = {name: getattr(self, name).rename(layer="residual") for name in ("logprob", "rank")}
        found = xr.Dataset({"needle_mass": self.needle_mass, "copied": self.copied, **lens})
        return found.assign_coords(piece=("answer", list(self.pieces)), told=("answer", self.told))

    def tables(self) -> list[tuple[str, pd.DataFrame]]:
        """The best heads (none where there is no needle), and the answer by layer."""
        mean = {name: getattr(self, name).values[:, self._seen].mean(1) for name in ("logprob", "rank")}
        lens = pd.DataFrame(mean).rename_axis("after layer")
        said = "The answer's told tokens by the logit lens after each layer (0 is the embedding): mean nats, mean rank"
        return [("Heads, best first", self.heads()), (said, lens)] if self.item.needles else [(said, lens)]

    def __repr__(self) -> str:
        looked = "there is no needle to look up"
        if self.item.needles:
            best = self.heads().iloc[0]
            looked = f"head {int(best.layer)}.{int(best['head'])} reads the needle with {best.needle_mass:.2f}"
        answer = "is not its answer" if self.settles is None else f"settles at layer {self.settles}"
        return f"Mechanism({self.model}, {self.item.length} tokens: {looked}; {self.item.expected!r} {answer})"


class _Watch:
    """An observer of the last ``rows`` positions of a text of ``length`` tokens."""

    def __init__(self, module: Any, spans: Sequence[tuple[int, int]], ids: Sequence[int], rows: int) -> None:
        self._module, self._spans, self._ids, self._rows = module, spans, ids, rows
        self._layers = int(module.config.num_hidden_layers)
        self.mass: list[np.ndarray] = []
        self.top: list[np.ndarray] = []
        self.logprob: list[np.ndarray] = []
        self.rank: list[np.ndarray] = []

    def wants_attention(self, layer: int) -> bool:
        return True

    def wants_heads(self, layer: int) -> bool:
        return False

    def heads(self, *_: Any) -> None: ...

    def attention(
        self, layer: int, query: Tensor, key: Tensor, lse: Tensor | None, window: int | None, scale: float
    ) -> None:
        """Needle mass and most attended key of the predicting positions."""
        length, stored = len(self._ids), key.shape[1]
        group = query.shape[0] // key.shape[0]
        positions = torch.arange(length - query.shape[1], length, device=query.device)[-self._rows :]
        mass, top = [], []
        step = max(1, KEYS // (query.shape[0] * stored))
        keys = torch.arange(length - stored, length, device=query.device)
        on = torch.zeros(stored, dtype=torch.bool, device=query.device)
        for start, stop in self._spans:
            on |= (keys >= start) & (keys < stop)
        for low in range(0, len(positions), step):
            at = positions[low : low + step]
            rows = query[:, -self._rows :][:, low : low + step].float()
            scores = torch.matmul(rows.unflatten(0, (-1, group)), key.float()[:, None].transpose(-1, -2)) * scale
            unseen = keys[None] > at[:, None]
            if window is not None:
                unseen |= keys[None] <= at[:, None] - window
            scores = scores.flatten(0, 1).masked_fill(unseen, float("-inf")).softmax(-1)
            mass.append(scores[..., on].sum(-1))
            top.append(keys[scores.argmax(-1)])
        self.mass.append(torch.cat(mass, 1).cpu().numpy())
        self.top.append(torch.cat(top, 1).cpu().numpy())

    def residual(self, layer: int, hidden: Tensor) -> None:
        """The right next token's log-probability and rank by the model's own norm and unembedding."""
        rows = hidden[-self._rows :]
        logits = self._module.lm_head(self._module.model.norm(rows)).float()
        right = torch.tensor(self._ids[-self._rows + 1 :], device=logits.device)
        told = logits[: len(right)].gather(1, right[:, None])
        self.rank.append((logits[: len(right)] > told).sum(1).add(1).cpu().numpy())
        self.logprob.append((told[:, 0] - logits[: len(right)].logsumexp(1)).cpu().numpy())


def mechanism(model: Model, item: Item) -> Mechanism:
    """The `Mechanism` of ``model`` on ``item``. Raises ContextLengthError for an item longer than the model's
    positions."""
    models_given(model)
    if item.length > model.context:
        raise ContextLengthError(
            f"A context of {item.length} tokens", expected=f"at most {model.context} for {model.name}"
        )
    expected = expected_ids(model, item)
    ids = [*item.prompt.ids, *expected]
    rows = len(expected) + 1
    module: Any = model.module
    install(module)
    cache = new_cache(module)
    prefill(module, ids[:-rows], cache)
    watch = _Watch(module, item.needles, ids, rows)
    device = module.get_input_embeddings().weight.device
    with turn(module), torch.inference_mode(), observing(watch):
        inputs = torch.tensor([ids[-rows:]], device=device if device.type != "meta" else None)
        module(input_ids=inputs, past_key_values=cache, use_cache=True, logits_to_keep=1)
    places = [place for start, stop in item.needles for place in range(start, stop)]
    tokens = {token: [p for p in places if ids[p] == token] for token in set(expected)}
    pieces = tuple(model.tokenizer.pieces(expected))
    told = np.array([bool(tokens[token]) for token in expected]) & spelled(pieces, item.references)
    top = np.stack(watch.top)[..., :-1]
    hit = np.stack([np.isin(top[..., i], tokens[token]) for i, token in enumerate(expected)], -1)
    copied = hit[..., told].mean(-1) if told.any() else np.full(top.shape[:2], np.nan)
    answer = np.arange(len(expected))
    coords = {"layer": np.arange(model.layers), "head": np.arange(model.heads)}
    lens = {"layer": np.arange(model.layers + 1), "answer": answer}
    mass = np.stack(watch.mass)[..., :-1]
    return Mechanism(
        model.name, item, pieces, told,
        xr.DataArray(mass, dims=("layer", "head", "answer"), coords=coords | {"answer": answer}),
        xr.DataArray(copied, dims=("layer", "head"), coords=coords),
        xr.DataArray(np.stack(watch.logprob), dims=("layer", "answer"), coords=lens),
        xr.DataArray(np.stack(watch.rank), dims=("layer", "answer"), coords=lens),
        provenance(model.loaded, ids, {"mechanism": item.key}),
    )  # fmt: skip


def spelled(pieces: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """Which of ``pieces`` (answer,) spell a part of a reference in the text that they make together."""
    ends = np.cumsum([len(piece) for piece in pieces])
    text = "".join(pieces).replace("\u2581", " ").casefold()
    found = np.zeros(len(pieces), bool)
    for reference in references:
        if (start := text.find(reference.casefold())) >= 0:
            found |= (ends > start) & (ends - [len(piece) for piece in pieces] < start + len(reference))
    return found
