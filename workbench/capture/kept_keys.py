"""Attention over the keys that a cache under a policy has kept: probabilities at the positions of the text, and what
maps and head statistics take of them. Rows are dense: a kept key has a place of its own, not an order."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from workbench.capture.observer import Kept
from workbench.capture.pooling import STATISTICS, LayerSums

_LEAST = -126.0  # log2 of what counts as nothing in a map of largest probabilities


def kept_mass(
    query: Tensor, key: Tensor, heads: Sequence[tuple[int, int]], kept: Kept, first: int, scale: float
) -> Tensor:
    """Probabilities (heads, n, first + n), float32, of the queries ``query`` (all heads, n, head_dim) at ``first...``
    on all positions, 0 where a key was dropped or is unseen. ``key`` (kv_heads, m, head_dim); ``heads`` are the wanted
    ones, each with its key head."""
    n, positions = query.shape[1], kept.positions.to(query.device)
    total = first + n
    found = torch.zeros(len(heads), n, total, device=query.device)
    seen = kept.seen
    if seen is None:
        place = torch.arange(first, total, device=query.device)
        seen = positions[:, None] <= place[:, None]
    for i, (head, kv_head) in enumerate(heads):
        row = kv_head if len(positions) > 1 else 0
        scores = query[head].float() @ key[kv_head].float().T * scale
        mass = scores.masked_fill_(~seen[kv_head if len(seen) > 1 else 0], -torch.inf).softmax(-1)
        found[i].scatter_(1, positions[row].expand(n, -1), mass)
    return found


def add_rows(sums: LayerSums, mass: Tensor, first: int, targets: tuple[Sequence[int], Sequence[int]]) -> None:
    """Add the rows ``mass`` (heads, n, first + n) of the queries at ``first...`` to ``sums``, as `LayerSums.add` does
    from states. ``targets``: induction and copying positions of all tokens. No row of them is one of a sample."""
    n, total = mass.shape[1:]
    place = torch.arange(first, first + n, device=mass.device)
    block, low, high = place // sums.block, first // sums.block, (first + n - 1) // sums.block + 1

    def by_block(values: Tensor) -> Tensor:
        """(heads, n, ...) summed over the queries of each block."""
        return torch.zeros(len(mass), high - low, *values.shape[2:], device=mass.device).index_add_(
            1, block - low, values
        )

    cells = pad(mass, (0, -total % sums.block)).unflatten(-1, (-1, sums.block))
    columns = cells.shape[2]
    sums.mass[:, low:high, :columns] += by_block(cells.sum(-1))
    if sums.peak is not None:
        largest = cells.amax(-1).log2().clamp(min=_LEAST)
        for number in range(low, high):
            peak = sums.peak[:, number, :columns]
            peak.copy_(torch.maximum(peak, largest[:, block == number].amax(1)))
    if not sums.wanted.statistics:
        return
    sums.received[:, :total] += mass.sum(1)
    back = place[:, None] - torch.arange(total, device=mass.device)
    values = {
        "entropy": -torch.xlogy(mass, mass).sum(-1),
        "distance": (mass * back).sum(-1),
        "sink": mass[..., : sums.wanted.sink_tokens].sum(-1),
        "recent": (mass * (back < sums.wanted.recent)).sum(-1),
        "inside_window": (mass * (back < sums.reach)).sum(-1),
        "self": _at(mass, place),
        "previous": _at(mass, place - 1),
    }
    for name, wanted in zip(("induction", "copying"), targets, strict=True):
        values[name] = _at(mass, torch.tensor(wanted[first : first + n], device=mass.device))
    for name, value in values.items():
        sums.statistics[STATISTICS.index(name), :, low:high] += by_block(value)


def _at(mass: Tensor, position: Tensor) -> Tensor:
    """(heads, n): the probability of one position a query, ``position`` (n,); 0 where it is negative."""
    picked = mass.gather(2, position.clamp(min=0).expand(len(mass), -1)[..., None])[..., 0]
    return torch.where(position >= 0, picked, 0)
