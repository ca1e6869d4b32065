"""The Mistral workbench: what changed between Mistral-7B-Instruct v0.1 and v0.2, and what a long context does inside.

``wb.load`` a model, ``encode`` a conversation, ``inspect`` it or ``generate`` a reply with attention, logit lens and KV
cache recorded; the result is an `Inspection`. Names are imported at first use: ``import workbench`` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.capture.request import AttentionCapture, AttributionCapture, Capture, LensCapture
    from workbench.capture.tuned_lens import TunedLens
    from workbench.chat.conversation import Conversation
    from workbench.comparison.both import compare
    from workbench.comparison.comparison import Comparison
    from workbench.errors import WorkbenchError
    from workbench.generation.decoding import Step
    from workbench.generation.prefix import PrefixStore
    from workbench.generation.sampling import Sampling
    from workbench.inspection.inspection import Inspection
    from workbench.inspection.run import Run
    from workbench.inspection.storage import open_inspection as open
    from workbench.model import Model, load
    from workbench.planning.memory import MemoryPlan, memory

_HOMES = {
    "load": ("workbench.model", "load"),
    "Model": ("workbench.model", "Model"),
    "open": ("workbench.inspection.storage", "open_inspection"),
    "Inspection": ("workbench.inspection.inspection", "Inspection"),
    "Run": ("workbench.inspection.run", "Run"),
    "PrefixStore": ("workbench.generation.prefix", "PrefixStore"),
    "Step": ("workbench.generation.decoding", "Step"),
    "Sampling": ("workbench.generation.sampling", "Sampling"),
    "Capture": ("workbench.capture.request", "Capture"),
    "AttentionCapture": ("workbench.capture.request", "AttentionCapture"),
    "AttributionCapture": ("workbench.capture.request", "AttributionCapture"),
    "LensCapture": ("workbench.capture.request", "LensCapture"),
    "TunedLens": ("workbench.capture.tuned_lens", "TunedLens"),
    "Conversation": ("workbench.chat.conversation", "Conversation"),
    "compare": ("workbench.comparison.both", "compare"),
    "Comparison": ("workbench.comparison.comparison", "Comparison"),
    "memory": ("workbench.planning.memory", "memory"),
    "MemoryPlan": ("workbench.planning.memory", "MemoryPlan"),
    "WorkbenchError": ("workbench.errors", "WorkbenchError"),
}

__version__ = "0.1.0"
__all__ = ["AttentionCapture", "AttributionCapture", "Capture", "Comparison", "Conversation", "Inspection",
           "LensCapture", "MemoryPlan", "Model", "PrefixStore", "Run", "Sampling", "Step", "TunedLens",
           "WorkbenchError", "compare", "load", "memory", "open"]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'workbench' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
