"""Writing a safetensors file so that it appears whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from workbench.errors import FileFormatError
from workbench.models.checkpoint import first_line
from workbench.models.given import path_given


def write_tensor_file(path: str | Path, arrays: Mapping[str, np.ndarray], metadata: dict[str, str]) -> Path:
    """Write ``arrays`` and the text ``metadata`` of the header to ``path``, which comes back. FileFormatError when it
    cannot be written; nothing is left half written."""
    path = path_given(path)
    if not path.parent.is_dir():
        raise FileFormatError(f"The folder of {path.name} does not exist", remedy="Create it or choose another one")
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        save_file({name: np.ascontiguousarray(values) for name, values in arrays.items()}, temporary, metadata=metadata)
        os.chmod(temporary, 0o644)  # mkstemp makes files that only their owner reads
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise FileFormatError(f"{path.name} cannot be written: {reason}", remedy="Choose another place") from None
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
    return path
