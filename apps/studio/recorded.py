"""Recorded exchanges: real captures that a page shows before anything is computed; the shipped ones are the twins'."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import workbench as wb
from workbench.errors import FileFormatError, WorkbenchError
from workbench.models.registry import assets_folder

MOST = 64
"""Exchanges that a list may name."""
_ID = re.compile(r"[\w-]{1,60}")


@dataclass(frozen=True)
class Recorded:
    """One prompt, its messages ending with the question, and the runs that answered it by model name. ``id`` names it
    in files and addresses: it stays when it is recorded again."""

    title: str
    messages: tuple[dict[str, str], ...]
    runs: dict[str, wb.Inspection]
    id: str = "recorded"

    def run_id(self, model: str) -> str:
        """The id of the run of ``model``, the same on every server."""
        return f"recorded-{self.id}-" + re.sub(r"[^\w.-]+", "-", model.rstrip("/").rsplit("/", 1)[-1])


def recorded_folder() -> Path:
    """Where the shipped exchanges lie."""
    return assets_folder() / "recorded"


def read_exchanges(folder: Path | None = None) -> list[Recorded]:
    """The exchanges of the folder's index.json, the one to open with first; none when nothing is recorded there.
    Raises FileFormatError when the index or a file of it cannot be read."""
    folder = folder or recorded_folder()
    index = folder / "index.json"
    if not index.is_file():
        return []
    try:
        entries = json.loads(index.read_text(encoding="utf-8"))["exchanges"]
        if not isinstance(entries, list) or not 1 <= len(entries) <= MOST:
            raise ValueError(f"expected a list of 1 to {MOST} exchanges")
        found = [_exchange(folder, entry) for entry in entries]
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        if isinstance(error, WorkbenchError):
            raise
        raise FileFormatError(
            f"the list of recorded exchanges is malformed ({error})",
            remedy="Record them again: python -m apps.studio.record",
        ) from None
    if len({one.id for one in found}) < len(found):
        raise FileFormatError("two recorded exchanges have one id", remedy="Record them again")
    return found


def read_exchange(folder: Path | None = None, which: int = 0) -> Recorded | None:
    """Exchange number ``which``; None when there is none. Raises as `read_exchanges`."""
    found = read_exchanges(folder)
    return found[which] if which < len(found) else None


def exchanges(folder: Path | None = None) -> list[Recorded]:
    """The exchanges that a page offers; a broken list costs a line in the log, not the page."""
    try:
        return read_exchanges(folder)
    except WorkbenchError as error:
        print(f"No recorded exchange: {error}")
        return []


def opening(folder: Path | None = None) -> Recorded | None:
    """The exchange a page opens with, as `exchanges`."""
    return next(iter(exchanges(folder)), None)


def _exchange(folder: Path, entry: dict[str, Any]) -> Recorded:
    files = {str(name): folder / Path(str(file)).name for name, file in entry["files"].items()}
    messages = tuple({"role": str(m["role"]), "content": str(m["content"])} for m in entry["messages"])
    if not files or not messages:
        raise ValueError("an exchange has no files or no messages")
    name = str(entry.get("id", "")) or next(iter(files.values())).name.split(".")[0]
    if not _ID.fullmatch(name):
        raise ValueError(f"{name[:40]!r} is no id")
    runs = {model: wb.open(file) for model, file in files.items()}
    return Recorded(str(entry["title"]), messages, runs, name)
