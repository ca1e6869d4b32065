"""Intervals and tests against published values and their own definitions."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.statistics import bootstrap_mean, sign_test, wilson


def test_wilson_against_published_values() -> None:
    # Newcombe 1998, Statistics in Medicine 17, table I, method 3
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)
    assert wilson(0, 0) == (0, 1)


@given(st.integers(0, 60), st.integers(1, 60))
def test_wilson_solves_its_equation(successes: int, more: int) -> None:
    n = successes + more
    share = successes / n
    for bound in wilson(successes, n):
        if 0 < bound < 1:
            assert (share - bound) ** 2 == pytest.approx(1.959964**2 * bound * (1 - bound) / n, rel=1e-4, abs=1e-9)


@given(st.integers(0, 20), st.integers(0, 20))
def test_the_sign_test_adds_up_what_is_as_unlikely(first: int, second: int) -> None:
    n = first + second
    as_far = [k for k in range(n + 1) if abs(k - n / 2) >= abs(first - n / 2)]
    assert sign_test(first, second) == pytest.approx(sum(comb(n, k) for k in as_far) / 2**n)


def test_the_bootstrap_covers_and_repeats() -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for trial in range(200):
        low, high = bootstrap_mean(rng.normal(1.0, 2.0, 40), resamples=400, seed=trial)
        covered += low <= 1.0 <= high
    assert 0.88 <= covered / 200 <= 0.99
    values = np.arange(9.0)
    assert bootstrap_mean(values) == bootstrap_mean(values)
    assert np.isnan(bootstrap_mean(np.array([1.0]))).all()
