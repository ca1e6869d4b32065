"""A fused attention kernel is used only where it agrees with matrix products; otherwise the slower way is."""

import pytest
import torch
from torch import Tensor

from workbench.capture.backends import CPU, FUSED, PRODUCTS, Backend, backend_for, first_right

CPU_DEVICE = torch.device("cpu")


def broken(what: str) -> Backend:
    def run(query: Tensor, key: Tensor, value: Tensor, causal: bool, scale: float) -> tuple[Tensor, Tensor]:
        if what == "absent":
            raise NotImplementedError
        output, lse = CPU.run(query, key, value, causal, scale)
        if what == "in bits":
            return output, lse * 1.4427
        if what == "causal from the wrong corner" and not causal:
            return CPU.run(query, key[:, :, :37], value[:, :, :37], True, scale)
        return output, torch.nn.functional.pad(lse, (0, 27))  # "padded"

    return Backend(what, run)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("group", [1, 4])
def test_a_right_kernel_is_taken(dtype: torch.dtype, group: int) -> None:
    assert first_right((CPU,), CPU_DEVICE, dtype, 64, group) is CPU


@pytest.mark.parametrize("what", ["absent", "in bits", "causal from the wrong corner", "padded"])
def test_a_wrong_kernel_is_passed_over(what: str) -> None:
    assert first_right((broken(what), CPU), CPU_DEVICE, torch.float32, 32, 2) is CPU
    assert first_right((broken(what),), CPU_DEVICE, torch.float32, 32, 2) is PRODUCTS


def test_kernels_of_gpus_are_not_taken_on_a_cpu() -> None:
    assert first_right(FUSED, CPU_DEVICE, torch.float32, 32, 1) is PRODUCTS
    assert backend_for(torch.zeros(1, 2, 3, 4), torch.zeros(1, 1, 3, 4)) is CPU


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_gpu_has_a_fused_kernel(dtype: torch.dtype) -> None:
    states = torch.zeros(1, 8, 16, 128, device="cuda", dtype=dtype)
    assert backend_for(states, states[:, :2]) in FUSED
