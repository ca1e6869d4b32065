"""Common GPUs by the memory their driver reports, which can be less than the name says (error correction)."""

from __future__ import annotations

from dataclasses import dataclass

RESERVED = 600 * 2**20
"""Bytes a CUDA process takes before any model: context, kernels and libraries; measured on none of the cards here."""


@dataclass(frozen=True)
class Card:
    """``memory`` in bytes, as `nvidia-smi` reports it."""

    name: str
    memory: int

    @property
    def usable(self) -> int:
        """Bytes left for model and cache: 97 % of the memory, without `RESERVED`."""
        return int(self.memory * 0.97) - RESERVED


CARDS: tuple[Card, ...] = tuple(
    Card(name, mib * 2**20)
    for name, mib in (
        ("GeForce RTX 3060", 12288),
        ("T4", 15360),
        ("GeForce RTX 4080", 16376),
        ("L4", 23034),
        ("A10", 23028),
        ("GeForce RTX 3090 / 4090", 24564),
        ("GeForce RTX 5090", 32607),
        ("A100 40 GB", 40960),
        ("L40S", 46068),
        ("A100 / H100 80 GB", 81559),
        ("H200", 143771),
    )
)
