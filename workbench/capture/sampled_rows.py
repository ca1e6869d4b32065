"""Which query rows a sampled capture looks at, and in which half of the sample each stands."""

from __future__ import annotations

from functools import lru_cache

import torch


@lru_cache(maxsize=4096)
def stratified_rows(block: int, sample: int, number: int) -> tuple[int, ...]:
    """``sample`` of the ``block`` rows of query block ``number``, ascending: one at random from each of as many strata,
    the same ones in every run."""
    share = torch.rand(sample, generator=torch.Generator().manual_seed(number)).tolist()
    return tuple(int((j + share[j]) * block / sample) for j in range(sample))


class RowChoice:
    """The query rows that enter maps and column sums: all, or ``sample`` of each block that lies inside the prompt.

    Later blocks grow token by token and are taken whole. Every other row of a sample belongs to its second half: how
    far the halves differ tells how far the sample is from the whole.
    """

    def __init__(self, block: int, sample: int | None, prompt: int) -> None:
        self.block, self.prompt = block, prompt
        self.sample = sample if sample is not None and sample < block else None

    @property
    def halves(self) -> int:
        """How many parts of a block's rows are summed apart: 2 where rows are sampled."""
        return 1 if self.sample is None else 2

    def sampled(self, number: int) -> bool:
        """Whether of block ``number`` only some rows are taken."""
        return self.sample is not None and (number + 1) * self.block <= self.prompt

    def weight(self, number: int) -> float:
        """How many rows one taken row of block ``number`` stands for."""
        return self.block / self.sample if self.sample is not None and self.sampled(number) else 1.0

    def count(self, number: int, filled: int) -> int:
        """Rows of block ``number`` that were taken of the ``filled`` first ones."""
        if self.sample is None or not self.sampled(number):
            return filled
        return sum(row < filled for row in stratified_rows(self.block, self.sample, number))

    def of(self, first: int, end: int) -> tuple[list[int], list[int]]:
        """Positions taken among ``first`` to ``end`` - 1 and the half of each, by block and within it by half."""
        if self.sample is None:
            return list(range(first, end)), [0] * (end - first)
        taken: list[tuple[int, int, int]] = []
        for number in range(first // self.block, (end - 1) // self.block + 1):
            rows = stratified_rows(self.block, self.sample, number) if self.sampled(number) else range(self.block)
            taken += [(number, i % 2, number * self.block + row) for i, row in enumerate(rows)]
        found = sorted(one for one in taken if first <= one[2] < end)
        return [position for _, _, position in found], [half for _, half, _ in found]
