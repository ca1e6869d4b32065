"""Attention of one request, recorded while the forward runs: exact rows, pooled maps, head statistics, states.

Nothing here is heads x T x T: what is pooled comes from column sums of probabilities, and exact rows are scored a few
at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from workbench.capture.exact_rows import ExactRows
from workbench.capture.head_statistics import Queries, Repeats
from workbench.capture.kept_keys import add_rows, kept_mass
from workbench.capture.observer import Kept
from workbench.capture.pooling import SAMPLED, STATISTICS, LayerSums
from workbench.capture.positions import block_size, choose
from workbench.capture.request import AttentionCapture
from workbench.capture.sampled_rows import RowChoice

_TILE = 2**20  # probabilities of one tile of exact rows: 4 MiB in float32


@dataclass
class AttentionResult:
    """What was recorded, as numpy arrays; layers and heads are the chosen ones. Absent parts are None.

    rows (layer, head, row, key) probabilities · row_positions (row,) · map (layer, head, query_block, key_block): mean
    over the block's queries of the mass on the block's keys · max_map, the same shape: the largest probability in the
    cell · statistics: name -> (layer, head, query_block) means · shares: name -> (query_block,), how many of the
    queries had an induction or copying target when they were looked at · received (layer, head, key): mass a key
    received, summed over all queries · errors: name -> (layer, head) standard errors where rows were sampled · queries
    (layer, head, position, head_dim) and keys (layer, kv_head, position, head_dim) after RoPE · lse (layer, head,
    position): log-sum-exp of each query's scores, nats.
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
    max_map: np.ndarray | None = None
    statistics: dict[str, np.ndarray] | None = None
    shares: dict[str, np.ndarray] | None = None
    errors: dict[str, np.ndarray] | None = None
    received: np.ndarray | None = None
    queries: np.ndarray | None = None
    keys: np.ndarray | None = None
    lse: np.ndarray | None = None


@dataclass
class _Layer:
    """What is kept of one layer: its sums and states."""

    sums: LayerSums | None = None
    queries: list[Tensor] = field(default_factory=list)
    keys: list[Tensor] = field(default_factory=list)
    lse: list[Tensor] = field(default_factory=list)


class AttentionRecorder:
    """Takes the queries and keys of each forward and reduces them to what an `AttentionCapture` asks for."""

    def __init__(
        self, wanted: AttentionCapture, layers: int, heads: int, kv_heads: int, prompt: int, total: int, reach: int,
        block: int | None = None,
    ) -> None:  # fmt: skip
        """``prompt`` tokens are read, up to ``total`` in all; ``reach`` is the window `inside_window` measures;
        ``block``, tokens a block, follows from ``total`` where it is not given."""
        self.wanted, self.kv_heads, self.group = wanted, kv_heads, heads // kv_heads
        self.layers, self.heads = choose(wanted.layers, layers, "layer"), choose(wanted.heads, heads, "head")
        self.prompt, self.total, self.reach = prompt, total, reach
        self.block = block or block_size(total, wanted.pool or 256)
        self.blocks = -(-total // self.block)
        self._rows = ExactRows(wanted.rows, len(self.layers), len(self.heads), prompt, total)
        self._summarised = bool(wanted.pool) or wanted.statistics
        self._choice = RowChoice(self.block, wanted.sample, prompt)
        self._by_layer = {layer: _Layer() for layer in self.layers}
        self._repeats = Repeats()
        self._sought: list[int] = []  # copying targets as they were known when their queries were looked at
        self._scale, self._window = 1.0, None  # type: float, int | None

    def know(self, ids: list[int], first: int) -> None:
        """Tokens ``ids`` stand at positions ``first...``. Statistics of a token need to know the next one, so what is
        known should be told before it is read."""
        self._repeats.know(ids, first)

    def absorb(
        self, layer: int, query: Tensor, key: Tensor, lse: Tensor | None, first: int, window: int | None, scale: float
    ) -> None:
        """Record ``query`` (heads, n, head_dim) at positions ``first...`` over ``key`` (kv_heads, m, head_dim), whose
        last key is the last query's own. Without ``lse`` (heads, n) it is worked out here."""
        if layer not in self._by_layer:
            return
        self._scale, self._window = scale, window
        kept, n = self._by_layer[layer], query.shape[1]
        self._sought += self._repeats.copying[len(self._sought) : first + n]
        if lse is None:
            lse = _log_sum_exp(query, key, window, scale)
        if self.wanted.states:
            kept.queries.append(query[self.heads].cpu())
            kept.keys.append(key[:, -n:].clone().cpu())  # a view would hold every key before them too
            kept.lse.append(lse[self.heads].cpu())
        rows = [position - first for position in self._rows.among(first, first + n)]
        if self._summarised and kept.sums is None:
            kept.sums = LayerSums(
                self.wanted, len(self.heads), self.blocks, self.total, self.reach, self._choice, query.device
            )
        if not (rows or self._summarised):
            return
        place = torch.arange(key.shape[1] - n, key.shape[1], device=query.device)
        for kv_head in range(self.kv_heads):
            at = [i for i, head in enumerate(self.heads) if head // self.group == kv_head]
            if not at:
                continue
            members = [self.heads[i] for i in at]
            queries = Queries(query[members], key[kv_head], lse[members], place, window, scale)
            if rows:
                self._keep_rows(self.layers.index(layer), at, queries, rows, first)
            if kept.sums is not None:
                kept.sums.add(at, queries, first, (self._repeats.induction, self._repeats.copying))

    def absorb_kept(
        self, layer: int, query: Tensor, key: Tensor, kept: Kept, first: int, window: int | None, scale: float
    ) -> None:
        """As `absorb`, over the keys that a cache has kept. A key that was dropped gets nothing."""
        if layer not in self._by_layer:
            return
        self._scale, self._window = scale, window
        held, n, number = self._by_layer[layer], query.shape[1], self.layers.index(layer)
        self._sought += self._repeats.copying[len(self._sought) : first + n]
        if self._summarised and held.sums is None:
            held.sums = LayerSums(
                self.wanted, len(self.heads), self.blocks, self.total, self.reach, self._choice, query.device
            )
        step = max(1, _TILE // (len(self.heads) * (first + n)))
        for start in range(0, n, step):
            end = min(start + step, n)
            rows = [position - first - start for position in self._rows.among(first + start, first + end)]
            if not (rows or self._summarised):
                continue
            part = replace(kept, seen=None if kept.seen is None else kept.seen[:, start:end])
            chosen = [(head, head // self.group) for head in self.heads]
            mass = kept_mass(query[:, start:end], key, chosen, part, first + start, scale)
            if rows:
                at = [first + start + row for row in rows]
                self._rows.add(number, range(len(self.heads)), at, 0, mass[:, rows])
            if held.sums is not None:
                add_rows(held.sums, mass, first + start, (self._repeats.induction, self._repeats.copying))

    def _keep_rows(self, layer: int, at: list[int], queries: Queries, rows: list[int], first: int) -> None:
        """Exact probabilities of the queries with indices ``rows``, which stand at ``first + row``."""
        place, window = queries.place.tolist(), queries.window
        first_key = first - place[0]
        step = max(1, _TILE // (len(at) * queries.key.shape[0]))
        for start in range(0, len(rows), step):
            some = rows[start : start + step]
            low = 0 if window is None else max(0, place[some[0]] - window + 1)
            chosen_rows = queries.of(torch.tensor(some, device=queries.query.device))
            mass = chosen_rows.probabilities(low, place[some[-1]] + 1)
            self._rows.add(layer, at, [first + row for row in some], first_key + low, mass)

    def row_of(self, position: int) -> np.ndarray | None:
        """The exact row (layer, head, key) of one position recorded so far, keys 0 to it; None when it was not kept."""
        return self._rows.of(position)

    def result(self, tokens: int) -> AttentionResult:
        """Everything recorded over the ``tokens`` positions that were read; no arrays when none was."""
        found = AttentionResult(self.layers, self.heads, self.block, self._scale, self._window, self.reach)
        if not tokens:
            return found
        kept = [self._by_layer[layer] for layer in self.layers]
        if self._rows.wanted:
            found.row_positions, found.rows = self._rows.result(tokens)
        if sums := [one.sums for one in kept if one.sums is not None]:
            self._pooled(found, sums, tokens)
        if self.wanted.states and kept and kept[0].queries:
            found.queries = torch.stack([torch.cat(one.queries, 1) for one in kept]).float().numpy()
            found.keys = torch.stack([torch.cat(one.keys, 1) for one in kept]).float().numpy()
            found.lse = torch.stack([torch.cat(one.lse, 1) for one in kept]).float().numpy()
        return found

    def _pooled(self, found: AttentionResult, sums: list[LayerSums], tokens: int) -> None:
        """Means from the running sums of all layers."""
        blocks = -(-tokens // self.block)
        filled = torch.full((blocks,), float(self.block))
        filled[-1] = tokens - self.block * (blocks - 1)
        taken = torch.tensor([float(self._choice.count(i, int(filled[i]))) for i in range(blocks)])
        unseen = taken == 0  # a prompt stopped before the first sampled row of its last block
        rows = taken.masked_fill(unseen, float("nan"))

        def stacked(name: str, size: int) -> Tensor:
            return torch.stack([getattr(one, name)[..., :size].cpu() for one in sums])

        if self.wanted.pool:
            found.map = (stacked("mass", blocks)[..., :blocks, :] / rows[:, None]).numpy()
            if self.wanted.maximum:
                peak = stacked("peak", blocks)[..., :blocks, :]
                largest = torch.exp2(peak).masked_fill_(peak <= -126, 0.0)
                found.max_map = largest.masked_fill_(unseen[:, None], float("nan")).numpy()
        if self.wanted.statistics:
            found.received = stacked("received", tokens).numpy()
            means = stacked("statistics", blocks).transpose(0, 1)
            sampled = {"entropy", "distance", "inside_window"}
            found.statistics = {
                name: (means[i] / (rows if name in sampled else filled)).numpy() for i, name in enumerate(STATISTICS)
            }
            found.shares = {
                f"{name}_share": self._share(targets, tokens, filled.numpy())
                for name, targets in (("induction", self._repeats.induction), ("copying", self._sought))
            }
        if self._choice.halves == 2:
            found.errors = self._errors(stacked, blocks, filled, taken)

    def _share(self, targets: list[int], tokens: int, filled: np.ndarray) -> np.ndarray:
        """Share of each block's queries that have a target among the keys they see."""
        index, target = np.arange(tokens), np.array(targets[:tokens])
        seen = target >= 0
        if self._window is not None:
            seen &= target > index - self._window
        return (np.bincount(index // self.block, weights=seen, minlength=len(filled)) / filled).astype(np.float32)

    def _errors(
        self, stacked: Callable[[str, int], Tensor], blocks: int, filled: Tensor, taken: Tensor
    ) -> dict[str, np.ndarray]:
        """Standard errors (layer, head), root mean square over what was sampled, from the two halves of each sample."""
        sampled = torch.tensor([self._choice.sampled(i) for i in range(blocks)]) & (taken > 0)
        if not sampled.any():
            return {}
        known = (1 - taken / filled).clamp(min=0).sqrt() / taken  # the rows that were taken are known without error
        cells = torch.ones(blocks, blocks).tril()[sampled]
        found = {}
        for name in SAMPLED:
            if name == "map":
                spread = (stacked("mass_difference", blocks)[..., :blocks, :] * known[:, None])[..., sampled, :]
                square = (spread**2 * cells).sum((-1, -2)) / cells.sum()
            else:
                if not self.wanted.statistics:
                    continue
                spread = stacked("difference", blocks)[:, SAMPLED.index(name) - 1] * known
                square = (spread[..., sampled] ** 2).mean(-1)
            found[f"{name}_error"] = square.sqrt().numpy()
        return found


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
