"""Sinks and a window: the first tokens of the text and the last ones (StreamingLLM, Xiao et al. 2023, section 3.2).

The first tokens take up attention that has to go somewhere; a plain window fails once they leave. Different from there:
positions stay those of the text, while StreamingLLM counts them within the cache; so the distance to the sinks grows.
``sinks=4+252``: four sinks, and every query sees the last 252 tokens, its own included. In a model with a sliding
window the sinks leave with its window.
"""

from __future__ import annotations

from dataclasses import dataclass

from workbench.cache_lab.budget import Budget
from workbench.cache_lab.layer import Sight
from workbench.cache_lab.policies.rolling import span, stays
from workbench.cache_lab.policy import Policy
from workbench.errors import CacheError


@dataclass(frozen=True)
class Sinks(Policy):
    """``sinks`` first tokens and the ``recent`` last ones."""

    sinks: int
    recent: Budget
    name = "sinks"
    title = "Sinks and a window: the first and the last tokens"
    streams = True

    def sight(self, window: int | None, length: int) -> Sight:
        return Sight(window, span(self.recent, length), self.sinks)

    def kept(self, length: int, window: int | None) -> int:
        return stays(self.sight(window, length), length)

    def __str__(self) -> str:
        return f"{self.name}={self.sinks}+{self.recent}"

    @classmethod
    def said(cls, setting: str) -> Sinks:
        first, plus, recent = setting.partition("+")
        if not plus or not first.strip().isdecimal() or len(first) > 12:
            raise CacheError(
                f"{setting[:40]!r} is no setting of sinks", expected="first tokens + last ones, such as 4+252 or 4+25%"
            )
        return cls(int(first), Budget.read(recent))
