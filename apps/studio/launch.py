"""Serve the page on a free port, and load the models meanwhile."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gradio.utils import get_upload_folder
from starlette.middleware import Middleware

import workbench as wb
from apps.server.door import Door
from apps.server.memory import forget_pages, give_back, settle, steady_heap
from apps.server.settings import Settings
from apps.server.spared import spare
from apps.server.unread import bound
from apps.studio.app import THREADS, TWINS, build
from apps.studio.recorded import Recorded, exchanges
from apps.studio.score import Score
from apps.studio.stopping import ends_on_sigterm, settled
from apps.studio.studio import Studio
from apps.studio.theme import page_css, studio_theme
from apps.studio.visit import Visiting
from workbench.errors import WorkbenchError

SWEEP = 30.0
"""Seconds between two looks at which tabs are to be forgotten."""


def launch(
    models: Sequence[str | wb.Model] = TWINS, *, host: str = "127.0.0.1", port: int | None = 7860, share: bool = False,
    browser: bool = True, recorded: Recorded | Sequence[Recorded] | None = None, new_tokens: int | None = None,
    block: bool = True, settings: Settings | None = None, visiting: Visiting | None = None,
) -> str:  # fmt: skip
    """Serve the page, print its address, load the models meanwhile, and wait; the address, when ``block`` is False.

    ``port`` is the first to try of 50; None takes any that is free. ``recorded`` defaults to the shipped exchanges.
    ``settings`` are the server's limits (none by default), ``new_tokens`` the longest reply its page starts with, where
    it is another than theirs. ``visiting`` computes replies elsewhere, by models that are given loaded. What
    ``settings`` say of models and recordings is for who calls this to read.
    """
    known = settings or Settings()
    if block:
        steady_heap()
    if new_tokens is not None:
        known = known.model_copy(update={"new_tokens": new_tokens})
    page = build(models, recorded if recorded is not None else exchanges(), known, visiting)
    studio: Studio = page.studio
    threads = THREADS + 2 * (known.concurrency + known.queue_length)
    _, address, shared = page.launch(
        server_name=host, server_port=_free_port(host, port), share=share, inbrowser=browser, prevent_thread_lock=True,
        quiet=True, show_error=False, max_file_size=max(1, known.import_mib * 2**20), max_threads=threads,
        footer_links=[], run_history=False, ssr_mode=False, state_session_capacity=2 * known.sessions,
        theme=studio_theme(),
        app_kwargs={
            "routes": [Score(studio.shelf, studio.jobs).route],
            "middleware": [Middleware(
                Door, settings=known, metrics=studio.admission.metrics, pages=[str(one[0]) for one in page.pages],
                folder=Path(get_upload_folder()),
            )],
        },
        head=f"<style>{page_css()}</style>",  # not css=: Gradio would put its own container in front of every rule
    )  # fmt: skip
    bound(page._queue, known.sessions_per_client)
    spare(page._queue, block)
    print(f"The workbench is open at {shared or address}", flush=True)
    threading.Thread(target=_warm, args=(studio, block), daemon=True).start()
    if known.forget_seconds is not None:
        threading.Thread(target=_sweeping, args=(studio, page.state_holder, threading.Event()), daemon=True).start()
    if block:
        ends_on_sigterm(studio)
        page.block_thread()
        settled(studio)
    return str(address)


def _warm(studio: Studio, alone: bool) -> None:
    studio.shelf.warm()
    if alone:  # elsewhere, what is there now is not ours alone
        settle()


def _sweeping(studio: Studio, holder: Any, over: threading.Event) -> None:
    while not over.wait(SWEEP):
        held = len(studio.sessions)
        studio.sweep()
        if forget_pages(holder, studio.settings.forget_seconds or 0.0) or len(studio.sessions) < held:
            give_back()


def _free_port(host: str, first: int | None) -> int:
    """The first free port of 50 from ``first`` on, or any free one for None."""
    for candidate in [0] if first is None else range(first, first + 50):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, candidate))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise WorkbenchError(f"no port of {host} from {first} on is free", remedy="Name another with --port")


if __name__ == "__main__":
    launch()
