"""How much a policy may keep: so many tokens, or a share of them, in each layer and key-value head."""

from __future__ import annotations

import math
from dataclasses import dataclass

from workbench.errors import CacheError


@dataclass(frozen=True)
class Budget:
    """``tokens``, or a ``ratio`` of the stored ones, above 0 and at most 1, rounded up; one of the two."""

    tokens: int | None = None
    ratio: float | None = None

    def __post_init__(self) -> None:
        if (self.tokens is None) == (self.ratio is None):
            raise CacheError("A budget needs a number of tokens or a ratio", expected="one of the two")
        if self.tokens is not None and (isinstance(self.tokens, bool) or self.tokens < 1):
            raise CacheError(f"A budget of {self.tokens} tokens", expected="at least 1")
        if self.ratio is not None and not 0 < self.ratio <= 1:
            raise CacheError(f"A budget of {self.ratio:g} of the tokens", expected="above 0 and at most 1")

    def of(self, stored: int) -> int:
        """How many of ``stored`` tokens."""
        return min(stored, self.tokens if self.tokens is not None else math.ceil(round(self.ratio * stored, 6)))  # type: ignore[operator]

    def __str__(self) -> str:
        return str(self.tokens) if self.tokens is not None else f"{100 * self.ratio:.6g}%"  # type: ignore[operator]

    @classmethod
    def read(cls, said: object) -> Budget:
        """A budget as it is said: 256 or "256" tokens, 0.25, "0.25" or "25%" of them. Raises CacheError."""
        if isinstance(said, Budget):
            return said
        text = str(said).strip()
        if text.isdecimal() and len(text) < 16:
            return cls(tokens=int(text))
        try:
            ratio = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            ratio = math.nan
        if math.isnan(ratio):
            raise CacheError(
                f"{text[:40]!r} is no budget", expected="a number of tokens such as 256, or a share such as 25% or 0.25"
            )
        return cls(ratio=ratio)
