"""What a caller gives, checked where it comes in: the path of a file or folder, a loaded model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from workbench.errors import FileFormatError, UnknownModelError


def path_given(value: Any, what: str = "file") -> Path:
    """``value`` as the path of a ``what``. Raises FileFormatError for all that names none: None, a number, no text."""
    if isinstance(value, str | os.PathLike) and str(value) and "\0" not in str(value):
        return Path(value)
    raise FileFormatError(f"{repr(value)[:60]} names no {what}", expected=f"the path of a {what}, as text or a Path")


def models_given(*values: Any) -> None:
    """Raises UnknownModelError for a value that is no loaded model, a model's name among them."""
    for value in values:
        if not hasattr(value, "generate"):
            said = repr(value)[:60] if isinstance(value, str | int | float | None) else f"A {type(value).__name__}"
            raise UnknownModelError(f"{said} is no loaded model", expected='a model of wb.load("...")')
