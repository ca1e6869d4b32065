"""How much of a run its model has read."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.inspection.inspection import Inspection


def read_length(inspection: Inspection) -> int:
    """Tokens that went through the layers: all but a last generated one, which was never fed back."""
    if inspection.kv_cache is not None:
        return int(inspection.kv_cache.logical_length.max())
    if inspection.attention is not None and inspection.attention.rows is not None:
        return int(inspection.attention.rows.sizes["key"])
    generated = len(inspection.ids) - int(inspection.prompt_length)
    return len(inspection.ids) - (1 if generated > 0 else 0)
