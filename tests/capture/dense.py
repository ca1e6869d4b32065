"""Attention the plain way: the whole square of probabilities, in double precision, and every figure by definition."""

from __future__ import annotations

import torch
from torch import Tensor


def dense_attention(query: Tensor, key: Tensor, window: int | None, scale: float) -> Tensor:
    """Probabilities (heads, T, T) of query (heads, T, size) over key (kv_heads, T, size)."""
    heads, tokens = query.shape[:2]
    keys = key.double().repeat_interleave(heads // key.shape[0], 0)
    scores = query.double() @ keys.transpose(1, 2) * scale
    back = torch.arange(tokens)[:, None] - torch.arange(tokens)
    hidden = back < 0
    if window is not None:
        hidden |= back >= window
    return scores.masked_fill(hidden, float("-inf")).softmax(-1)


def by_blocks(values: Tensor, block: int) -> Tensor:
    """Means over blocks of the last dimension; the last one may be shorter."""
    return torch.stack([part.mean(-1) for part in values.split(block, -1)], -1)


def pooled(truth: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """Mean map and largest probability (heads, B, B) of (heads, T, T)."""
    rows = [part.mean(1) for part in truth.split(block, 1)]
    mean = torch.stack([torch.stack([part.sum(-1) for part in row.split(block, -1)], -1) for row in rows], 1)
    cells = [[cell.amax((1, 2)) for cell in row.split(block, 2)] for row in truth.split(block, 1)]
    return mean, torch.stack([torch.stack(row, -1) for row in cells], 1)


def definitions(truth: Tensor, ids: list[int], sink: int, recent: int, reach: int) -> dict[str, Tensor]:
    """Every head statistic (heads, T) of every query."""
    tokens = len(ids)
    back = torch.arange(tokens)[:, None] - torch.arange(tokens)
    induction, copying = torch.zeros(2, tokens, tokens, dtype=torch.double)
    for i in range(tokens):
        same = [j for j in range(i) if ids[j] == ids[i]]
        if same:
            induction[i, same[-1] + 1] = 1
        coming = [j for j in range(i) if i + 1 < tokens and ids[j] == ids[i + 1]]
        if coming:
            copying[i, coming[-1]] = 1
    return {
        "entropy": -torch.xlogy(truth, truth).sum(-1),
        "distance": (truth * back).sum(-1),
        "sink": truth[..., :sink].sum(-1),
        "self": (truth * (back == 0)).sum(-1),
        "previous": (truth * (back == 1)).sum(-1),
        "recent": (truth * ((back >= 0) & (back < recent))).sum(-1),
        "induction": (truth * induction).sum(-1),
        "copying": (truth * copying).sum(-1),
        "inside_window": (truth * ((back >= 0) & (back < reach))).sum(-1),
    }
