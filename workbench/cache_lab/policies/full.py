"""The model's own cache: every token, or what its sliding window leaves."""

from __future__ import annotations

from workbench.cache_lab.policy import Policy, available
from workbench.errors import CacheError


class Full(Policy):
    """What all others are measured against."""

    name = "full"
    title = "The model's own cache"

    def kept(self, length: int, window: int | None) -> int:
        return available(length, window)

    def __str__(self) -> str:
        return self.name

    @classmethod
    def said(cls, setting: str) -> Full:
        if setting:
            raise CacheError(f"full={setting[:40]}", expected="full alone: it has no budget")
        return cls()
