"""The tokens that got most attention, and the last ones (H2O, Zhang et al. 2023, algorithm 1).

A token's score is the attention it received, summed over all queries of the prompt; half of the budget goes to the
highest, half to the last tokens, as in the authors' experiments (heavy and recent ratio equal). The mean over the query
heads that share a key head ranks them (as NVIDIA/kvpress, ``observed_attention_press.py``). Different from the paper:
the choice is made once, when the prompt has been read; what comes after is kept. A sum favours early tokens, which more
queries see.
"""

from __future__ import annotations

from torch import Tensor

from workbench.cache_lab.policy import Chosen, Stored, with_last


class Received(Chosen):
    """Heavy hitters by accumulated attention."""

    name = "received"
    title = "Most attention received, and the last tokens"
    needs_received = True

    def choose(self, stored: Stored) -> Tensor | None:
        assert stored.received is not None
        count = self.budget.of(stored.keys.shape[2])
        return with_last(stored.received, count, count - count // 2)
