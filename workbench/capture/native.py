"""The optional compiled kernel of block sums: built when first wanted, where a C++ compiler is present.

Nothing needs it: without a compiler, or with ``WORKBENCH_NATIVE=0`` in the environment, the same numbers come from
PyTorch, more slowly.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from workbench.capture.block_sums import BlockSums, Rows

SOURCE = Path(__file__).with_name("block_sums.cpp")
_FLAGS = ("-O3", "-ffp-contract=fast", "-shared", "-fPIC")
_LOCK = threading.Lock()


@cache
def library() -> ctypes.CDLL | None:
    """The compiled kernel, or None where it cannot be built or run."""
    with _LOCK:
        if os.environ.get("WORKBENCH_NATIVE", "1") == "0" or platform.system() == "Windows":
            return None
        compiler = next(filter(None, (shutil.which(name) for name in ("c++", "g++", "clang++"))), None)
        if compiler is None or not SOURCE.is_file():
            return None
        try:
            found = ctypes.CDLL(str(_built(compiler)))
            found.block_sums.restype = None
            found.block_sums_panel.restype = ctypes.c_int
        # A compiler that fails, a library that does not load or lacks the functions, a user without a home.
        except (OSError, subprocess.SubprocessError, AttributeError, RuntimeError, ValueError):
            return None
        return found


def _built(compiler: str) -> Path:
    """The shared library of this source for this processor; compiled once and kept in the user's cache."""
    described = "\n".join((SOURCE.read_text(), compiler, platform.machine(), _processor(), *_FLAGS))
    name = f"block_sums-{hashlib.sha256(described.encode()).hexdigest()[:16]}.so"
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "mistral-workbench"
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    if (folder / name).exists():
        return folder / name
    if not os.access(folder, os.W_OK | os.X_OK):
        folder = Path(tempfile.mkdtemp(prefix="mistral-workbench-"))
    target = folder / name
    with tempfile.TemporaryDirectory(dir=folder) as work:
        made = Path(work) / name
        tuned = [] if platform.machine() in ("arm64", "aarch64") else ["-march=native"]
        subprocess.run(
            [compiler, *_FLAGS, *tuned, "-o", str(made), str(SOURCE)], check=True, capture_output=True, timeout=120
        )
        os.replace(made, target)  # whole or not at all: another process may be building it too
    return target


def _processor() -> str:
    """What tells processors apart that run different instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")


@cache
def _workers(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="block-sums")


def pack(key: Tensor, panel: int) -> Tensor:
    """Keys (m, size) in float32 as panels (ceil(m / panel), size, panel), zeros at the end."""
    count, size = key.shape
    padded = torch.zeros(-(-count // panel) * panel, size)
    padded[:count] = key
    return padded.view(-1, panel, size).transpose(1, 2).contiguous()


def native_block_sums(sums: BlockSums, rows: Rows, key: Tensor) -> None:
    """Add ``rows`` over ``key`` (m, size) to ``sums``; everything in float32 on the CPU, one head a thread."""
    found = library()
    assert found is not None
    panels = pack(key, found.block_sums_panel())
    heads, n, size = rows.query.shape
    query, lse = rows.query.contiguous(), rows.lse.contiguous()

    def work(head: int) -> None:
        found.block_sums(
            _at(query[head]), _at(lse[head]), _at(rows.place), _at(rows.part_of), *_whole(n, size), _at(panels),
            *_whole(key.shape[0], rows.window or 0, rows.offset, rows.block, sums.pooled.shape[-1]),
            _at(rows.origin), _at(rows.common), _at(rows.weight), _at(sums.pooled[head]),
            None if sums.peak is None else _at(sums.peak[head]), _at(sums.received[head]), _at(sums.plogp[head]),
            _at(sums.moment[head]), _at(sums.near[head]),
        )  # fmt: skip

    threads = min(torch.get_num_threads(), heads)
    if threads > 1:
        list(_workers(threads).map(work, range(heads)))
    else:
        for head in range(heads):
            work(head)


def _whole(*numbers: int) -> list[ctypes.c_int64]:
    return [ctypes.c_int64(number) for number in numbers]


def _at(tensor: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())
