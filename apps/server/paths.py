"""What may be asked of a served app at all: its pages, and those of Gradio's paths that its pages and clients use.

Gradio answers more: it fetches addresses of other hosts, converts recordings, keeps links to states, shows what it was
asked for. What is not named here is not found, also what a later Gradio adds.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

API = "/gradio_api/"
FILES = f"{API}file="
EXPORTS = "exports"
"""Folder, below that of uploads, of the files that visitors may fetch, each in an unguessable folder of its own."""
_READ = ("user", "login_check", "app_id", "info", "queue/status", "queue/data", "startup-events", "theme.css",
         "upload_progress")  # fmt: skip
_WRITTEN = ("queue/join", "cancel", "reset", "component_server", "upload")
_OPEN = re.compile(
    r"/(assets|static|svelte)/.+|/(config|theme\.css|favicon\.ico|manifest\.json|robots\.txt|metrics)"
    rf"|{API}({'|'.join(map(re.escape, _READ))}|heartbeat/[^/]{{1,64}}|call/(v2/)?\w{{1,64}}/\w{{1,64}})"
)
_POSTED = re.compile(rf"/score|/login|{API}({'|'.join(_WRITTEN)}|(run|api|call|call/v2)/\w{{1,64}})")


class Paths:
    """``pages`` are the app's own, "" the first; files are fetched from ``folder`` alone (None: none are)."""

    def __init__(self, pages: Sequence[str] = ("",), folder: Path | None = None) -> None:
        self._pages = frozenset(f"/{page}" for page in pages)
        self._folder = None if folder is None else os.path.realpath(folder / EXPORTS) + os.sep

    def known(self, method: str, path: str) -> bool:
        """Whether ``path``, decoded, may be asked for by ``method``."""
        if method == "POST":
            return _POSTED.fullmatch(path.removesuffix("/")) is not None
        if method == "OPTIONS":
            return True
        if method not in ("GET", "HEAD"):
            return False
        if path.startswith(FILES):
            return self._served(path.removeprefix(FILES))
        return (path.rstrip("/") or "/") in self._pages or _OPEN.fullmatch(path.removesuffix("/")) is not None

    def _served(self, file: str) -> bool:
        """Whether a file is an export: its real path is looked at, not what it is called."""
        if self._folder is None or "\0" in file or len(file) > 4096:
            return False
        return os.path.realpath(file).startswith(self._folder)
