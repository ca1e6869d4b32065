"""transformers' own quantized cache, where a package for it is there: ``quanto`` (4 or 2 bits), ``hqq`` (8, 4 or 2).

transformers.cache_utils (5.x): the prompt is read in full precision and packed when it ends; what comes later stays as
it is until 128 tokens are together, then everything is turned back and packed anew. Groups are of 32 numbers. With
optimum-quanto the axes are KIVI's: keys by channel over 32 tokens, values by token over 32 channels. hqq's first axis
would put numbers of all heads into one group, so keys and values are both grouped by token, as transformers' guide
recommends for it; its zeros and steps are searched for, not taken from the extremes.

Two things are added around that cache. The up to 31 last tokens of a prompt that fill no group wait among the unpacked
(quanto can pack no others by channel). Of a model with a sliding window, which `QuantizedCache` refuses, its layers
hold what the prompt's window left and all that comes after; what a query is not to see is hidden from it.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers import cache_utils
from transformers.utils import import_utils

from workbench.cache_lab.layer import KeptLayer, Sight
from workbench.cache_lab.policy import Policy, Stored, available
from workbench.errors import CacheError

GROUP = 32
RECENT = 128
"""Tokens that are packed together; transformers' ``residual_length``."""


class QuantizedLayer(KeptLayer):
    """``KeptLayer`` over a layer of transformers' ``QuantizedCache``, which packs, turns back and holds all tokens but
    those of a prompt too short to fill a group."""

    def __init__(self, sight: Sight, stored: Stored, inner: Any) -> None:
        positions = torch.arange(stored.first, stored.length, device=stored.keys.device)[None]
        super().__init__(sight, stored.keys, stored.values, positions[:, :0], stored.length)
        self.inner, self.begun = inner, False
        self.keys, self.values = stored.keys[:, :, :0], stored.values[:, :, :0]
        self.store(stored.keys, stored.values, positions)

    def whole(self) -> tuple[Tensor, Tensor]:
        keys, values = super().whole()
        if not self.begun:
            return keys, values
        held = self.inner
        return (
            torch.cat([held._dequantize(held._quantized_keys), keys], 2),
            torch.cat([held._dequantize(held._quantized_values), values], 2),
        )

    def store(self, keys: Tensor, values: Tensor, positions: Tensor) -> None:
        """``keys`` and ``values`` of all tokens; those that are not held yet go to transformers' layer."""
        at = self.positions.shape[1] if self.begun else 0
        self.positions = positions
        stops = [keys.shape[2]] if self.begun else [keys.shape[2] // GROUP * GROUP, keys.shape[2]]
        if not stops[0]:
            self.keys, self.values = keys.clone(), values.clone()
            return
        self.inner = copy(self.inner)  # other forks hold the one before; no tensor of it is ever written to
        for stop in stops:
            if stop > at:
                self.inner.update(keys[:, :, at:stop].clone(), values[:, :, at:stop].clone())
                at = stop
        self.begun = True
        loose = self.inner.keys.dim() == 4
        self.keys = self.inner.keys if loose else keys[:, :, :0]
        self.values = self.inner.values if loose else values[:, :, :0]

    def drop(self) -> None:
        """Nothing: what no query sees any more is hidden."""

    def tensors(self) -> tuple[Tensor, ...]:
        packed = (self.inner._quantized_keys, self.inner._quantized_values) if self.begun else ()
        return (*(tensor for one in packed for tensor in parts(one)), *super().tensors())

    @property
    def capacity(self) -> int:
        """No limit: a window hides and drops nothing."""
        return -1

    def room(self) -> int | None:
        """Up to the token whose reading packs anew, and up to the group that a short prompt is waiting for."""
        assert self.keys is not None
        return max(1, (RECENT if self.begun else GROUP) - self.keys.shape[2])


def parts(packed: Any) -> tuple[Tensor, ...]:
    """The plain tensors that a backend's packed one is made of: codes, steps and zeros."""
    if isinstance(packed, tuple):  # hqq: codes, and a dict with scale and zero
        codes, about = packed
        return codes, *(one for one in about.values() if isinstance(one, Tensor))
    if hasattr(packed, "__tensor_flatten__"):
        return tuple(part for name in packed.__tensor_flatten__()[0] for part in parts(getattr(packed, name)))
    return (packed,)


@dataclass(frozen=True)
class Quanto(Policy):
    """Every token, in ``bits``, by optimum-quanto."""

    bits: int = 4
    name = "quanto"
    title = "transformers' quantized cache, by optimum-quanto"
    package: ClassVar[str] = "optimum-quanto"
    offered: ClassVar[tuple[int, ...]] = (4, 2)

    @classmethod
    def installed(cls) -> bool:
        """Whether its package is."""
        return bool(import_utils.is_optimum_quanto_available())

    def inner(self) -> Any:
        """A layer of transformers' quantized cache. Keys: one channel of 32 tokens is a group; values: 32 channels."""
        return cache_utils.QuantoQuantizedLayer(self.bits, -1, 0, GROUP, RECENT)

    def kept(self, length: int, window: int | None) -> int:
        return available(length, window)

    def layer_bytes(self, kept: int, kv_heads: int, head_dim: int, itemsize: int) -> int:
        packed = kept // GROUP * GROUP
        numbers = 2 * packed * kv_heads * head_dim
        return (
            numbers * self.bits // 8
            + 2 * numbers // GROUP * itemsize
            + super().layer_bytes(kept - packed, kv_heads, head_dim, itemsize)
        )

    def layer(self, stored: Stored, sight: Sight) -> KeptLayer:
        return QuantizedLayer(sight, stored, self.inner())

    def __str__(self) -> str:
        return f"{self.name}={self.bits}"

    @classmethod
    def said(cls, setting: str) -> Quanto:
        """As `Policy.said`: the bits. Raises CacheError for others than its package packs, and where that is not
        installed."""
        if setting and setting not in [str(bits) for bits in cls.offered]:
            raise CacheError(
                f"{cls.name}={setting[:40]}", expected=" or ".join(f"{cls.name}={one}" for one in cls.offered)
            )
        if not cls.installed():
            raise CacheError(
                f"The policy {cls.name} needs the package {cls.package}, which is not installed",
                remedy=f"Install it (pip install {cls.package}), or take 8bit or 4bit, which need none",
            )
        return cls(int(setting)) if setting else cls()


@dataclass(frozen=True)
class Hqq(Quanto):
    """Every token, in ``bits``, by hqq."""

    bits: int = 8
    name = "hqq"
    title = "transformers' quantized cache, by hqq"
    package: ClassVar[str] = "hqq"
    offered: ClassVar[tuple[int, ...]] = (8, 4, 2)

    @classmethod
    def installed(cls) -> bool:
        return bool(import_utils.is_hqq_available())

    def inner(self) -> Any:
        """A layer of transformers' quantized cache: 32 channels of a token are a group, of keys and of values."""
        return cache_utils.HQQQuantizedLayer(self.bits, 1, 1, GROUP, RECENT)
