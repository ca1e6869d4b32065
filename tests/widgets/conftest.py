"""Inspections of small random-weight models, and a widget with the messages that it sends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from workbench.widgets.inspector import Inspector

QUESTION = "What is the capital of France? Say a < b & </script><b>bold</b> again and again, please."


def _run(folder: Path, capture: wb.Capture) -> wb.Inspection:
    asked = [{"role": "user", "content": QUESTION}]
    run = wb.load(str(folder)).generate(asked, wb.Sampling(max_new_tokens=10), capture=capture)
    for _ in run:
        pass
    return run.inspection


@pytest.fixture(scope="session")
def windowed(tiny_checkpoint: Callable[..., Path]) -> wb.Inspection:
    """2 layers, 4 heads, window 24, everything captured."""
    return _run(tiny_checkpoint(window=24), wb.Capture.full())


@pytest.fixture(scope="session")
def unbounded(tiny_checkpoint: Callable[..., Path]) -> wb.Inspection:
    """Another model without a window, of which heads 1 and 3 were captured."""
    return _run(tiny_checkpoint(seed=1), wb.Capture(attention=wb.AttentionCapture(heads=[1, 3])))


@dataclass
class Page:
    """What a page does with a widget: its messages go in as the comm brings them, what comes back is kept."""

    widget: Inspector
    heard: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.widget.send = lambda content, buffers=None: self.heard.append(content)

    def say(self, content: Any) -> Any:
        """Send a custom message; returns the answer."""
        self._arrive({"method": "custom", "content": content})
        return self.heard[-1]

    def ask(self, **request: Any) -> Any:
        """The payload that the answer to ``request`` holds."""
        return self.say({"id": "x.1", "ask": request})["answer"]

    def set(self, **state: Any) -> None:
        """Change synced traits as a page does."""
        self._arrive({"method": "update", "state": state, "buffer_paths": []})

    def _arrive(self, data: dict[str, Any]) -> None:
        self.widget.comm.handle_msg({"content": {"data": data}, "buffers": []})  # type: ignore[union-attr]


@pytest.fixture
def opened() -> Iterator[Callable[..., Page]]:
    """A function that opens the widget of an inspection or a comparison."""
    made: list[Inspector] = []

    def open_page(found: wb.Inspection | wb.Comparison, **selection: Any) -> Page:
        made.append(found.widget(**selection))
        return Page(made[-1])

    yield open_page
    for widget in made:
        widget.close()
