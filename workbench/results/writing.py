"""Writing a text file so that it appears whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from workbench.errors import FileFormatError
from workbench.models.given import path_given


def write_text(path: str | Path, text: str) -> Path:
    """Write ``text`` in UTF-8 to ``path``, whose folder is made where it is missing; nothing is left half written.
    FileFormatError when it cannot be written."""
    target, name = path_given(path), None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(name, 0o644)
        os.replace(name, target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise FileFormatError(
            f"{target.name or target} cannot be written: {reason}", remedy="Choose another place"
        ) from None
    finally:
        if name is not None:
            Path(name).unlink(missing_ok=True)
    return target
