"""Recorded exchanges: real captures of the shipped twins that a page opens with, before anything is computed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import workbench as wb
from workbench.errors import FileFormatError, WorkbenchError
from workbench.models.registry import assets_folder


@dataclass(frozen=True)
class Recorded:
    """One prompt, its messages ending with the question, and the runs that answered it by model name."""

    title: str
    messages: tuple[dict[str, str], ...]
    runs: dict[str, wb.Inspection]


def recorded_folder() -> Path:
    """Where the shipped exchanges lie."""
    return assets_folder() / "recorded"


def read_exchange(folder: Path | None = None, which: int = 0) -> Recorded | None:
    """Exchange number ``which`` of the folder's index.json; None when nothing is recorded there. Raises
    FileFormatError when the index or a file of it cannot be read."""
    folder = folder or recorded_folder()
    index = folder / "index.json"
    if not index.is_file():
        return None
    try:
        entry = json.loads(index.read_text(encoding="utf-8"))["exchanges"][which]
        files = {str(name): folder / Path(str(file)).name for name, file in entry["files"].items()}
        messages = tuple({"role": str(m["role"]), "content": str(m["content"])} for m in entry["messages"])
        return Recorded(str(entry["title"]), messages, {name: wb.open(file) for name, file in files.items()})
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise FileFormatError(
            f"the list of recorded exchanges is malformed ({error})",
            remedy="Record them again: python -m apps.studio.record",
        ) from None


def opening(folder: Path | None = None) -> Recorded | None:
    """The exchange a page opens with; a broken one costs a line in the log, not the page."""
    try:
        return read_exchange(folder)
    except WorkbenchError as error:
        print(f"No recorded exchange: {error}")
        return None
