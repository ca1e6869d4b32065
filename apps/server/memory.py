"""Memory of forgotten tabs, given back to the system: what Gradio keeps of them, and what the allocator holds on to."""

from __future__ import annotations

import ctypes
import gc
from datetime import datetime, timedelta
from typing import Any

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""Of malloc.h."""
HEAP = ((M_ARENA_MAX, 2), (M_MMAP_THRESHOLD, 2**20), (M_TRIM_THRESHOLD, 2**20))
"""What is asked of the GNU allocator: arenas for all threads; bytes from which a block is mapped by itself, and goes
back when it is freed; free bytes at the end of the heap from which they go back."""


def forget_pages(holder: Any, seconds: float, now: datetime | None = None) -> int:
    """Drop what Gradio's state ``holder`` keeps of connections that nobody has used for ``seconds``; how many went.

    Gradio keeps a copy of all components for each connection, with the last value that was sent (the conversation), for
    its whole life. No component of this page needs it again: a connection that comes back gets a new copy.
    """
    over = (now or datetime.now()) - timedelta(seconds=seconds)
    gone = [name for name, at in list(holder.time_last_used.items()) if at < over or name not in holder.session_data]
    with holder.lock:
        for name in gone:
            holder.session_data.pop(name, None)
            holder.time_last_used.pop(name, None)
    return len(gone)


def steady_heap() -> None:
    """Have the GNU allocator keep to `HEAP` from now on, where it is the system's. Left to itself it gives short
    threads up to eight arenas a core, of which one cannot use what another has freed, and learns from each large tensor
    that is freed to put such ones into the heap, up to 32 MiB, where any small block behind them holds their place."""
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # TypeError: Windows has no library without a name
        return
    for option, value in HEAP:
        set_option(option, value)


def settle() -> None:
    """Collect, and have what is there now (libraries, page, models) left out of later collections: looking through half
    a million objects that stay for good takes 0.3 s, in which no thread of the process does anything else. For a
    process that serves until it ends."""
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """Collect what only points at itself, and return free pages to the system where its allocator can be told to.

    The GNU allocator keeps what many short-lived threads have freed, each in an arena of its own.
    """
    gc.collect()
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # TypeError: Windows has no library without a name
        return
    trim(0)
