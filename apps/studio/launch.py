"""Serve the page on a free port, and load the models meanwhile."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence

import workbench as wb
from apps.studio.app import TWINS, build
from apps.studio.recorded import Recorded, exchanges
from apps.studio.run_events import LARGEST_FILE
from apps.studio.score import Score
from apps.studio.settings import NEW_TOKENS
from apps.studio.theme import page_css, studio_theme
from workbench.errors import WorkbenchError


def launch(
    models: Sequence[str | wb.Model] = TWINS, *, host: str = "127.0.0.1", port: int | None = 7860, share: bool = False,
    browser: bool = True, recorded: Recorded | Sequence[Recorded] | None = None, new_tokens: int = NEW_TOKENS,
    block: bool = True,
) -> str:  # fmt: skip
    """Serve the page, print its address, load the models meanwhile, and wait; the address, when ``block`` is False.

    ``port`` is the first to try of 50; None takes any that is free. ``recorded`` defaults to the shipped exchanges.
    """
    page = build(models, recorded if recorded is not None else exchanges(), new_tokens)
    _, address, shared = page.launch(
        server_name=host, server_port=_free_port(host, port), share=share, inbrowser=browser, prevent_thread_lock=True,
        quiet=True, show_error=True, max_file_size=LARGEST_FILE, footer_links=[], run_history=False, ssr_mode=False,
        theme=studio_theme(),
        app_kwargs={"routes": [Score(page.studio.shelf, page.studio.jobs).route]},
        head=f"<style>{page_css()}</style>",  # not css=: Gradio would put its own container in front of every rule
    )  # fmt: skip
    print(f"The workbench is open at {shared or address}", flush=True)
    threading.Thread(target=page.studio.shelf.warm, daemon=True).start()
    if block:
        page.block_thread()
    return str(address)


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
