"""Window and theta: absent is not null, and both spellings of theta are read."""

from __future__ import annotations

import pytest
from transformers import MistralConfig

from workbench.errors import CheckpointError
from workbench.models import ABSENT, read_theta, read_window
from workbench.models.architecture import DEFAULT_THETA, DEFAULT_WINDOW, theta_spelling


def test_absent_null_and_a_number_are_three_things() -> None:
    assert read_window({}) == ABSENT
    assert read_window({"sliding_window": None}) is None
    assert read_window({"sliding_window": 4096}) == 4096
    assert read_window(MistralConfig(sliding_window=None)) is None
    assert read_window(MistralConfig(sliding_window=7)) == 7


def test_the_stated_defaults_are_those_of_transformers() -> None:
    assert read_window(MistralConfig()) == DEFAULT_WINDOW
    assert read_theta(MistralConfig()) == DEFAULT_THETA


@pytest.mark.parametrize(
    ("config", "theta", "spelling"),
    [
        ({}, ABSENT, ABSENT),
        ({"rope_theta": 10000.0}, 1e4, "rope_theta"),
        ({"rope_theta": 1000000}, 1e6, "rope_theta"),
        ({"rope_parameters": {"rope_theta": 1e6, "rope_type": "default"}}, 1e6, "rope_parameters"),
        ({"rope_parameters": {"rope_theta": 1e6}, "rope_theta": 1e6}, 1e6, "both"),
        ({"rope_parameters": None, "rope_theta": 5.0}, 5.0, "rope_theta"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}, "rope_theta": 5.0}, 5.0, "rope_theta"),
    ],
)
def test_theta_in_either_spelling(config: dict[str, object], theta: object, spelling: str) -> None:
    assert read_theta(config) == theta
    assert theta_spelling(config) == spelling
    if theta != ABSENT and "rope_scaling" not in config:
        assert read_theta(MistralConfig.from_dict(dict(config))) == theta


@pytest.mark.parametrize("window", [0, -1, 4096.5, "4096", True, [1]])
def test_impossible_windows(window: object) -> None:
    with pytest.raises(CheckpointError, match="sliding_window"):
        read_window({"sliding_window": window})


@pytest.mark.parametrize("theta", [0, -1e4, "1e4", True, float("nan")])
def test_impossible_thetas(theta: object) -> None:
    with pytest.raises(CheckpointError, match="theta"):
        read_theta({"rope_theta": theta})


def test_two_thetas_that_disagree() -> None:
    with pytest.raises(CheckpointError, match="two thetas: 10000 in rope_theta, 1e\\+06 in rope_parameters"):
        read_theta({"rope_theta": 1e4, "rope_parameters": {"rope_theta": 1e6}})
