"""Effects against a least-squares fit and quantiles against a table; the effects give the cells back."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.comparison.conclusion import conclusion
from workbench.comparison.design import Factor
from workbench.comparison.effects import TIMES, corners, effects, interval, reconstructed, t_quantile

NAMES = ("weights", "window", "theta")


def drawn(seed: int, items: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(items, 2**count)) * 10


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), items=st.integers(1, 5), count=st.integers(1, 3))
def test_the_effects_give_the_cells_back(seed: int, items: int, count: int) -> None:
    outcomes, names = drawn(seed, items, count), NAMES[:count]
    found = {name: one.estimate for name, one in effects(outcomes, names).items()}
    assert len(found) == 2**count - 1
    np.testing.assert_allclose(reconstructed(outcomes.mean(), found, names), outcomes.mean(0), atol=1e-9)
    odd = sum(value for name, value in found.items() if name.count(TIMES) % 2 == 0)
    assert odd == pytest.approx(outcomes[:, -1].mean() - outcomes[:, 0].mean())


@pytest.mark.parametrize("count", [1, 2, 3])
def test_effects_are_twice_the_coefficients_of_a_least_squares_fit(count: int) -> None:
    outcomes, names = drawn(4, 7, count), NAMES[:count]
    signs = np.array(list(product((-1, 1), repeat=count)))  # the cells, written down again
    columns = {"mean": np.ones(len(signs))}
    for chosen in product((False, True), repeat=count):
        if any(chosen):
            label = TIMES.join(name for name, one in zip(names, chosen, strict=True) if one)
            columns[label] = np.prod(signs[:, chosen], axis=1)
    rows = np.tile(np.stack(list(columns.values()), 1), (len(outcomes), 1))
    fitted, *_ = np.linalg.lstsq(rows, outcomes.reshape(-1), rcond=None)
    found = effects(outcomes, names)
    for label, coefficient in zip(columns, fitted, strict=True):
        if label != "mean":
            assert found[label].estimate == pytest.approx(2 * coefficient)


def test_an_effect_in_words_of_the_definition() -> None:
    """Main effect: mean at b less mean at a. Interaction: half the change of one's effect by the other."""
    outcomes = np.array([[1.0, 2.0, 4.0, 9.0]])  # aa, ab, ba, bb
    found = effects(outcomes, ("window", "theta"))
    assert corners(2) == ["aa", "ab", "ba", "bb"]
    assert found["window"].estimate == (4 + 9) / 2 - (1 + 2) / 2
    assert found["theta"].estimate == (2 + 9) / 2 - (1 + 4) / 2
    assert found["window x theta"].estimate == ((9 - 4) - (2 - 1)) / 2


@pytest.mark.parametrize(
    ("freedom", "value"),
    [(1, 12.7062), (2, 4.30265), (3, 3.18245), (4, 2.77645), (9, 2.26216), (30, 2.04227), (121, 1.97976)],
)
def test_quantiles_of_t_are_those_of_the_tables(freedom: int, value: float) -> None:
    assert t_quantile(0.975, freedom) == pytest.approx(value, abs=2e-5)


def test_intervals_cover_the_mean_as_often_as_they_say() -> None:
    draws = np.random.default_rng(0).normal(3.0, 2.0, (4000, 6))
    covered = np.mean([found.low <= 3 <= found.high for found in map(interval, draws)])
    assert 0.935 < covered < 0.965


def test_the_sentence_is_that_of_a_planted_truth() -> None:
    """Right only with both: each main effect is a half, and so is what they do together."""
    factors = (Factor("window", "256", "none"), Factor("theta", "1e4", "1e6"))
    outcomes = np.tile([0.0, 0.0, 0.0, 1.0], (8, 1)) + np.random.default_rng(1).normal(0, 0.01, (8, 4))
    said = conclusion("right", "share", "past 9", factors, outcomes.mean(0), effects(outcomes, ("window", "theta")))
    assert "counts most, but not alone" in said
    assert "+1.0" in said.split("with theta 1e4, ")[-1] or "+1.0" in said.split("with window 256, ")[-1]
    outcomes = np.tile([0.0, 0.0, 1.0, 1.0], (8, 1)) + np.random.default_rng(1).normal(0, 0.01, (8, 4))
    said = conclusion("right", "share", "past 9", factors, outcomes.mean(0), effects(outcomes, ("window", "theta")))
    assert "window (256 → none) is responsible, +1.0" in said and "theta is not told from 0" in said
    noise = np.random.default_rng(2).normal(0, 1, (4, 4))
    outcomes = np.concatenate([noise, 0.01 - noise])  # no effect at all
    said = conclusion("right", "share", "past 9", factors, outcomes.mean(0), effects(outcomes, ("window", "theta")))
    assert "no main effect is told from 0" in said


def test_few_items_that_agree_prove_nothing() -> None:
    assert not interval(np.array([0.5])).sure
    assert not interval(np.full(5, 0.5)).sure
    assert interval(np.full(6, 0.5)).sure
    assert not interval(np.full(50, 1e-8)).sure  # rounding
