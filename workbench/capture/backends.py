"""Attention kernels that also return the log-sum-exp, one for each kind of device, and an exact slower way.

A fused kernel is used only after it has agreed with plain matrix products on a small example of the same dtype and head
size, once a process: another version of a driver or of PyTorch can make an inspection slower, never wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

Kernel = Callable[[Tensor, Tensor, Tensor, bool, float], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Backend:
    """``run(query, key, value, causal, scale)``: output, as the query, and log-sum-exp (1, heads, queries) in nats."""

    name: str
    run: Kernel


def backend_for(query: Tensor, key: Tensor) -> Backend:
    """The quickest backend that is right for states like these."""
    if query.device.type == "cpu":
        return CPU
    return _checked(query.device, query.dtype, query.shape[-1], query.shape[1] // key.shape[1])


def _cpu_flash(query: Tensor, key: Tensor, value: Tensor, causal: bool, scale: float) -> tuple[Tensor, Tensor]:
    # what scaled_dot_product_attention itself uses on the CPU; it shares keys among grouped heads
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(query, key, value, 0.0, causal, scale=scale)


def _flash(query: Tensor, key: Tensor, value: Tensor, causal: bool, scale: float) -> tuple[Tensor, Tensor]:
    key, value = _repeated(query, key, value)
    found = torch.ops.aten._scaled_dot_product_flash_attention(query, key, value, 0.0, causal, False, scale=scale)
    return found[0], found[1][..., : query.shape[2]]


def _efficient(query: Tensor, key: Tensor, value: Tensor, causal: bool, scale: float) -> tuple[Tensor, Tensor]:
    key, value = _repeated(query, key, value)
    found = torch.ops.aten._scaled_dot_product_efficient_attention(
        query, key, value, None, True, 0.0, causal, scale=scale
    )
    return found[0], found[1][..., : query.shape[2]]  # it pads the queries


def _products(query: Tensor, key: Tensor, value: Tensor, causal: bool, scale: float) -> tuple[Tensor, Tensor]:
    output = scaled_dot_product_attention(
        query, key, value, is_causal=causal, scale=scale, enable_gqa=query.shape[1] != key.shape[1]
    )
    return output, log_sum_exp(query, key, causal, scale)


def _repeated(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    group = query.shape[1] // key.shape[1]
    return (key, value) if group == 1 else (key.repeat_interleave(group, 1), value.repeat_interleave(group, 1))


CPU = Backend("flash attention for the CPU", _cpu_flash)
FUSED = (Backend("flash attention", _flash), Backend("memory-efficient attention", _efficient))
PRODUCTS = Backend("scaled dot products, log-sum-exp by matrix products", _products)


@cache
def _checked(device: torch.device, dtype: torch.dtype, size: int, group: int) -> Backend:
    return first_right(FUSED, device, dtype, size, group)


@torch.inference_mode()
def first_right(
    candidates: tuple[Backend, ...], device: torch.device, dtype: torch.dtype, size: int, group: int
) -> Backend:
    """The first candidate whose output and log-sum-exp equal those of matrix products; PRODUCTS when none does."""
    generator = torch.Generator().manual_seed(0)
    for candidate in candidates:
        try:
            if all(_agrees(candidate, device, dtype, size, group, causal, generator) for causal in (True, False)):
                return candidate
        except (RuntimeError, NotImplementedError):  # not built in, or not for this dtype, size or device
            continue
    return PRODUCTS


def _agrees(
    candidate: Backend, device: torch.device, dtype: torch.dtype, size: int, group: int, causal: bool,
    generator: torch.Generator,
) -> bool:  # fmt: skip
    def states(heads: int, count: int) -> Tensor:
        return torch.randn(1, heads, count, size, generator=generator).to(device, dtype)

    rows, keys = 37, 37 if causal else 53  # no multiples of a kernel's tile
    query, key, value = states(group, rows), states(1, keys), states(1, keys)
    scale = size**-0.5
    output, lse = candidate.run(query, key, value, causal, scale)
    expected = log_sum_exp(query, key, causal, scale)
    scores = (query.float() @ key.float().transpose(2, 3)) * scale
    if causal:
        scores = scores.masked_fill(torch.ones(rows, keys, device=device).triu(1).bool(), float("-inf"))
    mixed = scores.softmax(-1) @ value.float()
    near = 1e-4 if dtype == torch.float32 else 2e-2
    return (
        lse.shape == expected.shape
        and torch.allclose(lse.float(), expected, atol=near, rtol=near)
        and torch.allclose(output.float(), mixed, atol=near, rtol=near)
    )


def log_sum_exp(query: Tensor, key: Tensor, causal: bool, scale: float, rows: int = 256) -> Tensor:
    """Log-sum-exp ``(1, heads, queries)`` in float32, by tiles of ``rows`` queries: the exact slower way for devices
    whose attention kernel does not hand it out."""
    heads, kv_heads, keys = query.shape[1], key.shape[1], key.shape[2]
    grouped = query[0].reshape(kv_heads, heads // kv_heads, query.shape[2], -1)
    transposed = key[0].transpose(1, 2).float()
    sums = []
    for start in range(0, query.shape[2], rows):
        part = grouped[:, :, start : start + rows].float()
        scores = torch.einsum("kgqd,kdt->kgqt", part, transposed) * scale
        if causal:
            index = torch.arange(start, start + part.shape[2], device=query.device)
            future = torch.arange(keys, device=query.device)[None] > index[:, None]
            scores.masked_fill_(future, float("-inf"))
        sums.append(torch.logsumexp(scores, -1))
    return torch.cat(sums, 2).reshape(1, heads, -1)
