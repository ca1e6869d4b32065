"""Keys and values in 8 or 4 bits: packed, turned back, and a cache layer that holds them so."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.cache_lab.layer import KeptLayer, Sight

GROUP = 32


@dataclass(frozen=True)
class Packed:
    """``codes`` uint8, two to a byte for 4 bits; ``low`` and ``step`` of each group, in its own dtype."""

    codes: Tensor
    low: Tensor
    step: Tensor
    bits: int

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return self.codes, self.low, self.step

    def unpacked(self) -> Tensor:
        """As it was, but for the rounding: low + code x step."""
        codes = self.codes
        if self.bits == 4:
            codes = torch.stack([codes & 15, codes >> 4], -1).flatten(-2)
        return self.low + codes.to(self.low.dtype) * self.step


def pack(states: Tensor, axis: int, bits: int) -> Packed:
    """``states`` (..., head_dim) in groups that each run along the whole ``axis``: low is the smallest value, step a
    (2^bits - 1)th of the range."""
    low, high = states.amin(axis, keepdim=True), states.amax(axis, keepdim=True)
    step = ((high.float() - low.float()) / (2**bits - 1)).to(states.dtype)
    step = torch.where(step > 0, step, 1.0)
    codes = ((states.float() - low.float()) / step.float()).round().clamp(0, 2**bits - 1).to(torch.uint8)
    if bits == 4:
        codes = codes[..., ::2] | codes[..., 1::2] << 4
    return Packed(codes, low, step, bits)


def value_group(head_dim: int) -> int:
    """Channels of one value group: 32, or all where they are no multiple of it."""
    return GROUP if head_dim % GROUP == 0 else head_dim


def packed_bytes(tokens: int, kv_heads: int, head_dim: int, bits: int, itemsize: int) -> int:
    """Bytes of ``tokens`` packed keys and values of a layer: codes, and two numbers a group."""
    codes = 2 * tokens * kv_heads * head_dim * bits // 8
    groups = kv_heads * (tokens // GROUP * head_dim + tokens * (head_dim // value_group(head_dim)))
    return codes + 2 * groups * itemsize


class PackedLayer(KeptLayer):
    """``KeptLayer`` whose older tokens are packed in blocks of 32: keys by channel over a block's tokens, values by
    token over its channels. The last ``recent`` tokens at least stay as they are."""

    def __init__(self, sight: Sight, keys: Tensor, values: Tensor, length: int, bits: int, recent: int) -> None:
        self.bits, self.recent = bits, recent
        self.blocks: tuple[tuple[Packed, Packed], ...] = ()
        stored = keys.shape[2]
        positions = torch.arange(length - stored, length, device=keys.device)[None]
        super().__init__(sight, keys, values, positions, length)
        self.store(keys, values, positions)

    @property
    def packed(self) -> int:
        """Tokens in blocks."""
        return GROUP * len(self.blocks)

    def whole(self) -> tuple[Tensor, Tensor]:
        keys, values = super().whole()
        if not self.blocks:
            return keys, values
        return (
            torch.cat([*(block.unpacked().reshape(1, -1, GROUP, keys.shape[3]) for block, _ in self.blocks), keys], 2),
            torch.cat(
                [*(block.unpacked().reshape(1, -1, GROUP, keys.shape[3]) for _, block in self.blocks), values], 2
            ),
        )

    def store(self, keys: Tensor, values: Tensor, positions: Tensor) -> None:
        """``keys`` and ``values`` of all tokens; those in blocks stay as they were packed."""
        self.positions = positions
        keys, values = keys[:, :, self.packed :], values[:, :, self.packed :]
        full = max(0, keys.shape[2] - self.recent) // GROUP * GROUP
        for start in range(0, full, GROUP):
            part = slice(start, start + GROUP)
            block = values[:, :, part].unflatten(3, (-1, value_group(values.shape[3])))
            self.blocks += ((pack(keys[:, :, part], 2, self.bits), pack(block, 4, self.bits)),)
        self.keys, self.values = keys[:, :, full:].clone(), values[:, :, full:].clone()

    def drop(self) -> None:
        """A window leaves tokens behind: whole blocks go, the rest is hidden until its block does."""
        gone = int((self.sight.last(self.positions[0]) < self.length).sum())
        if gone < self.packed:
            gone -= gone % GROUP
            self.blocks = self.blocks[gone // GROUP :]
        elif gone:
            keys, values = super().whole()
            keys, values = keys[:, :, gone - self.packed :], values[:, :, gone - self.packed :]
            self.blocks, self.keys, self.values = (), keys.clone(), values.clone()
        self.positions = self.positions[:, gone:]

    @property
    def capacity(self) -> int:
        """A window's tokens and those of a block that it has not left behind as a whole."""
        return super().capacity if self.sight.window is None else super().capacity + GROUP - 1

    def tensors(self) -> tuple[Tensor, ...]:
        packed = tuple(tensor for pair in self.blocks for one in pair for tensor in one.tensors)
        return (*packed, *super().tensors())

    def room(self) -> int | None:
        """Up to the token whose reading packs the next block."""
        assert self.keys is not None
        return max(1, self.recent + GROUP - self.keys.shape[2])
