"""Pooled maps and head statistics of one layer, added up while a prompt is read: never heads x T x T."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from workbench.capture.block_sums import LOG2E, Rows, block_sums
from workbench.capture.head_statistics import Queries, mass_at, mass_on_first, mass_on_last
from workbench.capture.request import AttentionCapture
from workbench.capture.sampled_rows import RowChoice

STATISTICS = (
    "entropy", "distance", "sink", "self", "previous", "recent", "induction", "copying", "inside_window",
)  # fmt: skip
SAMPLED = ("map", "entropy", "distance")
"""What is estimated from the sampled rows with a stated error; received and inside_window come from the same rows."""
_LN2 = 0.6931471805599453
_EDGE = 2**20  # scores at once where queries of a block reach differently far


class LayerSums:
    """Running sums of one layer over query blocks, for ``heads`` chosen heads and ``blocks`` blocks a side.

    mass and peak (head, block, block), received (head, key), statistics (name, head, block); where rows are sampled,
    first half minus second half of mass, entropy and distance.
    """

    def __init__(
        self, wanted: AttentionCapture, heads: int, blocks: int, tokens: int, reach: int, rows: RowChoice,
        device: torch.device,
    ) -> None:  # fmt: skip
        self.wanted, self.rows, self.block, self.reach = wanted, rows, rows.block, reach
        self.mass = torch.zeros(heads, blocks, blocks, device=device)
        self.peak = torch.full_like(self.mass, -126.0) if wanted.maximum and wanted.pool else None
        self.received = torch.zeros(heads, tokens, device=device)
        self.statistics = torch.zeros(len(STATISTICS), heads, blocks, device=device)
        sampled = rows.halves == 2
        self.mass_difference = torch.zeros_like(self.mass) if sampled else None
        self.difference = torch.zeros(2, heads, blocks, device=device) if sampled else None

    def add(self, at: list[int], queries: Queries, first: int, targets: tuple[Sequence[int], Sequence[int]]) -> None:
        """Add the queries at positions ``first...`` of the heads with indices ``at`` here. ``targets``: induction and
        copying positions of all tokens."""
        n, device = queries.query.shape[1], queries.query.device
        positions, halves = self.rows.of(first, first + n)
        if positions:
            whole = len(positions) == n
            some = queries if whole else queries.of(torch.tensor(positions, device=device) - first)
            self._pool(at, some, torch.tensor(positions), torch.tensor(halves), first - int(queries.place[0]))
        if not self.wanted.statistics:
            return
        shift = first - int(queries.place[0])
        induction, copying = (torch.tensor(one[first : first + n], device=device) - shift for one in targets)
        values = {
            "sink": mass_on_first(queries, self.wanted.sink_tokens - shift),
            "self": mass_at(queries, queries.place),
            "previous": mass_at(queries, queries.place - 1),
            "recent": mass_on_last(queries, self.wanted.recent),
            "induction": mass_at(queries, induction),
            "copying": mass_at(queries, copying),
        }
        blocks = torch.arange(first, first + n, device=device) // self.block
        low, high = first // self.block, (first + n - 1) // self.block + 1
        sums = torch.zeros(len(values), len(at), high - low, device=device)
        sums.index_add_(2, blocks - low, torch.stack(list(values.values())))
        for name, value in zip(values, sums, strict=True):
            self.statistics[STATISTICS.index(name), at, low:high] += value

    def _pool(self, at: list[int], queries: Queries, positions: Tensor, halves: Tensor, first_key: int) -> None:
        """Add what one streaming pass gives of the queries at ``positions``."""
        b, parts = self.block, self.rows.halves
        low, high = int(positions[0]) // b, int(positions[-1]) // b + 1
        block_of, place = positions // b - low, positions - first_key
        part_of = block_of * parts + halves * (parts - 1)
        starts = torch.arange(low, high).repeat_interleave(parts) * b - first_key
        furthest = torch.zeros(high - low, dtype=torch.int64).scatter_reduce_(0, block_of, place, "amax")
        common = (furthest - self._reach(queries) + 1).clamp(min=0)
        weights = torch.tensor([self.rows.weight(number) for number in range(low, high)])
        rows = Rows(
            queries.query.float() * (queries.scale * LOG2E), queries.lse.float() * LOG2E, place, part_of,
            queries.window, b, first_key % b, starts, common.repeat_interleave(parts), weights.repeat_interleave(parts),
        )  # fmt: skip
        sums = block_sums(rows, queries.key, self.peak is not None)
        blocks, cells = slice(low, high), slice(first_key // b, first_key // b + sums.pooled.shape[-1])
        shape = (len(at), high - low, parts)
        pooled = sums.pooled.view(*shape, -1)
        self.mass[at, blocks, cells] += pooled.sum(2)
        if self.mass_difference is not None:
            self.mass_difference[at, blocks, cells] += pooled[:, :, 0] - pooled[:, :, 1]
        if self.peak is not None and sums.peak is not None:
            peak = sums.peak.view(*shape, -1).amax(2)
            self.peak[at, blocks, cells] = torch.maximum(self.peak[at, blocks, cells], peak)
        if not self.wanted.statistics:
            return
        self.received[at, first_key : first_key + queries.key.shape[0]] += sums.received
        own = torch.zeros(len(starts), dtype=torch.float64).index_add_(0, part_of, (place - starts[part_of]).double())
        found = {"entropy": sums.plogp * -_LN2, "distance": own.to(sums.moment.device) - sums.moment}
        for i, (name, values) in enumerate(found.items()):
            split = values.float().view(shape)
            self.statistics[STATISTICS.index(name), at, blocks] += split.sum(-1)
            if self.difference is not None:
                self.difference[i, at, blocks] += split[..., 0] - split[..., 1]
        inside = sums.near.float().view(shape).sum(-1) + self._edge(queries, block_of, common)
        self.statistics[STATISTICS.index("inside_window"), at, blocks] += inside

    def _reach(self, queries: Queries) -> int:
        """The window `inside_window` measures, where the model's own does not hide more."""
        return self.reach if queries.window is None or self.reach < queries.window else 2**40

    def _edge(self, queries: Queries, block_of: Tensor, common: Tensor) -> Tensor:
        """Mass (heads, blocks) inside the reach on keys that only some queries of a block reach: those before its
        ``common`` ones, which the pass has summed."""
        reach, heads, device = self._reach(queries), queries.query.shape[0], queries.query.device
        total = torch.zeros(heads, len(common), device=device)
        counts = torch.bincount(block_of, minlength=len(common))
        ends = counts.cumsum(0)
        place = queries.place.cpu()
        lowest = torch.full_like(common, 2**40).scatter_reduce_(0, block_of, place, "amin")
        widths = common - (lowest - reach + 1).clamp(min=0)
        alike = torch.unique(torch.stack([counts, widths]), dim=1).T.tolist()  # blocks of one size go together
        for count, width in alike:
            some = torch.nonzero((counts == count) & (widths == width))[:, 0]
            if count == 0 or width <= 0:
                continue
            rows = ((ends[some] - count)[:, None] + torch.arange(count)).to(device)
            keys = ((common[some] - width)[:, None] + torch.arange(width)).to(device)
            step = max(1, _EDGE // (heads * len(some) * width))  # rows of each block at once
            for start in range(0, count, step):
                part = rows[:, start : start + step]
                scores = torch.einsum("hbcd,bwd->hbcw", queries.query[:, part].float(), queries.key[keys].float())
                scores = scores * queries.scale - queries.lse[:, part, None].float()
                back = queries.place[part][..., None] - keys[:, None]
                hidden = (back < 0) | (back >= reach)
                total[:, some.to(device)] += torch.exp2(scores * LOG2E).masked_fill_(hidden, 0.0).sum((-1, -2))
        return total
