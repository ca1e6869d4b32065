"""Ctrl-C for a started process."""

import signal


def heard() -> None:
    """As ``preexec_fn``: a process started from a background job is born deaf to SIGINT, and a test of Ctrl-C would
    wait for nothing."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
