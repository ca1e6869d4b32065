"""The app under the limits of a shared host, served from two small random-weight models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.server.served import Served, serving


@pytest.fixture(scope="session")
def models(tiny_checkpoint: Callable[..., Path]) -> list[str]:
    """Folders of two small models: the first with a window of 24 tokens."""
    return [str(tiny_checkpoint(window=24)), str(tiny_checkpoint(seed=1))]


@pytest.fixture(scope="session")
def served(models: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(models, tmp_path_factory.mktemp("uploads")) as found:
        yield found


@pytest.fixture(autouse=True)
def heard(request: pytest.FixtureRequest) -> Iterator[None]:
    """What fails inside the served app during a test is noted."""
    if "served" not in request.fixturenames:
        yield
        return
    with request.getfixturevalue("served").listening():
        yield
