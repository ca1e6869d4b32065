"""The app: its header and pages as Gradio Blocks. `launch.py` serves it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

import gradio as gr

import workbench as wb
from apps.server.settings import Settings
from apps.server.spared import Page
from apps.studio.chat_page import chat_page
from apps.studio.compare_page import compare_page
from apps.studio.context_page import context_page
from apps.studio.endpoints import add_endpoints
from apps.studio.page_parts import drawn, script
from apps.studio.recorded import Recorded
from apps.studio.runs_page import runs_page
from apps.studio.studio import Studio
from apps.studio.visit import Visiting

TWINS = ("twin-v0.1", "twin-v0.2")
NOTEBOOK = "notebooks/01_first_look.ipynb"
"""The one that a Space has."""
THREADS = 40
"""For clicks that only read; besides, everybody who waits for a model has one."""


def build(
    models: Sequence[str | wb.Model] = TWINS, recorded: Recorded | Sequence[Recorded] | None = None,
    settings: Settings | None = None, visiting: Visiting | None = None,
) -> gr.Blocks:  # fmt: skip
    """The pages as Gradio Blocks; nothing is loaded yet. ``recorded`` are the exchanges it offers, the first of which
    it opens with, ``settings`` its limits; replies are computed on visits where there is a ``visiting``."""
    studio = Studio.of(models, recorded, settings, visiting)
    with Page(title="Mistral workbench", fill_width=True, analytics_enabled=False) as page:
        _header()
        chat_page(page, studio, studio.settings.new_tokens)
        add_endpoints(studio.shelf, studio.admission)
    with page.route("Context length", "/context"):
        _header()
        context_page(studio)
    with page.route("Compare & facts", "/compare"):
        _header()
        compare_page(studio)
    with page.route("Runs", "/runs"):
        _header()
        runs_page(studio)
    page.queue(max_size=None, default_concurrency_limit=8)  # the lines and their limits are `Admission`'s
    page.studio = studio
    return page


def links(environ: Mapping[str, str] = os.environ) -> list[tuple[str, str]]:
    """(text, address) of what a visitor of a Hugging Face Space can take home: the Space itself, a notebook."""
    space = environ.get("SPACE_ID", "")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", space):
        return []
    page = f"https://huggingface.co/spaces/{space}"
    return [("Duplicate this Space", f"{page}?duplicate=true"), ("Notebook", f"{page}/blob/main/{NOTEBOOK}")]


def _header() -> None:
    """What stands on top of every page: where one can go, title, models, theme."""
    gr.Navbar(main_page_name="Chat & inspect", elem_id="wb-navbar")
    with gr.Row(equal_height=True, elem_id="wb-top"):
        drawn("header.header(element, props)", "wb-header", value=links(), head=script())
