"""What the model's output layer said before each token of a run, from the lens and from the generated steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from workbench.inspection.inspection import Inspection

Candidate = tuple[str, int, float]
"""(piece, token id, log-probability in nats)."""


@dataclass(frozen=True)
class Predictions:
    """Index i speaks of token i, predicted from the tokens before it.

    logprob (T,) nats and entropy (T + 1,) nats, NaN where nothing was captured; rank (T,), 1 = top, 0 unknown; top maps
    a token index (T itself: what would come next) to its most probable candidates, best first.
    """

    logprob: np.ndarray
    rank: np.ndarray
    entropy: np.ndarray
    top: dict[int, list[Candidate]] = field(default_factory=dict)


def predictions(inspection: Inspection) -> Predictions:
    """Collect them: the lens at its final layer where it was captured, the steps of generated tokens elsewhere."""
    length = len(inspection.ids)
    found = Predictions(np.full(length, np.nan), np.zeros(length, np.int64), np.full(length + 1, np.nan))
    name = inspection.piece
    lens = inspection.lens
    if lens is not None and "layer" in lens.coords and int(lens.layer[-1]) == inspection.model["layers"]:
        final = lens.isel(layer=-1)
        # Numbers leave xarray and numpy all at once: one by one, those of a long prompt take seconds.
        after = final.position.values + 1
        inside = after < length
        found.entropy[after] = final.entropy.values
        found.logprob[after[inside]] = final.target_logprob.values[inside]
        found.rank[after[inside]] = final.target_rank.values[inside]
        for index, ids, logprobs in zip(
            after.tolist(), final.top_id.values.tolist(), final.top_logprob.values.tolist(), strict=True
        ):
            found.top[index] = [(name(i), i, p) for i, p in zip(ids, logprobs, strict=True)]
    for step in inspection.steps.to_dict("records"):
        position = int(step["position"])
        found.logprob[position], found.rank[position] = step["logprob"], step["rank"]
        found.entropy[position] = step["entropy"]
        if position not in found.top:
            pairs = zip(step["top_ids"], step["top_logprobs"], strict=True)
            found.top[position] = [(name(int(i)), int(i), float(p)) for i, p in pairs]
    return found
