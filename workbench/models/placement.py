"""Where and in what precision a model computes: the words of the loading options, checked against this machine."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
from torch import nn

from workbench.errors import DeviceError
from workbench.models.checkpoint import first_line

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
QUANTIZATIONS = ("8bit", "4bit")


def read_dtype(dtype: str | torch.dtype) -> torch.dtype | None:
    """The torch dtype asked for, None for "auto". Raises DeviceError for anything that weights cannot be."""
    if dtype == "auto":
        return None
    found = DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if found not in DTYPES.values():
        raise DeviceError(
            f"{dtype!r} is not a dtype for weights", expected='"auto", "float32", "bfloat16" or "float16"'
        )
    return found


def check_quantization(quantization: str | None) -> None:
    """Raises DeviceError for a quantization that does not exist or cannot run on this machine."""
    if quantization is None:
        return
    if quantization not in QUANTIZATIONS:
        raise DeviceError(f"{quantization!r} is not a quantization", expected='"8bit", "4bit" or None')
    if not torch.cuda.is_available():
        raise DeviceError(
            f"{quantization} quantization needs an NVIDIA GPU, and there is none here",
            remedy='Leave out quantization; for less memory on a CPU, use dtype="bfloat16" or device_map="auto"',
        )
    try:
        import bitsandbytes  # noqa: F401
    except Exception as error:  # an installation that does not fit the driver fails in many ways
        raise DeviceError(
            f"{quantization} quantization needs bitsandbytes, which cannot be imported ({first_line(error)})",
            remedy="Install it with: pip install 'mistral-workbench[quantization]'",
        ) from None


def read_device(device_map: str | Mapping[str, Any] | None) -> torch.device | None:
    """The one device for the whole model, None where accelerate is to place the layers. Raises DeviceError."""
    if device_map is None:
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if isinstance(device_map, Mapping) or device_map in ("auto", "balanced", "balanced_low_0", "sequential"):
        return None
    try:
        device = torch.device(device_map)
    except (RuntimeError, TypeError):
        raise DeviceError(
            f"{device_map!r} is not a device", expected='"cpu", "cuda", "cuda:1", "mps", "auto" or a dictionary'
        ) from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise DeviceError(
            f"There is no {device_map} here ({found} NVIDIA GPU{'s' * (found != 1)} found)",
            remedy="Leave out device_map, or name a device that exists",
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("There is no Apple GPU (mps) here", remedy="Leave out device_map")
    if device.type not in ("cpu", "cuda", "mps"):
        raise DeviceError(f"{device_map!r} cannot hold a model here", expected='"cpu", "cuda" or "mps"')
    return device


def computes_on_cpu(device: torch.device | None, device_map: str | Mapping[str, Any] | None) -> bool:
    """Whether the computing is done on the CPU (layers on "disk" are computed on the main device)."""
    if device is not None:
        return device.type == "cpu"
    if isinstance(device_map, Mapping):
        return all(str(place) in ("cpu", "disk") for place in device_map.values())
    return not torch.cuda.is_available() and not torch.backends.mps.is_available()


def turn(module: nn.Module) -> AbstractContextManager[Any]:
    """What a forward of ``module`` is run in: a lock where accelerate brings offloaded weights in for each call and
    takes them out again (two threads would take them away from each other), else nothing. Calls may be nested. A model
    and those switched from it share one.
    """
    held = vars(module).get("_workbench_turn")
    if held is None:
        lock = threading.RLock() if any(_travels(part) for part in module.modules()) else nullcontext()
        held = vars(module).setdefault("_workbench_turn", lock)  # the first thread's, whoever else is here
    return cast(AbstractContextManager[Any], held)


def _travels(part: nn.Module) -> bool:
    """Whether accelerate moves the weights of ``part`` in and out around its forward."""
    hook = getattr(part, "_hf_hook", None)
    return any(getattr(one, "offload", False) for one in (hook, *getattr(hook, "hooks", ())))
