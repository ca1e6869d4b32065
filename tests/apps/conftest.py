"""Two small random-weight models on a shelf, and an exchange recorded from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from apps.studio.examples import fact
from apps.studio.record import record
from apps.studio.recorded import Recorded, read_exchange
from apps.studio.runs import RunStore
from apps.studio.session import Column, Session
from apps.studio.shelf import Shelf


@pytest.fixture(scope="session")
def names(tiny_checkpoint: Callable[..., Path]) -> list[str]:
    """Folders of the two models: the first has a window of 24 tokens."""
    return [str(tiny_checkpoint(window=24)), str(tiny_checkpoint(seed=1))]


@pytest.fixture(scope="session")
def shelf(names: list[str]) -> Shelf:
    return Shelf(names)


@pytest.fixture
def runs() -> RunStore:
    return RunStore()


@pytest.fixture
def session(names: list[str]) -> Session:
    return Session("me", {name: Column(name) for name in names}, list(names))


@pytest.fixture(scope="session")
def recorded_files(names: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a recorded exchange."""
    folder = tmp_path_factory.mktemp("recorded")
    record([fact("What is the capital of France?")], folder, names, new_tokens=6)
    return folder


@pytest.fixture(scope="session")
def recorded(recorded_files: Path) -> Recorded:
    found = read_exchange(recorded_files)
    assert found is not None
    return found
