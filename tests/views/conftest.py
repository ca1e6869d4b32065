"""Inspections of small random-weight models: one with a sliding window that has dropped tokens, one without."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import workbench as wb

QUESTION = "What is the capital of France? Say a < b & </script><b>bold</b> again and again, \u202eplease 🙂."


@pytest.fixture(scope="session")
def windowed(tiny_checkpoint: Callable[..., Path]) -> wb.Inspection:
    """2 layers, 4 heads, 1 KV head, window 24: some 60 tokens with 12 generated, everything captured."""
    return _run(tiny_checkpoint(window=24), wb.Capture.full())


@pytest.fixture(scope="session")
def unbounded(tiny_checkpoint: Callable[..., Path]) -> wb.Inspection:
    """The same without a window."""
    return _run(tiny_checkpoint(), wb.Capture.full())


@pytest.fixture(scope="session")
def sparse(tiny_checkpoint: Callable[..., Path]) -> wb.Inspection:
    """Default capture: last rows, pooled maps of at most 16 blocks, lens of generated tokens, no states."""
    return _run(tiny_checkpoint(window=24), wb.Capture(attention=wb.AttentionCapture(pool=16)))


@pytest.fixture(scope="session")
def bare(tiny_checkpoint: Callable[..., Path]) -> wb.Inspection:
    """Nothing captured but the tokens."""
    return _run(tiny_checkpoint(), wb.Capture.nothing())


def _run(folder: Path, capture: wb.Capture) -> wb.Inspection:
    run = wb.load(str(folder)).generate(
        [{"role": "user", "content": QUESTION}], wb.Sampling(max_new_tokens=12), capture=capture
    )
    for _ in run:
        pass
    return run.inspection
