"""The base of all cache policies: which stored tokens of a layer stay, and how they are stored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from workbench.cache_lab.budget import Budget
from workbench.cache_lab.layer import KeptLayer, Sight, picked


@dataclass(frozen=True)
class Stored:
    """One layer after a prompt of ``length`` tokens: ``keys`` and ``values`` (1, kv_heads, m, head_dim) of the last m
    tokens, all or what a sliding window left. ``received`` and ``votes`` (kv_heads, m), where the policy asked for
    them: attention got from all queries, and from the last ones; mean over the query heads that share a key head."""

    keys: Tensor
    values: Tensor
    length: int
    received: Tensor | None = None
    votes: Tensor | None = None

    @property
    def first(self) -> int:
        """The position of the first stored token."""
        return self.length - self.keys.shape[2]


@dataclass(frozen=True)
class Policy(ABC):
    """A rule for a cache. Policies that do not ``stream`` read the prompt with the model's own cache and choose when
    it ends, as their papers do; those that do drop tokens while reading. ``str(policy)`` is how it is said."""

    name: ClassVar[str]
    title: ClassVar[str]
    streams: ClassVar[bool] = False
    needs_received: ClassVar[bool] = False

    @property
    def voters(self) -> int:
        """How many last queries vote; 0: none are asked."""
        return 0

    def sight(self, window: int | None, length: int) -> Sight:
        """What queries see under this policy in a model with this ``window``, after a prompt of ``length`` tokens."""
        return Sight(window)

    @abstractmethod
    def kept(self, length: int, window: int | None) -> int:
        """How many tokens each layer and key-value head stores after ``length`` tokens."""

    def layer_bytes(self, kept: int, kv_heads: int, head_dim: int, itemsize: int) -> int:
        """Bytes of one layer that keeps so many tokens, foretold."""
        return 2 * kv_heads * kept * head_dim * itemsize

    def choose(self, stored: Stored) -> Tensor | None:
        """Indices (1 or kv_heads, k), ascending, of the stored tokens that stay; None: all."""
        return None

    def layer(self, stored: Stored, sight: Sight) -> KeptLayer:
        """The layer that goes on after the prompt."""
        chosen, m = self.choose(stored), stored.keys.shape[2]
        device = stored.keys.device
        if chosen is None or chosen.shape[1] >= m:
            chosen = torch.arange(m, device=device)[None]
        keys, values = picked(stored.keys, chosen), picked(stored.values, chosen)
        return KeptLayer(sight, keys, values, chosen.to(device) + stored.first, stored.length)

    @abstractmethod
    def __str__(self) -> str: ...

    @classmethod
    @abstractmethod
    def said(cls, setting: str) -> Policy:
        """The policy whose setting (what stands behind the =, "" for none) is ``setting``. Raises CacheError."""


@dataclass(frozen=True)
class Chosen(Policy):
    """A policy that keeps the best of the stored tokens by a score, a ``budget`` of them in each layer and head."""

    budget: Budget

    def kept(self, length: int, window: int | None) -> int:
        return self.budget.of(available(length, window))

    def __str__(self) -> str:
        return f"{self.name}={self.budget}"

    @classmethod
    def said(cls, setting: str) -> Chosen:
        return cls(Budget.read(setting))


def available(length: int, window: int | None) -> int:
    """How many of ``length`` tokens a layer with this ``window`` still stores: the next query brings its own key."""
    return length if window is None else min(length, window - 1)


def best(scores: Tensor, count: int) -> Tensor:
    """Indices (rows, count), ascending, of the highest of ``scores`` (rows, m); of equal ones the earliest."""
    order = scores.argsort(dim=1, descending=True, stable=True)
    return order[:, :count].sort(1).values


def with_last(scores: Tensor, count: int, last: int) -> Tensor:
    """Indices (rows, count), ascending: the ``last`` ones, and before them the highest of ``scores`` (rows, m)."""
    m = scores.shape[1]
    last = min(last, count, m)
    ending = torch.arange(m - last, m, device=scores.device).expand(len(scores), -1)
    return torch.cat([best(scores[:, : m - last], count - last), ending], 1)
