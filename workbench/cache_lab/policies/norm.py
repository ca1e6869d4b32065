"""The tokens whose keys are shortest (Devoto et al. 2024, "A Simple and Effective L2 Norm-Based Strategy for KV Cache
Compression", section 4; NVIDIA/kvpress, ``knorm_press.py``).

Their finding: a short key goes with much attention, so the smallest Euclidean norms stay. Applied to every layer, as in
kvpress; the paper leaves the first two out. RoPE does not change a norm.
"""

from __future__ import annotations

import torch
from torch import Tensor

from workbench.cache_lab.policy import Chosen, Stored, best


class Norm(Chosen):
    """Small key norms."""

    name = "norm"
    title = "Smallest key norms"

    def choose(self, stored: Stored) -> Tensor | None:
        norms = torch.linalg.vector_norm(stored.keys[0], dim=-1, dtype=torch.float32)
        return best(-norms, self.budget.of(stored.keys.shape[2]))
