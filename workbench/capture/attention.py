"""Attention of one request, recorded layer by layer while the forward runs: exact rows, pooled map, statistics, states.

Nothing here is heads x T x T: a tile of query rows is scored against the keys it sees, reduced, and forgotten.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from workbench.capture.positions import block_size, choose, chosen
from workbench.capture.request import AttentionCapture

STATISTICS = ("entropy", "distance", "sink", "self", "previous", "recent", "induction", "inside_window")
_TILE = 2**20  # probabilities of one tile: 4 MiB in float32
_LOG2E = math.log2(math.e)  # exp2 throughout: torch.exp is many times slower on the CPU where its argument underflows


@dataclass
class AttentionResult:
    """What was recorded, as numpy arrays; layers and heads are the chosen ones. Absent parts are None.

    rows (layer, head, row, key) probabilities · row_positions (row,) · map (layer, head, query_block, key_block): mean
    over the block's queries of the mass on the block's keys · statistics: name -> (layer, head, query_block) means ·
    received (layer, head, key_block): mass received a key, summed over all queries · queries (layer, head, position,
    head_dim) and keys (layer, kv_head, position, head_dim) after RoPE · lse (layer, head, position): log-sum-exp of
    each query's scores, nats.
    """

    layers: list[int]
    heads: list[int]
    block: int
    scale: float
    window: int | None
    reach: int
    row_positions: np.ndarray | None = None
    rows: np.ndarray | None = None
    map: np.ndarray | None = None
    statistics: dict[str, np.ndarray] | None = None
    received: np.ndarray | None = None
    queries: np.ndarray | None = None
    keys: np.ndarray | None = None
    lse: np.ndarray | None = None


@dataclass
class _Layer:
    """Running sums of one layer."""

    mass: Tensor | None = None
    statistics: Tensor | None = None
    rows: list[tuple[list[int], list[int], int, Tensor]] = field(
        default_factory=list
    )  # heads, positions, first key, mass
    queries: list[Tensor] = field(default_factory=list)
    keys: list[Tensor] = field(default_factory=list)
    sums: list[Tensor] = field(default_factory=list)


class AttentionRecorder:
    """Takes the queries and keys of each forward and reduces them to what an `AttentionCapture` asks for."""

    def __init__(
        self, wanted: AttentionCapture, layers: int, heads: int, kv_heads: int, prompt: int, total: int, reach: int
    ) -> None:
        """``prompt`` tokens are read, up to ``total`` in all; ``reach`` is the window `inside_window` measures."""
        self.wanted, self.kv_heads, self.group = wanted, kv_heads, heads // kv_heads
        self.layers, self.heads = choose(wanted.layers, layers, "layer"), choose(wanted.heads, heads, "head")
        self.prompt, self.reach = prompt, reach
        self.block = block_size(total, wanted.pool or 256)
        self.blocks = -(-total // self.block)
        self._rows = chosen(wanted.rows, prompt, "row") if wanted.rows is not None else set()
        self._follows = isinstance(wanted.rows, str)  # words go on with the generated tokens
        self._summarised = bool(wanted.pool) or wanted.statistics
        self._by_layer = {layer: _Layer() for layer in self.layers}
        self._induction: list[int] = []
        self._last_seen: dict[int, int] = {}
        self._scale, self._window = 1.0, None  # type: float, int | None

    def read(self, ids: list[int]) -> None:
        """Tell the tokens about to be fed. Each one's induction target is the key after its last occurrence."""
        for token in ids:
            self._induction.append(self._last_seen.get(token, -2) + 1)
            self._last_seen[token] = len(self._induction) - 1

    def absorb(
        self, layer: int, query: Tensor, key: Tensor, lse: Tensor | None, first: int, window: int | None, scale: float
    ) -> None:
        """Record ``query`` (heads, n, head_dim) at positions ``first...`` over ``key`` (kv_heads, m, head_dim), whose
        last key is the last query's own. Without ``lse`` (heads, n) the tile's own log-sum-exp is taken."""
        if layer not in self._by_layer:
            return
        self._scale, self._window = scale, window
        kept, n = self._by_layer[layer], query.shape[1]
        first_key = first + n - key.shape[1]
        if lse is None:
            lse = _log_sum_exp(query, key, window, scale)
        if self.wanted.states:
            kept.queries.append(query[self.heads].cpu())
            kept.keys.append(key[:, -n:].clone().cpu())  # a view would hold every key before them too
            kept.sums.append(lse[self.heads].cpu())
        if self._summarised:
            if kept.mass is None:
                kept.mass = torch.zeros(len(self.heads), self.blocks, self.blocks, device=query.device)
                kept.statistics = torch.zeros(len(STATISTICS), len(self.heads), self.blocks, device=query.device)
            spans = _tiles(n, self.group * key.shape[1])
        else:
            wanted = [position - first for position in range(first, first + n) if self._wants_row(position)]
            spans = [(a + s, a + e) for a, b in _stretches(wanted) for s, e in _tiles(b - a, self.group * key.shape[1])]
        for start, end in spans:
            self._tile(kept, query[:, start:end], key, lse[:, start:end], first + start, first_key, window, scale)

    def _wants_row(self, position: int) -> bool:
        if self._rows is None or position in self._rows:
            return True
        return self._follows and position >= self.prompt - 1

    def _tile(
        self, kept: _Layer, query: Tensor, key: Tensor, lse: Tensor,
        first: int, first_key: int, window: int | None, scale: float,
    ) -> None:  # fmt: skip
        """One tile: queries at ``first...`` (a few rows of all heads) against every key they can see."""
        n, device = query.shape[1], query.device
        low = max(first_key, first - window + 1) if window is not None else first_key
        high = first + n
        positions = torch.arange(first, high, device=device)
        columns = torch.arange(low, high, device=device)
        hidden = columns[None] > positions[:, None]
        if window is not None:
            hidden |= columns[None] <= positions[:, None] - window
        rows = [i for i in range(n) if self._wants_row(first + i)]
        for kv_head in range(self.kv_heads):
            at = [i for i, head in enumerate(self.heads) if head // self.group == kv_head]
            if not at:
                continue
            members = [self.heads[i] for i in at]
            flat = (query[members].float() * scale).reshape(-1, query.shape[-1])
            scores = (flat @ key[kv_head, low - first_key : high - first_key].float().T).view(len(at), n, -1)
            sums = lse[members].float()
            mass = torch.exp2((scores - sums[..., None]).mul_(_LOG2E)).masked_fill_(hidden, 0.0)
            if rows:
                kept.rows.append((at, [first + i for i in rows], low, mass[:, rows].cpu()))
            if self._summarised:
                self._summarise(kept, at, mass, scores, sums, first, low)

    def _summarise(
        self, kept: _Layer, at: list[int], mass: Tensor, scores: Tensor, sums: Tensor, first: int, low: int
    ) -> None:
        """Add one tile of probabilities ``mass`` (members, n, m), queries from ``first``, keys from ``low``."""
        assert kept.mass is not None
        assert kept.statistics is not None
        n, high, b, device = mass.shape[1], first + mass.shape[1], self.block, mass.device
        members = torch.tensor(at, device=device)
        pooled = torch.nn.functional.pad(mass, (low % b, -high % b)).view(len(at), n, -1, b).sum(-1)
        spans = [
            (max(i * b - first, 0), min((i + 1) * b - first, n), i) for i in range(first // b, (high - 1) // b + 1)
        ]
        for start, end, row_block in spans:
            kept.mass[members, row_block, low // b : low // b + pooled.shape[-1]] += pooled[:, start:end].sum(1)
        if not self.wanted.statistics:
            return
        index = torch.arange(n, device=device) + (first - low)  # each query's own key within the tile
        repeated = torch.tensor(self._induction[first:high], device=device) - low
        values = torch.stack(
            [
                sums - torch.linalg.vecdot(mass, scores),
                index - mass @ torch.arange(mass.shape[-1], device=device, dtype=torch.float32),
                mass[..., : max(0, self.wanted.sink_tokens - low)].sum(-1),
                _at(mass, index),
                _at(mass, index - 1),
                _last(mass, index, self.wanted.recent),
                _at(mass, repeated),
                _last(mass, index, self.reach),
            ]
        )
        for start, end, row_block in spans:
            kept.statistics[:, members, row_block] += values[:, :, start:end].sum(-1)

    def row_of(self, position: int) -> np.ndarray | None:
        """The exact row (layer, head, key) of one position recorded so far, keys 0 to it; None when it was not kept."""
        row = np.zeros((len(self.layers), len(self.heads), position + 1), np.float32)
        found = False
        for i, layer in enumerate(self.layers):
            for at, some, low, mass in self._by_layer[layer].rows:
                if position in some:
                    found = True
                    seen = mass[:, some.index(position), : position + 1 - low].numpy()
                    row[i, at, low : low + seen.shape[-1]] = seen
        return row if found else None

    def result(self, tokens: int) -> AttentionResult:
        """Everything recorded over the ``tokens`` positions that were read; no arrays when none was."""
        found = AttentionResult(self.layers, self.heads, self.block, self._scale, self._window, self.reach)
        if not tokens:
            return found
        blocks = -(-tokens // self.block)
        sizes = torch.full((blocks,), float(self.block))
        sizes[-1] = tokens - self.block * (blocks - 1)
        kept = [self._by_layer[layer] for layer in self.layers]
        if self._rows is None or self._rows or self._follows:
            found.row_positions, found.rows = self._rows_of(kept, tokens)
        if self._summarised and all(one.mass is not None for one in kept) and kept:
            mass = torch.stack([one.mass.cpu()[:, :blocks, :blocks] for one in kept])  # type: ignore[union-attr]
            if self.wanted.pool:
                found.map = (mass / sizes[:, None]).numpy()
            if self.wanted.statistics:
                found.received = (mass.sum(2) / sizes).numpy()
                means = torch.stack([one.statistics.cpu()[..., :blocks] for one in kept], 1) / sizes  # type: ignore[union-attr]
                found.statistics = {name: means[i].numpy() for i, name in enumerate(STATISTICS)}
        if self.wanted.states and kept and kept[0].queries:
            found.queries = torch.stack([torch.cat(one.queries, 1) for one in kept]).float().numpy()
            found.keys = torch.stack([torch.cat(one.keys, 1) for one in kept]).float().numpy()
            found.lse = torch.stack([torch.cat(one.sums, 1) for one in kept]).float().numpy()
        return found

    def _rows_of(self, kept: list[_Layer], tokens: int) -> tuple[np.ndarray, np.ndarray]:
        positions = sorted({position for one in kept for _, some, _, _ in one.rows for position in some})
        place = {position: i for i, position in enumerate(positions)}
        rows = np.zeros((len(kept), len(self.heads), len(positions), tokens), np.float32)
        for i, one in enumerate(kept):
            for at, some, low, mass in one.rows:
                columns = slice(low, low + mass.shape[-1])
                rows[i, np.array(at)[:, None], [place[position] for position in some], columns] = mass.numpy()
        return np.array(positions, np.int32), rows


def _log_sum_exp(query: Tensor, key: Tensor, window: int | None, scale: float) -> Tensor:
    """Log-sum-exp (heads, n) in float32 of a few queries that end where ``key`` (kv_heads, m, head_dim) ends."""
    n, keys, group = query.shape[1], key.shape[1], query.shape[0] // key.shape[0]
    index = torch.arange(keys - n, keys, device=query.device)[:, None]
    columns = torch.arange(keys, device=query.device)[None]
    hidden = columns > index
    if window is not None:
        hidden |= columns <= index - window
    sums = []
    for kv_head in range(key.shape[0]):
        members = query[kv_head * group : (kv_head + 1) * group].float() * scale
        scores = (members @ key[kv_head].float().T).masked_fill_(hidden, float("-inf"))
        sums.append(torch.logsumexp(scores, -1))
    return torch.cat(sums)


def _stretches(numbers: list[int]) -> list[tuple[int, int]]:
    """Half-open stretches of consecutive numbers: [3, 4, 5, 9] gives [(3, 6), (9, 10)]."""
    breaks = [i for i in range(1, len(numbers)) if numbers[i] != numbers[i - 1] + 1]
    starts = [0, *breaks] if numbers else []
    return [(numbers[a], numbers[b - 1] + 1) for a, b in zip(starts, [*breaks, len(numbers)], strict=False)]


def _tiles(n: int, width: int) -> list[tuple[int, int]]:
    step = max(1, min(n, _TILE // max(1, width)))
    return [(start, min(n, start + step)) for start in range(0, n, step)]


def _at(mass: Tensor, index: Tensor) -> Tensor:
    """Probability (members, n) of each query's key ``index`` (n,); 0 where the index is negative."""
    picked = mass.gather(-1, index.clamp(min=0).expand(mass.shape[0], -1)[..., None])[..., 0]
    return picked * (index >= 0)


def _last(mass: Tensor, index: Tensor, width: int) -> Tensor:
    """Mass (members, n) of each query on the last ``width`` keys, its own (at ``index``) included."""
    start = max(0, int(index[0]) - width + 1)
    near = torch.arange(start, mass.shape[-1], device=mass.device)[None] > (index[:, None] - width)
    return torch.einsum("hnm,nm->hn", mass[..., start:], near.float())
