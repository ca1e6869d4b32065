"""A rolling buffer: every query sees the last W tokens, its own included (mistral-inference, ``cache.py``).

As in a model with a sliding window, but of any width and while the text is read as well. A buffer of W holds W - 1
tokens between two queries: the next one brings its own. A ratio is of the prompt's length.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from workbench.cache_lab.budget import Budget
from workbench.cache_lab.layer import Sight
from workbench.cache_lab.policy import Policy


@dataclass(frozen=True)
class Rolling(Policy):
    """The last tokens and nothing else."""

    width: Budget
    name = "rolling"
    title = "Rolling buffer: the last tokens"
    streams = True

    def sight(self, window: int | None, length: int) -> Sight:
        return Sight(window, span(self.width, length))

    def kept(self, length: int, window: int | None) -> int:
        return stays(self.sight(window, length), length)

    def __str__(self) -> str:
        return f"{self.name}={self.width}"

    @classmethod
    def said(cls, setting: str) -> Rolling:
        return cls(Budget.read(setting))


def span(width: Budget, length: int) -> int:
    """The width in tokens for a prompt of ``length``."""
    return width.tokens if width.tokens is not None else max(1, math.ceil(round((width.ratio or 0) * length, 6)))


def stays(sight: Sight, length: int) -> int:
    """How many of ``length`` tokens are still stored under ``sight``: those the next query sees, less its own."""
    low = max(0, length - sight.window + 1) if sight.window is not None else 0
    recent = max(low, length - sight.recent + 1) if sight.recent is not None else low
    return length - recent + max(0, min(sight.sinks, recent) - low)
