"""The attention part of an inspection: labelled arrays, and any row or column exactly from the kept states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from workbench.capture.pooling import SAMPLED, STATISTICS
from workbench.errors import CaptureError
from workbench.inspection.heads import head_scores

LARGEST_RECTANGLE = 2**24
"""Probabilities that `rectangle` works out at once: 64 MiB."""


class Attention:
    """Attention of the chosen layers and heads. Positions are absolute token positions."""

    def __init__(self, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any], tokens: Sequence[str]) -> None:
        """``arrays`` as `AttentionResult` names them; ``facts`` are the record's about them."""
        self._arrays, self._facts, self._tokens = arrays, facts, tokens
        self.layers: list[int] = list(facts["layers"])
        self.heads: list[int] = list(facts["heads"])
        self.block: int = facts["block"]
        self.window: int | None = facts["window"]
        self.kv_heads: list[int] = [head // facts["group"] for head in self.heads]
        """The key-value head that each captured head reads; the coordinate "kv_head" on "head" of every array."""

    def __repr__(self) -> str:
        parts = [name for name in ("rows", "map", "statistics") if getattr(self, name) is not None]
        parts += ["states"] * ("queries" in self._arrays)
        return f"Attention({len(self.layers)} layers x {len(self.heads)} heads: {', '.join(parts) or 'nothing'})"

    @property
    def rows(self) -> xr.DataArray | None:
        """Exact probabilities (layer, head, query, key) of the captured query positions; 0 where a key is unseen."""
        if "rows" not in self._arrays:
            return None
        values, queries = self._arrays["rows"], self._arrays["row_positions"]
        keys = np.arange(values.shape[-1])
        return xr.DataArray(
            values,
            dims=("layer", "head", "query", "key"),
            coords={
                "layer": self.layers,
                "head": self.heads,
                "kv_head": ("head", self.kv_heads),
                "query": queries,
                "key": keys,
                "query_token": ("query", [self._tokens[int(q)] for q in queries]),
                "key_token": ("key", [self._tokens[int(k)] for k in keys]),
            },
            name="attention",
        )

    @cached_property
    def map(self) -> xr.DataArray | None:
        """Pooled map (layer, head, query_block, key_block): the mean over a block's queries of their mass on a block's
        keys, so each row sums to 1. Coordinates are the blocks' first positions; attrs["block"] their tokens."""
        if "map" not in self._arrays:
            return None
        return self._blocked(self._arrays["map"], ("query_block", "key_block"), "attention_map")

    @cached_property
    def max_map(self) -> xr.DataArray | None:
        """The largest probability in each cell of `map`; None unless AttentionCapture(maximum=True)."""
        if "max_map" not in self._arrays:
            return None
        return self._blocked(self._arrays["max_map"], ("query_block", "key_block"), "attention_max_map")

    @cached_property
    def statistics(self) -> xr.Dataset | None:
        """Means over each query block, (layer, head, query_block): entropy (nats), distance (tokens back), and mass on
        the sink (first tokens), self, previous key, recent keys, induction target (the key after the last occurrence of
        the same token), copying target (the last key that holds the next token) and inside_window; induction_share and
        copying_share (query_block,): how many queries have such a target; and received (layer, head, key_block): mass a
        key of the block got from all queries, on average over its keys."""
        if "received" not in self._arrays:
            return None
        deep, block = ("layer", "head"), {"block": self.block}
        starts = np.arange(self._arrays["entropy"].shape[-1]) * self.block
        named: dict[str, Any] = {name: ((*deep, "query_block"), self._arrays[name], block) for name in STATISTICS}
        for name in ("induction_share", "copying_share"):
            named[name] = ("query_block", self._arrays[name])
        received = self._arrays["received"]
        sizes = np.minimum(starts + self.block, received.shape[-1]) - starts
        means = np.add.reduceat(received, starts, axis=-1) / sizes
        named["received"] = ((*deep, "key_block"), means.astype(np.float32), block)
        coords: dict[str, Any] = {
            "layer": self.layers, "head": self.heads, "kv_head": ("head", self.kv_heads), "query_block": starts,
            "key_block": starts,
        }  # fmt: skip
        return xr.Dataset(named, coords=coords, attrs={**block, **self._facts["meaning"]})

    @property
    def errors(self) -> dict[str, np.ndarray]:
        """Standard errors (layer, head) of a map cell, of entropy and of distance where rows were sampled, root mean
        square over the sampled blocks; empty where all rows were looked at."""
        return {name: self._arrays[f"{name}_error"] for name in SAMPLED if f"{name}_error" in self._arrays}

    @property
    def received(self) -> xr.DataArray | None:
        """Mass (layer, head, key) that each key received from all queries. A key no later query may see gets less for
        that reason alone."""
        if "received" not in self._arrays:
            return None
        values = self._arrays["received"]
        coords = {"layer": self.layers, "head": self.heads, "kv_head": ("head", self.kv_heads),
                  "key": np.arange(values.shape[-1])}  # fmt: skip
        return xr.DataArray(values, dims=("layer", "head", "key"), coords=coords, name="received")

    def heavy_hitters(self, count: int = 16) -> xr.Dataset:
        """The keys that received most (Zhang et al., "H2O", 2023): position and received (layer, head, rank)."""
        if (received := self.received) is None:
            raise CaptureError(
                "What keys receive was not captured", remedy="Capture with AttentionCapture(statistics=True)"
            )
        count = max(1, min(count, received.sizes["key"]))
        order = np.argsort(-received.values, axis=-1, kind="stable")[..., :count]
        dims, coords = ("layer", "head", "rank"), {"layer": self.layers, "head": self.heads, "rank": np.arange(count)}
        mass = np.take_along_axis(received.values, order, -1)
        return xr.Dataset({"position": (dims, order), "received": (dims, mass)}, coords=coords)

    def named_heads(self, least: float = 0.4) -> pd.DataFrame:
        """Scores of every head as induction, retrieval, previous-token, sink and local head, and its name when the best
        one is at least ``least``; see `head_scores`."""
        if (statistics := self.statistics) is None:
            raise CaptureError(
                "Heads are named from statistics", remedy="Capture with AttentionCapture(statistics=True)"
            )
        return head_scores(statistics, self._arrays["received"].shape[-1], least)

    def _blocked(self, values: np.ndarray, dims: tuple[str, ...], name: str) -> xr.DataArray:
        coords: dict[str, Any] = {"layer": self.layers, "head": self.heads, "kv_head": ("head", self.kv_heads)}
        coords |= {dim: np.arange(values.shape[2 + i]) * self.block for i, dim in enumerate(dims)}
        return xr.DataArray(
            values, dims=("layer", "head", *dims), coords=coords, name=name, attrs={"block": self.block}
        )

    def row(self, query: int, layer: int | None = None) -> np.ndarray:
        """What the token at position ``query`` reads: exact probabilities (head, key) of ``layer``, or (layer, head,
        key) of all captured layers; keys 0 to T - 1. From captured rows, else from kept states."""
        at = [self._layer(layer)] if layer is not None else list(range(len(self.layers)))
        read = self._arrays["queries"].shape[2] if "queries" in self._arrays else None
        if "rows" in self._arrays and query in (found := self._arrays["row_positions"]):
            values = self._arrays["rows"][at, :, int(np.flatnonzero(found == query)[0])]
        elif read is None:
            raise CaptureError(
                f"The attention of position {query} was not captured",
                expected="a captured row or kept states",
                remedy="Capture with AttentionCapture(states=True) or name the position in rows",
            )
        else:
            self._check(query, read, "read by the model")
            keys = np.arange(read)
            seen = keys <= query
            if self.window is not None:
                seen &= keys > query - self.window
            values = np.stack([self._probabilities(i, slice(query, query + 1), slice(None))[:, 0] * seen for i in at])
        return values[0] if layer is not None else values

    def column(self, key: int, layer: int) -> np.ndarray:
        """Who reads the token at position ``key``: exact probabilities (head, query) of ``layer``; 0 for earlier
        queries. Needs kept states."""
        if "queries" not in self._arrays:
            raise CaptureError("A column needs kept states", remedy="Capture with AttentionCapture(states=True)")
        read = self._arrays["queries"].shape[2]
        self._check(key, read, "read by the model")
        queries = np.arange(read)
        sees = queries >= key
        if self.window is not None:
            sees &= queries < key + self.window
        return self._probabilities(self._layer(layer), slice(None), slice(key, key + 1))[..., 0] * sees

    def head_map(self, layer: int, head: int, limit: int = 512) -> np.ndarray:
        """The exact map (query, key) of one head, for at most ``limit`` tokens; needs kept states."""
        if "queries" not in self._arrays or (read := self._arrays["queries"].shape[2]) > limit:
            raise CaptureError(
                "The exact map of a head needs kept states and a short text",
                expected=f"AttentionCapture(states=True) and at most {limit} tokens",
                remedy="Use .map, or .row for single queries",
            )
        return self.rectangle(layer, head, slice(0, read), slice(0, read))

    def rectangle(self, layer: int, head: int, queries: slice, keys: slice) -> np.ndarray:
        """Exact probabilities (query, key) of one head at any length: a part of a map as it really is, from kept
        states. `Model.zoom` gives the same without states, by one forward."""
        if "queries" not in self._arrays:
            raise CaptureError(
                "A rectangle needs kept states", remedy="Capture with AttentionCapture(states=True), or use Model.zoom"
            )
        if head not in self.heads:
            raise CaptureError(f"Head {head} was not captured", expected=f"one of {self.heads}")
        read = self._arrays["queries"].shape[2]
        rows, columns = np.arange(read)[queries], np.arange(read)[keys]
        if not 0 < len(rows) * len(columns) <= LARGEST_RECTANGLE:
            raise CaptureError(
                f"The rectangle has {len(rows)} x {len(columns)} probabilities",
                expected=f"1 to {LARGEST_RECTANGLE} of the {read} positions read",
                remedy="Choose a smaller one",
            )
        seen = columns[None] <= rows[:, None]
        if self.window is not None:
            seen &= columns[None] > rows[:, None] - self.window
        return self._probabilities(self._layer(layer), queries, keys, [self.heads.index(head)])[0] * seen

    def _probabilities(self, i: int, rows: slice, keys: slice, heads: list[int] | None = None) -> np.ndarray:
        """exp(q.k scale - lse) of layer index ``i``: (head, rows, keys), before any mask."""
        chosen = range(len(self.heads)) if heads is None else heads
        group, scale = self._facts["group"], self._facts["scale"]
        states, sums = self._arrays["queries"][i], self._arrays["lse"][i]
        stored = self._arrays["keys"][i]
        found = []
        for h in chosen:
            scores = states[h, rows] @ stored[self.heads[h] // group, keys].T * scale - sums[h, rows, None]
            found.append(np.exp(np.minimum(scores, 0.0)))  # above 0 only where a key is unseen: the caller masks it
        return np.stack(found)

    def _layer(self, layer: int) -> int:
        if layer not in self.layers:
            raise CaptureError(f"Layer {layer} was not captured", expected=f"one of {self.layers}")
        return self.layers.index(layer)

    @staticmethod
    def _check(position: int, length: int, meaning: str) -> None:
        if not isinstance(position, int | np.integer) or not 0 <= position < length:
            raise CaptureError(
                f"Position {position} has no attention", expected=f"0 to {length - 1}, the positions {meaning}"
            )
