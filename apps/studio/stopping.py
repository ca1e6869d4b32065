"""The end of a served app: models stop at their next step, what is being written is whole, nothing stays behind."""

from __future__ import annotations

import signal
import threading
from typing import Any

from apps.studio.studio import Studio

SECONDS = 5.0
"""That the models may take for their steps under way."""


def ends_on_sigterm(studio: Studio) -> None:
    """Have SIGTERM end the app as Ctrl+C does. Does nothing outside of the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return

    def end(number: int, frame: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough
        stop(studio)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)


def stop(studio: Studio) -> None:
    """Stop all models and computations before their next step."""
    studio.sessions.stop()
    studio.jobs.stop()


def settled(studio: Studio) -> bool:
    """Stop everything; whether all of it has ended within a few seconds."""
    stop(studio)
    return studio.admission.settle(SECONDS)
