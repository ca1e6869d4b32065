"""Head statistics that need only some keys of each query: exact, at T x D cost, from the log-sum-exp.

"induction" reads the key after the last occurrence of the query's own token (Olsson et al., "In-context Learning and
Induction Heads", 2022), "copying" the key that holds the token which comes next (as the retrieval heads of Wu et al.,
"Retrieval Head Mechanistically Explains Long-Context Factuality", 2024, do).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from workbench.capture.block_sums import LOG2E

_BAND = 128


@dataclass(frozen=True)
class Queries:
    """Some queries of heads that share their keys: query (heads, n, size), key (m, size), lse (heads, n) in nats, place
    (n,) the index in ``key`` of each query's own key, and how far back and on what scale they look."""

    query: Tensor
    key: Tensor
    lse: Tensor
    place: Tensor
    window: int | None
    scale: float

    def of(self, rows: Tensor | slice) -> Queries:
        """Only these rows."""
        return replace(self, query=self.query[:, rows], lse=self.lse[:, rows], place=self.place[rows])

    def probabilities(self, low: int, high: int, nearest: int = 0, reach: int | None = None) -> Tensor:
        """(heads, n, high - low) on the keys ``low`` to ``high`` - 1; 0 on keys that are unseen, nearer than
        ``nearest`` tokens back, or not among the last ``reach``."""
        scores = self.query.float() @ self.key[low:high].float().T * self.scale - self.lse.float()[..., None]
        back = self.place[:, None] - torch.arange(low, high, device=self.place.device)
        hidden = back < max(0, nearest)
        for limit in (self.window, reach):
            if limit is not None:
                hidden |= back >= limit
        return torch.exp2(scores * LOG2E).masked_fill_(hidden, 0.0)


def mass_at(queries: Queries, index: Tensor) -> Tensor:
    """Probability (heads, n) of one key a query, ``index`` (n,); 0 where it is negative or the key is unseen."""
    seen = (index >= 0) & (index <= queries.place)
    if queries.window is not None:
        seen &= index > queries.place - queries.window
    picked = queries.key[index.clamp(min=0, max=queries.key.shape[0] - 1)].float()
    scores = torch.einsum("hnd,nd->hn", queries.query.float(), picked) * queries.scale - queries.lse.float()
    return torch.exp2(scores * LOG2E).masked_fill_(~seen, 0.0)


def mass_on_first(queries: Queries, count: int) -> Tensor:
    """Probability (heads, n) on keys 0 to ``count`` - 1."""
    return queries.probabilities(0, max(0, min(count, queries.key.shape[0]))).sum(-1)


def mass_on_last(queries: Queries, width: int) -> Tensor:
    """Probability (heads, n) on the ``width`` last keys of each query, its own included; places are ascending.

    Queries are taken some at a time, with the band of keys they share.
    """
    total = torch.zeros(queries.lse.shape, device=queries.query.device)
    places = queries.place.tolist()
    step = max(_BAND, min(width, 4 * _BAND))
    for start in range(0, len(places), step):
        end = min(start + step, len(places))
        low = max(0, places[start] - width + 1)
        part = queries.of(slice(start, end)).probabilities(low, places[end - 1] + 1, reach=width)
        total[:, start:end] = part.sum(-1)
    return total


class Repeats:
    """For each token of a growing text, where an induction head and a copying head would look.

    induction[t]: the position after the last earlier occurrence of token t; copying[t]: the last position before t that
    holds token t + 1; -1 where there is none, or where token t + 1 is not known yet.
    """

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.induction: list[int] = []
        self.copying: list[int] = []
        self._last: dict[int, int] = {}

    def know(self, ids: list[int], first: int) -> None:
        """Tokens ``ids`` stand at positions ``first...``; those already known are passed over."""
        for token in ids[len(self.ids) - first :]:
            if self.ids:
                self.copying[-1] = self._last.get(token, -1)
                self._last[self.ids[-1]] = len(self.ids) - 1
            self.induction.append(self._last.get(token, -2) + 1)
            self.copying.append(-1)
            self.ids.append(token)
