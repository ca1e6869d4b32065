"""Inspections: the result of every run, how it is put together, saved and read again."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.inspection.attention import Attention
    from workbench.inspection.inspection import Inspection
    from workbench.inspection.run import Run

_HOMES = {"Attention": "attention", "Inspection": "inspection", "Run": "run"}

__all__ = ["Attention", "Inspection", "Run"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'workbench.inspection' has no attribute {name!r}")
    return getattr(importlib.import_module(f"workbench.inspection.{_HOMES[name]}"), name)
