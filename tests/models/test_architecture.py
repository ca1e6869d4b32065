"""Window and theta: absent is not null, and both spellings of theta are read."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from transformers import MistralConfig

import workbench
from workbench.errors import CheckpointError
from workbench.models import ABSENT, read_theta, read_window
from workbench.models.architecture import DEFAULT_THETA, DEFAULT_WINDOW, theta_spelling, theta_text


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
    with pytest.raises(CheckpointError, match="two thetas: 1e4 in rope_theta, 1e6 in rope_parameters"):
        read_theta({"rope_theta": 1e4, "rope_parameters": {"rope_theta": 1e6}})


WRITTEN = {
    1e4: "1e4", 1e6: "1e6", 5e5: "5e5", 1.5e6: "1.5e6", 15625.0: "1.5625e4", 5000.0: "5000", 156.25: "156.25", 1.0: "1",
    0.5: "0.5", 1e-5: "1e-5", 1234567.0: "1.234567e6", 1e30: "1e30", 9999.5: "9999.5", 0.001: "0.001",
}  # fmt: skip


def test_a_theta_is_written_one_way_and_read_back() -> None:
    assert {theta: theta_text(theta) for theta in WRITTEN} == WRITTEN
    assert [float(said) for said in WRITTEN.values()] == list(WRITTEN)
    assert (theta_text(10_000), theta_text(ABSENT)) == ("1e4", "absent")


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not here; a browser test reads one theta")
def test_the_page_writes_a_theta_as_the_library_does() -> None:
    views = Path(workbench.__file__).parent / "views" / "data.js"
    script = views.read_text(encoding="utf-8") + f"\nconsole.log(JSON.stringify({list(WRITTEN)}.map(thetaText)));"
    said = subprocess.run(
        ["node", "--input-type=module", "-"], input=script, capture_output=True, text=True, check=True
    ).stdout
    assert json.loads(said) == list(WRITTEN.values())
