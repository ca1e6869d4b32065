"""Intervals and tests for shares and paired comparisons, from the standard library and numpy alone."""

from __future__ import annotations

from collections.abc import Callable
from math import comb, sqrt
from statistics import NormalDist

import numpy as np

CONFIDENCE = 0.95
RESAMPLES = 2000


def wilson(successes: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson 1927): low and high; (0, 1) where nothing was tried."""
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share, shrink = successes / n, 1 + z * z / n
    middle = (share + z * z / (2 * n)) / shrink
    half = z / shrink * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def sign_test(first: int, second: int) -> float:
    """The two-sided exact p of ``first`` against ``second`` outcomes under even chances; for paired right and wrong
    answers, given how often one alone was right, this is McNemar's exact test. 1 where there is none."""
    n, fewer = first + second, min(first, second)
    tail = sum(comb(n, k) for k in range(fewer + 1))
    return float(min(1.0, 2 * tail / 2**n)) if n else 1.0


def bootstrap_mean(
    values: np.ndarray, confidence: float = CONFIDENCE, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """The percentile bootstrap interval of the mean of ``values`` (n,), resampled with a stated seed; (nan, nan) for
    fewer than two values."""
    values = np.asarray(values, float)
    if len(values) < 2:
        return float("nan"), float("nan")
    means = resampled(len(values), resamples, seed, lambda picked: values[picked].mean(1))
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def resampled(n: int, resamples: int, seed: int, value: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """``value`` of ``resamples`` draws of n indices with replacement, (draws, n) at a time: 32 MiB of them at most."""
    rng, step = np.random.default_rng(seed), max(1, 2**22 // n)
    return np.concatenate([value(rng.integers(0, n, (min(step, resamples - i), n))) for i in range(0, resamples, step)])
