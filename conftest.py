"""How every test runs: few threads, one worker for browser tests, one for kernels, properties without a clock."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# Two workers with two threads each fight on two cores. Set before torch is imported by any test.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# No test may reach for a hub; one that tried would fail on a machine without a network and pass on another.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

# A busy machine is no reason for a property to fail; in CI every run draws the same examples.
settings.register_profile("workbench", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("workbench"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "workbench")


DEAR = ("server/test_process.py", "server/test_hostile_requests.py", "views/test_long_text.py")
"""Files of tests that share what takes long to set up: made in one worker, not in each."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give browser tests, notebooks and files dear to set up a group each, so that ``--dist loadgroup`` keeps a group
    in one worker. In CI a test that fails beside a real browser or kernel is run once more: pytest's summary names it
    (RERUN), and it fails if it fails again. A notebook's kernel is forked from a process that has imported."""
    if any(item.path.suffix == ".ipynb" for item in items):
        from tests.kernels import fork_kernels

        fork_kernels()
    for item in items:
        if item.path.suffix == ".ipynb":
            item.add_marker(pytest.mark.kernel)
        if item.path.as_posix().endswith(DEAR):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
        for name in ("browser", "kernel"):
            if not item.get_closest_marker(name):
                continue
            if not item.get_closest_marker("xdist_group"):
                item.add_marker(pytest.mark.xdist_group(name))
            if os.environ.get("CI"):
                item.add_marker(pytest.mark.flaky(reruns=1))
