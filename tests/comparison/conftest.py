"""Two small models with random weights, and what each made of one question."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import workbench as wb

QUESTION = [{"role": "user", "content": "Tell me something about the sea, and again about the sea."}]
FULL = wb.Capture(
    attention=wb.AttentionCapture(rows="all", states=True), lens=wb.LensCapture(positions="all"), kv_cache=True
)


@pytest.fixture(scope="session")
def folders(tiny_checkpoint: Callable[..., Path]) -> list[Path]:
    return [tiny_checkpoint(window=24), tiny_checkpoint(seed=1)]


@pytest.fixture(scope="session")
def models(folders: list[Path]) -> list[wb.Model]:
    return [wb.load(str(folder)) for folder in folders]


@pytest.fixture(scope="session")
def runs(models: list[wb.Model]) -> list[wb.Inspection]:
    """Greedy answers of 10 tokens, everything captured."""
    return [answered(model) for model in models]


def answered(model: wb.Model, tokens: int = 10, capture: wb.Capture = FULL, **settings: object) -> wb.Inspection:
    run = model.generate(QUESTION, wb.Sampling(max_new_tokens=tokens, **settings), capture)  # type: ignore[arg-type]
    for _ in run:
        pass
    return run.inspection
