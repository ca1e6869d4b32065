"""All tokens in fewer bits (KIVI, Liu et al. 2024, section 3.3): keys in groups of one channel, values in groups of one
token, the last tokens in full precision.

Integers from the smallest to the largest value of each group of 32, stored packed, two 4-bit ones a byte, with the
group's smallest value and step in the cache's own precision; attention sees them turned back. The bytes are those of
the packed tensors. As there, the prompt is read in full precision; of what comes later 32 tokens at a time are packed,
whenever 32 more than ``recent`` (128) are unpacked. This is our own code, on any device and for any length;
`policies.quantized` has transformers' cache, which needs optimum-quanto or hqq and packs the last tokens as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from workbench.cache_lab.layer import KeptLayer, Sight
from workbench.cache_lab.packing import GROUP, PackedLayer, packed_bytes
from workbench.cache_lab.policy import Policy, Stored, available
from workbench.errors import CacheError

RECENT = 128


@dataclass(frozen=True)
class EightBit(Policy):
    """Every token, in 8 bits but for the last ``recent``."""

    recent: int = RECENT
    bits: ClassVar[int] = 8
    name = "8bit"
    title = "Eight bits a number"

    def kept(self, length: int, window: int | None) -> int:
        return available(length, window)

    def layer_bytes(self, kept: int, kv_heads: int, head_dim: int, itemsize: int) -> int:
        packed = max(0, kept - self.recent) // GROUP * GROUP
        return packed_bytes(packed, kv_heads, head_dim, self.bits, itemsize) + super().layer_bytes(
            kept - packed, kv_heads, head_dim, itemsize
        )

    def layer(self, stored: Stored, sight: Sight) -> KeptLayer:
        return PackedLayer(sight, stored.keys, stored.values, stored.length, self.bits, self.recent)

    def __str__(self) -> str:
        return self.name if self.recent == RECENT else f"{self.name}={self.recent}"

    @classmethod
    def said(cls, setting: str) -> EightBit:
        if setting and not setting.strip().isdecimal():
            raise CacheError(
                f"{cls.name}={setting[:40]}", expected=f"{cls.name}, or {cls.name}=64: the last 64 tokens unpacked"
            )
        return cls(int(setting[:12]) if setting else RECENT)


class FourBit(EightBit):
    """Every token, in 4 bits but for the last ``recent``."""

    bits: ClassVar[int] = 4
    name = "4bit"
    title = "Four bits a number"
