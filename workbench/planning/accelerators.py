"""Peak speeds of GPUs, as their makers state them: what a forecast of hours is a share of."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.planning.cards import Card


@dataclass(frozen=True)
class Accelerator:
    """``peak``: multiply-adds counted twice, a second, of dense bfloat16 matrices with float32 sums; ``bandwidth`` of
    its memory in bytes a second. Both as NVIDIA states them, without sparsity.

    Held against quotations of the data sheets in November 2026: A100 80 GB (312 TFLOPS, 2039 GB/s:
    glennklockwood.com/garden/processors/A100) and H100 SXM (1979 TFLOPS with sparsity, half of it without, 3350 GB/s:
    archive-lib.hpctech.co.jp/gpuproduct/nvidia-h100.html). L4, A10, L40S and H200 were not: no source is named
    for them."""

    card: Card
    peak: float
    bandwidth: float

    @property
    def name(self) -> str:
        return self.card.name


ACCELERATORS: tuple[Accelerator, ...] = tuple(
    Accelerator(Card(name, mib * 2**20), peak * 1e12, bandwidth * 1e9)
    for name, mib, peak, bandwidth in (
        ("L4", 23034, 121, 300),
        ("A10", 23028, 125, 600),
        ("L40S", 46068, 362, 864),
        ("A100 80 GB", 81559, 312, 2039),
        ("H100 SXM", 81559, 989, 3350),
        ("H200", 143771, 989, 4800),
    )
)
