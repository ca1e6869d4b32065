"""A file of JSON lines that only grows: the votes and the judge's verdicts beside the answers of a folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.behaviour.store import mend
from workbench.errors import FileFormatError

MOST_BYTES = 256 * 2**20


def append(path: Path, row: Mapping[str, Any]) -> None:
    """Add one line; it is on the disk when this returns. What a kill cut off before it is dropped. Raises
    FileFormatError where the file cannot be written; the lines before it stay."""
    line = json.dumps(dict(row), ensure_ascii=False, allow_nan=False).encode() + b"\n"
    try:
        with path.open("ab") as file:
            _alone(file.fileno())
            end = mend(path)
            try:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                os.truncate(path, end)
                raise
    except OSError as error:
        raise FileFormatError(
            f"{path} cannot be written ({error.strerror})", remedy="Make room, or choose a folder of your own"
        ) from None


def lines(path: Path, needed: Mapping[str, type]) -> list[dict[str, Any]]:
    """Every whole line that is an object with the keys ``needed``, each of its type; none for a file that is not there.
    Raises FileFormatError for one that cannot be read."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise FileFormatError(f"{path} is too large to read", expected=f"at most {MOST_BYTES >> 20} MiB")
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read ({error.strerror})") from None
    found = []
    for line in data.split(b"\n")[:-1]:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict) and all(isinstance(row.get(key), kind) for key, kind in needed.items()):
            found.append(row)
    return found


def _alone(handle: int) -> None:
    """Two voters may write to one folder: each waits for the other's line."""
    try:
        import fcntl
    except ImportError:  # no such locks on Windows
        return
    fcntl.flock(handle, fcntl.LOCK_EX)
