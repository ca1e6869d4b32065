"""Rotary position embedding: which distances its pairs of dimensions can tell apart under a theta, and how attention is
spread over distance in a model at work (Su et al. 2021, RoFormer)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from workbench.errors import SwitchError, WorkbenchError

if TYPE_CHECKING:
    from workbench.inspection.inspection import Inspection


def wavelengths(theta: float, head_dim: int) -> pd.DataFrame:
    """By rotary pair: frequency, theta ** (-2 i / head_dim) radians a token; wavelength, 2 pi over it, in tokens."""
    if not theta > 0 or head_dim < 2 or head_dim % 2:
        raise SwitchError(f"theta {theta} with heads of {head_dim}", expected="a positive theta and an even head size")
    pair = np.arange(head_dim // 2)
    frequency = float(theta) ** (-2 * pair / head_dim)
    return pd.DataFrame({"pair": pair, "frequency": frequency, "wavelength": 2 * np.pi / frequency})


def slow_pairs(theta: float, head_dim: int, tokens: int) -> int:
    """How many pairs do not turn once in ``tokens``: they tell near from far over all of it."""
    return int((wavelengths(theta, head_dim)["wavelength"] > tokens).sum())


def similarity(theta: float, head_dim: int, distances: np.ndarray) -> np.ndarray:
    """For each distance: the score of a key equal to its query, as a share of its score at distance 0, when all pairs
    carry the same weight: the mean over pairs of cos(distance x frequency)."""
    turned = np.outer(np.asarray(distances, float), wavelengths(theta, head_dim)["frequency"].to_numpy())
    return np.asarray(np.cos(turned).mean(1))


def attention_by_distance(found: Inspection) -> pd.DataFrame:
    """By layer, head and distance in blocks (0: the query's own block): mean attention mass, and the mean over queries
    that have such a distance; of an inspection with a pooled map. Raises WorkbenchError for one without."""
    if found.attention is None or found.attention.map is None:
        raise WorkbenchError("The inspection has no attention map", remedy="Capture with AttentionCapture(pool=...)")
    values, block = found.attention.map.values, found.attention.block
    blocks = values.shape[-1]
    rows = []
    for away in range(blocks):
        band = np.diagonal(values, -away, axis1=-2, axis2=-1)  # (layer, head, queries that have such a key block)
        rows.append(band.mean(-1))
    mass = np.stack(rows, -1)
    index = pd.MultiIndex.from_product(
        [found.attention.layers, found.attention.heads, np.arange(blocks) * block], names=["layer", "head", "distance"]
    )
    return pd.DataFrame({"mass": mass.reshape(-1)}, index=index).reset_index()
