"""What a request may have instead of the model's own cache: the door through which `workbench.cache_lab` comes in."""

from __future__ import annotations

import threading
from typing import Any, Protocol

from torch import Tensor
from transformers import Cache

from workbench.capture.recording import Recording
from workbench.capture.request import Capture
from workbench.generation.prefill import Progress


class Caching(Protocol):
    """A rule for the cache of one request; ``str()`` of it is how the policy is said."""

    def check(self, capture: Capture) -> None:
        """Raise CaptureError for what cannot be recorded under it."""

    def read(
        self, module: Any, ids: list[int], recording: Recording | None = None, stop: threading.Event | None = None,
        progress: Progress | None = None,
    ) -> tuple[Tensor | None, Cache]:  # fmt: skip
        """Float32 logits (vocabulary,) behind the prompt ``ids``, None when ``stop`` was set, and the cache that goes
        on from there. Its ``room`` says how many tokens may be read at once (None: any number)."""
