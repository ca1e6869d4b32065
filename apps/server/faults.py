"""What breaks beneath a request: one sentence for who asked, the traceback for the log, and memory given back."""

from __future__ import annotations

import contextlib
import errno
import gc
import sys
import traceback
from collections.abc import Callable, Iterator

import torch

from apps.server.metrics import Metrics
from workbench.errors import WorkbenchError

MEMORY, DISK, OTHER, HUNG, TAKEN = "memory", "disk", "unexpected", "hung", "taken"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_IN_RUST = tuple(f"(os error {number})" for number in _FULL)
"""What safetensors and arrow say of a full disk: their errors are no OSErrors."""
_TOO_LITTLE = ("not enough memory", "can't allocate memory", "out of memory", "ALLOC_FAILED")
"""What torch's RuntimeErrors say of an allocation that failed: its CPU allocator, CUDA, cuBLAS."""
SENTENCES = {
    MEMORY: "There was not enough memory to go on, and what this held was freed. Ask for less (a shorter text or reply)"
    ", or try again in a minute.",
    DISK: "The server's disk is full, so this could not be written. What was finished before is kept. Try again later.",
    OTHER: "Something failed inside the workbench; the server's log has the details. You can ask again.",
}


class Faults:
    """The faults of one served app. ``relief`` is called when memory has run out: it drops what can be made again."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.relief: list[Callable[[], None]] = []

    def told(self, error: BaseException) -> str:
        """The sentence about ``error`` for who asked. What is nobody's mistake is counted, with its traceback in the
        log; where memory ran out, it is freed. To be called where nothing of what failed is needed any longer: the
        frames that it went through are emptied."""
        kind = kind_of(error)
        if kind is None:
            return str(error)
        self.count(kind)
        if not isinstance(error, WorkbenchError):
            with contextlib.suppress(Exception):  # a log on a full disk
                traceback.print_exception(error, file=sys.stderr)
        for one in _chain(error):  # they hold tensors of the step that failed
            traceback.clear_frames(one.__traceback__)
        if kind == MEMORY:
            for relieve in self.relief:
                relieve()
            free()
        return str(error) if isinstance(error, WorkbenchError) and kind == MEMORY else SENTENCES[kind]

    def count(self, kind: str, times: int = 1) -> None:
        """So many more faults of ``kind``, for the operator."""
        for _ in range(times):
            self._metrics.failed(kind)


def kind_of(error: BaseException) -> str | None:
    """MEMORY, DISK or OTHER; None for a mistake in what was asked for."""
    for one in _chain(error):
        if isinstance(one, torch.OutOfMemoryError | MemoryError):
            return MEMORY
        if isinstance(one, RuntimeError) and any(words in str(one) for words in _TOO_LITTLE):
            return MEMORY
        if isinstance(one, OSError) and one.errno in _FULL:
            return DISK
        if not isinstance(one, WorkbenchError) and any(words in str(one) for words in _FULL_IN_RUST):
            return DISK
        if isinstance(one, OSError) and one.errno == errno.ENOMEM:
            return MEMORY
    return None if isinstance(error, WorkbenchError) else OTHER


def free() -> None:
    """Give back the memory of what nobody holds any longer."""
    gc.collect()
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and those that led to it, at most 16."""
    one: BaseException | None = error
    for _ in range(16):
        if one is None:
            return
        yield one
        one = one.__cause__ or one.__context__
