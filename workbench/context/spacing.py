"""Lengths and depths of a grid."""

from __future__ import annotations

import numpy as np

from workbench.errors import WorkbenchError


def depths(count: int, spacing: str = "linear", low: float = 0.0, high: float = 1.0) -> tuple[float, ...]:
    """``count`` shares of the context, from ``low`` to ``high``: "linear", or "sigmoid", which has more of them near
    both ends (LLMTest_NeedleInAHaystack: 100 / (1 + exp(-(x - 50) / 10)) percent, its ends moved to 0 and 100)."""
    if count < 1 or not 0 <= low <= high <= 1:
        raise WorkbenchError(f"{count} depths from {low} to {high}", expected="at least one, from 0 to 1")
    even = np.linspace(low, high, count) if count > 1 else np.array([(low + high) / 2])
    if spacing == "linear":
        return tuple(float(round(x, 4)) for x in even)
    if spacing != "sigmoid":
        raise WorkbenchError(f"{spacing!r} is no spacing", expected="linear or sigmoid")
    bent = 1 / (1 + np.exp(-10 * (even - 0.5)))
    return tuple(float(x) if x in (0, 1) else float(round(y, 4)) for x, y in zip(even, bent, strict=True))


def lengths(count: int, low: int, high: int, spacing: str = "linear") -> tuple[int, ...]:
    """``count`` different lengths in tokens from ``low`` to ``high``: "linear", or "log" (equal ratios)."""
    if count < 1 or not 1 <= low <= high:
        raise WorkbenchError(f"{count} lengths from {low} to {high}", expected="at least one, the smaller first")
    if spacing not in ("linear", "log"):
        raise WorkbenchError(f"{spacing!r} is no spacing", expected="linear or log")
    found = np.linspace(low, high, count) if spacing == "linear" else np.geomspace(low, high, count)
    return tuple(dict.fromkeys(round(x) for x in found)) if count > 1 else (high,)
