"""What computes replies comes behind what answers clicks, where the system tells threads apart."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

NICE = 5
"""A third of the processor's time where both want it; all of it where nobody else does."""


def behind(work: Callable[..., object], *values: object) -> None:
    """Do ``work`` with the calling thread behind others for the rest of its life. Linux has a priority for each thread;
    elsewhere it is as the others'."""
    if sys.platform == "linux":
        with suppress(OSError):  # not allowed in every container
            own = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, own, max(NICE, os.getpriority(os.PRIO_PROCESS, own)))
    work(*values)
