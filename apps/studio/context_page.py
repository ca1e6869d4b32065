"""Context length: what the models find again in long texts and why, where loss stops gaining, how far they see."""

from __future__ import annotations

from apps.studio.cachelab_events import CacheLabEvents
from apps.studio.grid_events import GridEvents
from apps.studio.heads_events import HeadsEvents
from apps.studio.loss_events import LossEvents
from apps.studio.reach_events import ReachEvents
from apps.studio.sections import sections_page
from apps.studio.studio import Studio


def context_page(studio: Studio) -> None:
    """Lay out the page."""
    sections_page(studio, "context", [
        GridEvents(studio),
        LossEvents(studio),
        ReachEvents(studio),
        HeadsEvents(studio),
        CacheLabEvents(studio),
    ])  # fmt: skip
