"""The app: its header and pages as Gradio Blocks. `launch.py` serves it."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr

import workbench as wb
from apps.studio.chat_page import chat_page
from apps.studio.page_parts import drawn, script
from apps.studio.recorded import Recorded
from apps.studio.settings import NEW_TOKENS
from apps.studio.studio import Studio

TWINS = ("twin-v0.1", "twin-v0.2")
WAITING = 16
"""Visitors that may wait for a model before the next one is turned away with a sentence."""


def build(
    models: Sequence[str | wb.Model] = TWINS, recorded: Recorded | None = None, new_tokens: int = NEW_TOKENS
) -> gr.Blocks:
    """The pages as Gradio Blocks; nothing is loaded yet. ``recorded`` is the exchange it opens with, ``new_tokens`` the
    longest reply that its settings start with."""
    studio = Studio.of(models, recorded)
    with gr.Blocks(title="Mistral workbench", fill_width=True, analytics_enabled=False) as page:
        with gr.Row(equal_height=True, elem_id="wb-top"):
            drawn("header.header(element)", "wb-header", head=script())
        chat_page(page, studio, new_tokens)
    page.queue(max_size=WAITING, default_concurrency_limit=8)
    page.studio = studio
    return page
