"""Main effects and interactions of factors with two levels, item by item, with intervals over the items.

The definition is that of Box, Hunter and Hunter, Statistics for Experimenters, 2nd ed. (2005), chapter 5: with the
levels written -1 (a) and +1 (b), the effect of a set of factors is the mean of the outcomes where the product of their
signs is +1, less the mean where it is -1. So a main effect is the mean change from a to b over all settings of the
others; a two-factor interaction is half the change of one's effect when the other goes from a to b. An outcome is the
grand mean plus half the sum of all effects, each with its sign, and the difference between the last cell (all b) and
the first (all a) is the sum of the effects of an odd number of factors.
"""

from __future__ import annotations

import math
from itertools import combinations, product
from typing import NamedTuple

import numpy as np

LEVEL = 0.95
"""Of the intervals: each by itself, not corrected for their number."""
ROUNDING = 1e-5
"""Effects smaller than this are those of float32's rounding."""
AGREEING = 6
"""Items that must agree before an interval without width counts: all on one side by chance in 2 of 2^6 cases."""
TIMES = " x "
"""Between the factors of an interaction."""


class Interval(NamedTuple):
    """A mean over ``n`` items and its t interval; NaN bounds with fewer than two items."""

    estimate: float
    low: float
    high: float
    n: int

    @property
    def sure(self) -> bool:
        """Whether the interval leaves 0 out, the effect is no rounding, and enough items agree where all are equal."""
        enough = self.high - self.low > ROUNDING or self.n >= AGREEING
        return (self.low > 0 or self.high < 0) and abs(self.estimate) > ROUNDING and enough


def corners(count: int) -> list[str]:
    """The cells of ``count`` factors by their levels: "aa", "ab", "ba", "bb" for two."""
    return ["".join(levels) for levels in product("ab", repeat=count)]


def contrasts(factors: tuple[str, ...]) -> dict[str, np.ndarray]:
    """For each effect its signs (cell,), -1 or +1, in the order of `corners`: main effects first, then interactions.

    Two factors, cells aa, ab, ba, bb: the first has -1 -1 +1 +1, the second -1 +1 -1 +1, both +1 -1 -1 +1.
    """
    signs = np.array([[1 if level == "b" else -1 for level in cell] for cell in corners(len(factors))])
    chosen = [some for size in range(1, len(factors) + 1) for some in combinations(range(len(factors)), size)]
    return {TIMES.join(factors[i] for i in some): signs[:, list(some)].prod(axis=1) for some in chosen}


def effects(outcomes: np.ndarray, factors: tuple[str, ...]) -> dict[str, Interval]:
    """Every effect of ``outcomes`` (item, cell), cells in the order of `corners`, with its interval over the items.

    Items are paired: each gives its own effect, and the interval is that of the mean of these.
    """
    return {name: interval(outcomes @ signs / (len(signs) / 2)) for name, signs in contrasts(factors).items()}


def reconstructed(mean: float, found: dict[str, float], factors: tuple[str, ...]) -> np.ndarray:
    """The outcomes (cell,) from their grand mean and effects, in the order of `corners`."""
    signs = contrasts(factors)
    return mean + sum((found[name] * signs[name] / 2 for name in signs), np.zeros(2 ** len(factors)))


def interval(values: np.ndarray, level: float = LEVEL) -> Interval:
    """Mean and t interval of independent ``values`` (item,). Where all are equal its width is 0: then the interval
    says that these items agree, not that all would."""
    n = len(values)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    mean = float(np.mean(values))
    if n == 1:
        return Interval(mean, math.nan, math.nan, 1)
    half = t_quantile(0.5 + level / 2, n - 1) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def t_quantile(share: float, freedom: int) -> float:
    """The value below which a ``share`` of Student's t with ``freedom`` degrees lies, 0.5 <= share < 1; by halving."""
    low, high = 0.0, 1.0
    while _t_share(high, freedom) < share:
        low, high = high, 2 * high
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_share(middle, freedom) < share else (low, middle)
    return (low + high) / 2


def _t_share(t: float, freedom: int) -> float:
    """P(T <= t) for t >= 0: the finite series for whole degrees of freedom (Abramowitz and Stegun, 26.7.3 and 4)."""
    angle = math.atan(t / math.sqrt(freedom))
    cos, sin = math.cos(angle), math.sin(angle)
    odd = freedom % 2
    term, total = (cos, cos) if odd else (1.0, 1.0)
    for k in range(3 if odd else 2, freedom - 1, 2):
        term *= cos * cos * (k - 1) / k
        total += term
    if not odd:
        return 0.5 + sin * total / 2
    return 0.5 + (angle + (sin * total if freedom > 1 else 0.0)) / math.pi
