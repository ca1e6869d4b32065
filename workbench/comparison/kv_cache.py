"""The KV caches of two runs side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from workbench.errors import CaptureError

if TYPE_CHECKING:
    from workbench.inspection.inspection import Inspection

COUNTS = ("bytes", "logical_length", "physical_length", "evicted")


def compared_cache(a: Inspection, b: Inspection) -> pd.DataFrame:
    """A row for each layer: columns (name, "a" | "b" | "difference") of bytes, logical_length (tokens read),
    physical_length (tokens stored) and evicted. Where one model has fewer layers its columns are missing (NA) there."""
    if a.kv_cache is None or b.kv_cache is None:
        raise CaptureError("The KV cache was not captured in both runs", remedy="Run them again with kv_cache=True")
    columns: dict[tuple[str, str], pd.Series] = {}
    for name in COUNTS:
        one, other = (pd.Series(run.kv_cache[name].values, dtype="Int64") for run in (a, b))  # type: ignore[index]
        columns |= {(name, "a"): one, (name, "b"): other, (name, "difference"): other - one}
    return pd.DataFrame(columns).rename_axis("layer")
