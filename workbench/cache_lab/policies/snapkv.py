"""What the end of the prompt looks at (SnapKV, Li et al. 2024, section 4; NVIDIA/kvpress, ``snapkv_press.py``).

The last 32 queries vote: the attention they give is summed, smoothed over neighbours (mean of 5) so that the tokens
around a chosen one come along, and the highest stay, each key-value head for itself. The 32 voters always stay. The
vote sees the question when the prompt ends with it, and cannot know one that comes later.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import avg_pool1d

from workbench.cache_lab.policy import Chosen, Stored, with_last

VOTERS = 32
KERNEL = 5


@dataclass(frozen=True)
class SnapKV(Chosen):
    """The vote of the last queries."""

    name = "snapkv"
    title = "Voted by the last 32 queries"

    @property
    def voters(self) -> int:
        return VOTERS

    def choose(self, stored: Stored) -> Tensor | None:
        assert stored.votes is not None
        m = stored.keys.shape[2]
        count = self.budget.of(m)
        before = stored.votes[:, : max(0, m - VOTERS)]
        scores = stored.votes.clone()
        if before.shape[1]:
            scores[:, : before.shape[1]] = avg_pool1d(before, KERNEL, stride=1, padding=KERNEL // 2)
        return with_last(scores, count, VOTERS)
