"""The attention of two runs side by side: rows, pooled maps and head statistics, and what the second has more."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from workbench.capture.pooling import STATISTICS
from workbench.errors import CaptureError, ComparisonError
from workbench.inspection.reading import read_length

if TYPE_CHECKING:
    from workbench.inspection.attention import Attention
    from workbench.inspection.inspection import Inspection


class AttentionComparison:
    """Differences are b less a, heads taken by their number: two models trained apart need not use a number for the
    same thing. ``common`` tokens of both runs agree by index; only those are compared position by position.

    Raises ComparisonError where a part was not captured in both runs, or the two models differ in layers or heads.
    """

    def __init__(self, a: Inspection, b: Inspection, common: int) -> None:
        self._runs, self._common = (a, b), common

    @property
    def layers(self) -> list[int]:
        """Layers captured in both runs."""
        a, b = self._both()
        return [layer for layer in a.layers if layer in b.layers]

    @property
    def heads(self) -> list[int]:
        """Heads captured in both runs."""
        a, b = self._both()
        return [head for head in a.heads if head in b.heads]

    @property
    def block(self) -> int:
        """Tokens a cell of the common grid: the least multiple of both maps' blocks."""
        a, b = self._both()
        return math.lcm(a.block, b.block)

    @property
    def length(self) -> int:
        """Tokens that `map` and `statistics` cover: whole blocks of what both have read alike, and a last block with
        fewer tokens where both texts end with it."""
        reads = [read_length(run) for run in self._runs]
        alike = min(self._common, *reads)
        return alike if reads[0] == reads[1] == alike else alike - alike % self.block

    def row(self, query: int, layer: int) -> xr.DataArray:
        """The exact difference (head, key) of what position ``query`` reads in ``layer``."""
        a, b = self._both()
        if not 0 <= query < self._common:
            raise ComparisonError(
                f"The two texts differ before or at position {query}", expected=f"one of the {self._common} both share",
                remedy="Compare the two rows token by token along Comparison.alignment",
            )  # fmt: skip
        rows = [one.row(query, layer)[[one.heads.index(head) for head in self.heads], : query + 1] for one in (a, b)]
        keys, tokens = np.arange(query + 1), self._runs[0].tokens[: query + 1]
        coords: dict[str, Any] = {"head": self.heads, "key": keys, "key_token": ("key", tokens)}
        return xr.DataArray(rows[1] - rows[0], dims=("head", "key"), coords=coords, name="attention difference")

    def map(self, layer: int | None = None) -> xr.DataArray:
        """The difference of the pooled maps (layer, head, query_block, key_block), or (head, query_block, key_block) of
        one ``layer``, on the grid of `block` tokens: exact, because means over a block's queries of the mass on a
        block's keys pool into larger blocks of the same kind."""
        a, b = self._both("map")
        if self.length < 1:
            raise ComparisonError(
                f"The two texts share only {self._common} tokens, fewer than a block of {self.block}",
                remedy="Compare runs of one prompt",
            )
        chosen = self.layers if layer is None else [self._known(layer)]
        maps = [self._regrid(one, self._of(one.map, chosen)) for one in (a, b)]
        starts = np.arange(maps[0].shape[2]) * self.block
        coords: dict[str, Any] = {
            "layer": chosen, "head": self.heads, "query_block": starts, "key_block": starts,
        }  # fmt: skip
        dims = ("layer", "head", "query_block", "key_block")
        found = xr.DataArray(maps[1] - maps[0], dims=dims, coords=coords, attrs={"block": self.block})
        return found if layer is None else found.sel(layer=layer)

    def statistics(self) -> pd.DataFrame:
        """A row for each layer and head: every statistic in a, in b, and b less a, columns (statistic, "a" | "b" |
        "difference"), averaged over the `length` tokens that both have read alike. Units as in
        `Attention.statistics`: nats, tokens back, shares."""
        a, b = self._both("statistics")
        index = pd.MultiIndex.from_product([self.layers, self.heads], names=["layer", "head"])
        columns: dict[tuple[str, str], np.ndarray] = {}
        known = [one.statistics for one in (a, b)]  # put together at each access: once for all of them
        for name in STATISTICS:
            values = [
                self._mean(one, found[name]) for one, found in zip((a, b), known, strict=True) if found is not None
            ]
            columns |= {(name, "a"): values[0], (name, "b"): values[1], (name, "difference"): values[1] - values[0]}
        return pd.DataFrame(columns, index=index)

    def _mean(self, attention: Attention, statistic: xr.DataArray) -> np.ndarray:
        """Mean (layer * head,) over the queries that are compared; NaN without any."""
        values = self._of(statistic, self.layers)
        starts = np.arange(values.shape[-1]) * attention.block
        weights = np.clip(self.length - starts, 0, attention.block)
        if not weights.sum():
            return np.full(len(self.layers) * len(self.heads), np.nan)
        return np.asarray((values * weights).sum(-1) / weights.sum(), float).reshape(-1)

    def _of(self, values: xr.DataArray | None, layers: list[int]) -> np.ndarray:
        assert values is not None
        return np.asarray(values.sel(layer=layers, head=self.heads).values, np.float32)

    def _regrid(self, attention: Attention, maps: np.ndarray) -> np.ndarray:
        """Maps (layer, head, q, k) of the first `length` tokens, in blocks of `block`."""
        fine, factor = -(-self.length // attention.block), self.block // attention.block
        maps = maps[:, :, :fine, :fine]
        if factor == 1:
            return maps
        starts = np.arange(fine) * attention.block
        sizes = np.minimum(starts + attention.block, self.length) - starts
        at = np.arange(0, fine, factor)
        by_query = np.add.reduceat(maps * sizes[:, None], at, axis=2) / np.add.reduceat(sizes, at)[:, None]
        return np.add.reduceat(by_query, at, axis=3)

    def _known(self, layer: int) -> int:
        if layer not in self.layers:
            raise ComparisonError(f"Layer {layer} was not captured in both runs", expected=f"one of {self.layers}")
        return layer

    def _both(self, part: str = "") -> tuple[Attention, Attention]:
        shapes = [{name: int(run.model[name]) for name in ("layers", "heads")} for run in self._runs]
        if shapes[0] != shapes[1]:
            words = [f"{shape['layers']} layers of {shape['heads']} heads" for shape in shapes]
            raise ComparisonError(
                f"The first model has {words[0]}, the second {words[1]}", expected="two models of one shape",
                remedy="Compare their answers, next-token distributions and cache instead",
            )  # fmt: skip
        found = [run.attention for run in self._runs]
        if found[0] is None or found[1] is None or (part and any(getattr(one, part) is None for one in found)):
            raise CaptureError(
                f"Attention{' ' + part if part else ''} was not captured in both runs",
                remedy="Run them again with wb.Capture(attention=...)",
            )
        return found[0], found[1]
