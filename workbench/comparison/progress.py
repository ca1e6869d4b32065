"""How far a comparison is that reads for a while: `factorial`, `compare_texts`, `changes`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """``done`` of ``total`` steps (tokens, or tensors), and ``said`` in words what was done last."""

    done: int
    total: int
    said: str

    @property
    def share(self) -> float:
        return self.done / self.total if self.total else 1.0
