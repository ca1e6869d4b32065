"""A coarse logit lens of a whole run: a few positions of every block read out, and summed up by layer and block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.capture.lens import LensResult


@dataclass
class LensBlocks:
    """Over (layer, block): mean entropy (nats), mean log-probability (nats) and median rank (1 = top) of the token that
    really came next, of the positions read; NaN where none was. block_counts (block,): how many were. Block i starts at
    token ``i * size``; every block has ``size`` tokens, the last one what is left."""

    layers: list[int]
    size: int
    block_entropy: np.ndarray
    block_target_logprob: np.ndarray
    block_target_rank: np.ndarray
    block_counts: np.ndarray


def spread(tokens: int, size: int, per_block: int) -> set[int]:
    """The positions to read of a run of ``tokens`` in blocks of ``size``: ``per_block`` of each, in the middle of as
    many equal parts of it; all of a block that has no more.

    >>> sorted(spread(20, 8, 2))  # blocks of 8, 8 and 4: their quarters' ends
    [2, 6, 10, 14, 17, 19]
    """
    found: set[int] = set()
    for start in range(0, tokens, size):
        length = min(size, tokens - start)
        few = min(per_block, length)
        found.update(start + (2 * i + 1) * length // (2 * few) for i in range(few))
    return found


def nested_spread(tokens: int, size: int, per_block: int) -> set[int]:
    """As `spread`, but the ends of the equal parts, also of a last block that the text does not fill: those of blocks
    twice as large are among them, so a text that grows has been read where its larger blocks need it.

    >>> sorted(nested_spread(20, 8, 2)), sorted(nested_spread(20, 16, 2))
    ([3, 7, 11, 15, 19, 23], [7, 15, 23, 31])
    """
    few = min(per_block, size)
    return {start + (i + 1) * size // few - 1 for start in range(0, tokens, size) for i in range(few)}


def in_blocks(lens: LensResult, size: int, tokens: int) -> LensBlocks:
    """The lens of the positions read, summed up by blocks of ``size``, which cover ``tokens``. A position whose next
    token is not known, the last of a text, is left out."""
    known = lens.target_ids >= 0
    block = lens.positions[known] // size
    shape = (len(lens.layers), -(-tokens // size))
    entropy, logprob, rank = (np.full(shape, np.nan, np.float32) for _ in range(3))
    for i in np.unique(block):
        here = np.flatnonzero(known)[block == i]
        entropy[:, i] = lens.entropy[:, here].mean(1, dtype=np.float64)
        logprob[:, i] = lens.target_logprob[:, here].mean(1, dtype=np.float64)
        rank[:, i] = np.median(lens.target_rank[:, here], axis=1)
    counts = np.bincount(block, minlength=shape[1]).astype(np.int32)
    return LensBlocks(lens.layers, size, entropy, logprob, rank, counts)
