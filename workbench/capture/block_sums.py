"""Sums of attention probabilities by blocks of queries and keys, in one streaming pass: scores exist for a tile only.

All numbers are in bits: with queries scaled by ``scale * log2(e)`` and log-sum-exps in bits, a probability is one
`exp2` (`exp` is many times slower on the CPU where its argument underflows).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import pad

from workbench.capture.native import library, native_block_sums

LOG2E = math.log2(math.e)
HIDDEN = -200.0
"""The score in bits of a key that a query does not see: 2^-200 is 0 in float32, and 0 times it is 0."""
_ROWS, _KEYS = 256, 512
_ROWS_GPU, _KEYS_GPU = 2048, 2048


@dataclass(frozen=True)
class Rows:
    """Queries of heads that share their keys, and how they are to be summed.

    query (heads, n, size) scaled and lse (heads, n), both in bits; place (n,): the index of each query's own key;
    part_of (n,): the part it is summed into, ascending (a block of queries, or a half of its sample); neighbours should
    lie near each other. A query sees ``window`` keys, its own included. Keys are summed in blocks of ``block``; key 0
    is number ``offset`` of its block. By part: origin, the key index that moments count from; common, the first key
    index that counts as near; weight of its rows in what keys receive. Index tensors are int64 on the CPU.
    """

    query: Tensor
    lse: Tensor
    place: Tensor
    part_of: Tensor
    window: int | None
    block: int
    offset: int
    origin: Tensor
    common: Tensor
    weight: Tensor


@dataclass
class BlockSums:
    """pooled (heads, parts, key blocks): probabilities; peak, the same shape: the largest log2 p, -126 where there is
    none or less; received (heads, keys): probabilities by key, rows times their weight; by (heads, parts), in float64:
    plogp, the sum of p log2 p, moment, of p times key index minus origin, and near, of p on near keys."""

    pooled: Tensor
    peak: Tensor | None
    received: Tensor
    plogp: Tensor
    moment: Tensor
    near: Tensor


def block_sums(rows: Rows, key: Tensor, peaks: bool = False, native: bool | None = None) -> BlockSums:
    """The `BlockSums` of ``rows`` over ``key`` (m, size).

    ``native``: by the compiled kernel (True), by PyTorch (False), or by the quicker one that is there (None).
    """
    heads, device, parts = rows.query.shape[0], rows.query.device, len(rows.origin)
    blocks = -(-(rows.offset + key.shape[0]) // rows.block)
    pooled = torch.zeros(heads, parts, blocks, device=device)
    plogp, moment, near = torch.zeros(3, heads, parts, dtype=torch.float64, device=device)
    received = torch.zeros(heads, key.shape[0], device=device)
    sums = BlockSums(pooled, torch.full_like(pooled, -126.0) if peaks else None, received, plogp, moment, near)
    if native is None:
        native = device.type == "cpu" and library() is not None and native_agrees()
    (native_block_sums if native else _block_sums)(sums, rows, key.float())
    return sums


@cache
def native_agrees() -> bool:
    """Whether the compiled kernel gives what PyTorch gives on a small example; looked at once a process, so that a
    compiler's mistake makes a capture slower and not wrong."""
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(2, 45, 24, generator=generator), torch.randn(70, 24, generator=generator)
    place, part_of = torch.arange(25, 70), torch.arange(45) // 7
    origin, common, weight = torch.arange(7) * 3, torch.arange(7) * 9, torch.rand(7, generator=generator)
    for window in (None, 19):
        rows = Rows(query, torch.full((2, 45), 6.0), place, part_of, window, 8, 3, origin, common, weight)
        ours, theirs = (block_sums(rows, key, peaks=True, native=native) for native in (True, False))
        if not all(torch.allclose(a, b, 1e-4, 1e-4) for a, b in zip(vars(ours).values(), vars(theirs).values())):
            return False
    return True


def _block_sums(sums: BlockSums, rows: Rows, key: Tensor) -> None:
    """The pass in PyTorch. The log-sum-exp rides in an extra column of the product, so that no pass subtracts it."""
    heads, device, window = rows.query.shape[0], rows.query.device, rows.window
    most, width = (_ROWS, _KEYS) if device.type == "cpu" else (_ROWS_GPU, _KEYS_GPU)
    queries = torch.cat([rows.query, -rows.lse[..., None]], -1)
    keys = torch.cat([key, key.new_ones(key.shape[0], 1)], -1).T
    places, weights, commons = (one.to(device) for one in (rows.place, rows.weight, rows.common))
    for start, end, first, count in _stretches(rows.part_of, max(1, most // heads)):
        flat = queries[:, start:end].reshape(-1, queries.shape[-1])
        own, parts = places[start:end], slice(first, first + count)
        lowest, highest = int(rows.place[start:end].min()), int(rows.place[start:end].max())
        low = 0 if window is None else max(0, lowest - window + 1)
        for a in range(low, highest + 1, width):
            b = min(a + width, highest + 1)
            columns = torch.arange(a, b, device=device)
            scores = (flat @ keys[:, a:b]).view(heads, end - start, b - a)
            if b - 1 > lowest or (window is not None and a <= highest - window):
                hidden = columns > own[:, None]
                if window is not None:
                    hidden |= columns <= own[:, None] - window
                scores.masked_fill_(hidden, HIDDEN)
            blocked = scores.view(heads, count, -1, b - a)
            share = torch.exp2(blocked)
            mass = share.sum(2)
            sums.plogp[:, parts] += torch.linalg.vecdot(share.flatten(2), blocked.flatten(2))
            sums.received[:, a:b] += torch.einsum("hpk,p->hk", mass, weights[parts])
            origin = rows.origin[parts].to(device)
            sums.moment[:, parts] += torch.linalg.vecdot(mass, (columns - origin[:, None]).float())
            sums.near[:, parts] += (mass * (columns >= commons[parts, None])).sum(-1)
            at, to = rows.offset + a, rows.offset + b
            edges, cells = (at % rows.block, -to % rows.block), slice(at // rows.block, -(-to // rows.block))
            shape = (heads, count, -1, rows.block)
            sums.pooled[:, parts, cells] += pad(mass, edges).view(shape).sum(-1)
            if sums.peak is not None:
                best = pad(blocked.amax(2), edges, value=-126.0).view(shape).amax(-1)
                sums.peak[:, parts, cells] = torch.maximum(sums.peak[:, parts, cells], best)


def _stretches(part_of: Tensor, rows: int) -> Iterator[tuple[int, int, int, int]]:
    """(start, end, first part, parts): stretches of about ``rows`` queries that are whole parts of one size, or a piece
    of one part."""
    found, sizes = (one.tolist() for one in torch.unique_consecutive(part_of, return_counts=True))
    start, i = 0, 0
    while i < len(found):
        size, count = sizes[i], 1
        while (
            i + count < len(found)
            and sizes[i + count] == size
            and found[i + count] == found[i] + count
            and size * (count + 1) <= rows
        ):
            count += 1
        end = start + size * count
        if count == 1 and size > rows:
            for a in range(start, end, rows):
                yield a, min(a + rows, end), found[i], 1
        else:
            yield start, end, found[i], count
        start, i = end, i + count
