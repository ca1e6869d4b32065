"""The files a command reads and writes: prompts, reports, inspections. Nothing is left half written."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from workbench.errors import PromptError, WorkbenchError

if TYPE_CHECKING:
    from workbench.inspection.inspection import Inspection


def question(prompt: str | None, prompt_file: str | None) -> str:
    """The prompt, from the option or the file; PromptError when there is none, or two."""
    if (prompt is None) == (prompt_file is None):
        what = "no prompt" if prompt is None else "two prompts"
        raise PromptError(what, expected='--prompt "..." or --prompt-file FILE')
    if prompt_file is None:
        text = prompt or ""
    else:
        try:
            raw = sys.stdin.buffer.read() if prompt_file == "-" else Path(prompt_file).read_bytes()
            text = raw.decode("utf-8-sig").rstrip("\r\n")
        except UnicodeDecodeError:
            raise PromptError(f"{prompt_file} is not UTF-8 text", remedy="Save it as UTF-8") from None
        except OSError as error:
            raise PromptError(f"{prompt_file} cannot be read: {error.strerror}") from None
    if not text.strip():
        raise PromptError("the prompt is empty", expected="some text")
    return text


def text(path: Path) -> str:
    """The text in a file; PromptError when it cannot be read, or is empty."""
    try:
        found = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise PromptError(f"{path} cannot be read", expected="a text file in UTF-8") from None
    if not found.strip():
        raise PromptError(f"{path} is empty", expected="some text")
    return found


def texts(path: Path) -> list[Any]:
    """The texts of a JSONL file, or the one in a text file, as `comparison.questions` takes them; PromptError."""
    from workbench.comparison.questions import texts_of

    return list(texts_of(path)) if path.suffix == ".jsonl" else [{"id": path.name, "text": text(path)}]


def prompts(path: Path) -> list[Any]:
    """The texts of a file as `Model.encode` takes them: a text file is one, whatever lines it has; of a JSONL file each
    line is one, {"text": "..."} or {"messages": [...]}. PromptError."""
    from workbench.comparison.questions import texts_of

    return [one.prompt for one in texts_of(texts(path))]


def writable(path: Path | None) -> None:
    """WorkbenchError when a file cannot be written at ``path``, before any time is spent on what goes into it."""
    if path is None:
        return
    if path.is_dir():
        raise WorkbenchError(f"{path} is a folder", expected="a file name")
    if not path.parent.is_dir():
        raise WorkbenchError(
            f"there is no folder {path.parent}", expected="an existing folder", remedy=f"mkdir {path.parent}"
        )
    if not os.access(path.parent, os.W_OK):
        raise WorkbenchError(f"the folder {path.parent} is not writable", remedy="Choose another folder")


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path``: it becomes ``path`` when the block ends well, and vanishes otherwise."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
    os.close(handle)
    try:
        yield Path(name)
        # mkstemp makes files that only their owner reads; a report gets what any new file gets.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


def write(console: Console, found: Inspection, html: Path | None, out: Path | None) -> None:
    """Write the report and the inspection that were asked for, and say so."""
    writers: list[tuple[Path | None, Callable[[Path], object]]] = [(html, found.to_html), (out, found.save)]
    for path, write in writers:
        if path is not None:
            with whole(path) as name:
                write(name)
            console.print(f"Written {path} ({path.stat().st_size / 1024:,.0f} KiB)", markup=False, highlight=False)
