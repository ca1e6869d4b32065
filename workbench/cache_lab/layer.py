"""A cache that stores only some of the tokens it has read, with the position of each: the layers under every policy.

Keys stay as they are after RoPE, at the positions of the text: nothing is turned or moved up when others are dropped.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin

from workbench.capture.observer import Kept, say_seen


@dataclass(frozen=True)
class Sight:
    """Which keys a query sees, by position alone. ``window``: the model's, W keys with the query's own. ``recent`` and
    ``sinks``: besides the first ``sinks`` tokens of the text only the last ``recent``, the query's own among them.
    None: no limit."""

    window: int | None = None
    recent: int | None = None
    sinks: int = 0

    def last(self, positions: Tensor) -> Tensor:
        """The position of the last query that sees a key at each of ``positions``.

        ``recent`` 3, ``sinks`` 1: the key at 0 is seen for ever, that at 4 by the queries 4, 5 and 6.
        """
        found = torch.full_like(positions, torch.iinfo(positions.dtype).max)
        if self.recent is not None:
            found = torch.where(positions < self.sinks, found, positions + (self.recent - 1))
        return found if self.window is None else torch.minimum(found, positions + (self.window - 1))


class KeptLayer(CacheLayerMixin):
    """Keys and values (1, kv_heads, stored, head_dim) in order of their positions; ``positions`` (1 or kv_heads,
    stored), one row where all heads keep the same tokens. ``length`` tokens were read, which is what transformers is
    told: the next query stands there."""

    is_sliding = False

    def __init__(
        self, sight: Sight, keys: Tensor | None = None, values: Tensor | None = None,
        positions: Tensor | None = None, length: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.sight, self.length = sight, length
        self.positions = torch.empty(1, 0, dtype=torch.long) if positions is None else positions
        if keys is not None and values is not None:
            self.lazy_initialization(keys, values)
            self.keys, self.values = keys, values

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys, self.values = key_states[:, :, :0], value_states[:, :, :0]
        self.positions = self.positions.to(self.device)
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **others: Any) -> tuple[Tensor, Tensor]:
        """All that the new queries may see, with `say_seen`; what no later query sees is dropped after it."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        keys, values = self.whole()
        keys, values = torch.cat([keys, key_states], 2), torch.cat([values, value_states], 2)
        new = torch.arange(self.length, self.length + key_states.shape[2], device=keys.device)
        positions = torch.cat([self.positions, new.expand(len(self.positions), -1)], 1)
        last = self.sight.last(positions)
        handed = keys.view_as(keys)  # the mark is not to outlive this forward
        seen = None if bool((last >= new[-1]).all()) else _seen(positions, last, new)
        say_seen(handed, Kept(positions, seen))
        self.length += len(new)
        self.store(keys, values, positions)
        self.drop()
        return handed, values

    def whole(self) -> tuple[Tensor, Tensor]:
        """Keys and values as attention takes them."""
        assert self.keys is not None
        assert self.values is not None
        return self.keys, self.values

    def store(self, keys: Tensor, values: Tensor, positions: Tensor) -> None:
        """Keep what an update brought."""
        self.keys, self.values, self.positions = keys, values, positions

    def drop(self) -> None:
        """Let go of what no query from now on sees. Heads may differ in how many: as many are stored as the head with
        the most needs, and what the others see no more is hidden from them."""
        alive = self.sight.last(self.positions) >= self.length
        most = int(alive.sum(1).max())
        if most < alive.shape[1]:
            kept = torch.argsort(alive, dim=1, stable=True)[:, alive.shape[1] - most :].sort(1).values
            keys, values = self.whole()
            self.keys, self.values = picked(keys, kept), picked(values, kept)
            self.positions = self.positions.gather(1, kept)

    def tensors(self) -> tuple[Tensor, ...]:
        """All that is stored; positions, which no attention needs while nothing is hidden, are not counted."""
        return () if self.keys is None or self.values is None else (self.keys, self.values)

    @property
    def capacity(self) -> int:
        """The most tokens that are ever stored between two queries; -1: no limit."""
        limits = []
        if self.sight.window is not None:
            limits.append(self.sight.window - 1)
        if self.sight.recent is not None:
            limits.append(self.sight.sinks + self.sight.recent - 1)
        return min(limits, default=-1)

    def room(self) -> int | None:
        """How many tokens may be read at once with the result of one by one; None: any number."""
        return None

    def get_seq_length(self) -> int:
        return self.length

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """So that no mask is built: `say_seen` says all."""
        stored = self.positions.shape[1]
        return stored + query_length, self.length - stored

    def get_max_length(self) -> int:
        return -1


class KeptCache(Cache):
    """One layer each of `KeptLayer`. To be read through `generation.prefill.forward_rows`, one text at a time."""

    layers: list[KeptLayer]

    def __init__(self, layers: list[KeptLayer]) -> None:
        super().__init__(layers=list(layers))

    def fork(self) -> KeptCache:
        """Another one in the same state. Tensors are shared: none is ever written to."""
        return KeptCache([copy(layer) for layer in self.layers])

    @property
    def nbytes(self) -> int:
        """Bytes of all that is stored of keys and values, scales of quantized ones included."""
        return sum(tensor.nbytes for layer in self.layers for tensor in layer.tensors())

    @property
    def allocated(self) -> int:
        """Bytes of the memory blocks that hold it."""
        blocks = {
            tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
            for layer in self.layers for tensor in layer.tensors() if tensor.numel()
        }  # fmt: skip
        return sum(blocks.values())

    @property
    def room(self) -> int | None:
        """How many tokens may be read at once: the smallest of the layers'."""
        return min((room for layer in self.layers if (room := layer.room()) is not None), default=None)


def picked(states: Tensor, index: Tensor) -> Tensor:
    """The tokens ``index`` (1 or kv_heads, k) of ``states`` (1, kv_heads, m, head_dim), in memory of their own."""
    rows = index.to(states.device).expand(states.shape[1], -1)
    return states.gather(2, rows[None, :, :, None].expand(1, -1, -1, states.shape[3]))


def _seen(positions: Tensor, last: Tensor, queries: Tensor) -> Tensor:
    """(rows, n, m): whether the query at each of ``queries`` (n,) sees the key at each of ``positions`` (rows, m)."""
    at = queries[None, :, None]
    return (positions[:, None, :] <= at) & (at <= last[:, None, :])
