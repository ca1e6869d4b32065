"""Every tensor of a checkpoint: its hash, and what can be said of its numbers without a reference.

Files are read in blocks of 8 MiB, so a checkpoint of any size takes the same memory.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from workbench.errors import CheckpointError
from workbench.models.checkpoint import read_json_object

REGISTER = "tensors.json"
"""The file beside the weights that holds the hashes of a published checkpoint."""
_FORMAT = 1
_BLOCK = 8 * 2**20
_KINDS: dict[str, np.dtype[Any]] = {"BF16": np.dtype("<u2"), "F16": np.dtype("<f2"), "F32": np.dtype("<f4")}


@dataclass(frozen=True)
class TensorRecord:
    """One stored tensor. ``sha256`` covers dtype, shape and every byte; ``rms`` is the root of the mean square and
    ``largest`` the largest magnitude of its finite numbers; ``not_finite`` counts NaN and infinities."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    sha256: str
    rms: float
    largest: float
    not_finite: int

    @property
    def count(self) -> int:
        """Numbers in the tensor."""
        return math.prod(self.shape)


def read_tensors(files: Iterable[Path]) -> Iterator[TensorRecord]:
    """The `TensorRecord` of every tensor in these safetensors files, one after the other, in the order of their bytes.
    Raises CheckpointError for a file that is cut short. Tensors of other dtypes than the three that load are hashed
    without a look at their numbers (rms NaN)."""
    for file in files:
        try:
            with file.open("rb") as stream:
                length = int.from_bytes(stream.read(8), "little")
                if length > 100 * 2**20:  # safetensors' own limit
                    raise ValueError("its header is too long")
                header = json.loads(stream.read(length))
                entries = [(name, entry) for name, entry in header.items() if name != "__metadata__"]
                for name, entry in sorted(entries, key=lambda one: one[1]["data_offsets"]):
                    yield _record(name, entry, stream, 8 + length)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"{file} is damaged or cut short ({error})", expected="a complete safetensors file",
                remedy="Download it again",
            ) from None  # fmt: skip


def _record(name: str, entry: Mapping[str, Any], stream: BinaryIO, start: int) -> TensorRecord:
    begin, end = entry["data_offsets"]
    dtype, shape = str(entry["dtype"]), tuple(int(size) for size in entry["shape"])
    digest = hashlib.sha256(f"{dtype} {list(shape)}\n".encode())
    kind = _KINDS.get(dtype)
    square, largest, finite, seen = 0.0, 0.0, 0, 0
    stream.seek(start + begin)
    while seen < end - begin:
        block = stream.read(min(_BLOCK, end - begin - seen))
        if not block:
            raise ValueError(f"{name} ends after {seen} of {end - begin} bytes")
        seen += len(block)
        digest.update(block)
        if kind is not None:
            values = np.frombuffer(block, kind)
            # bfloat16 is the upper half of a float32.
            numbers = (values.astype(np.uint32) << 16).view(np.float32) if dtype == "BF16" else values.astype("f4")
            good = np.isfinite(numbers)
            if not good.all():
                numbers = numbers[good]
            finite += numbers.size
            if numbers.size:
                square += float(np.square(numbers, dtype=np.float64).sum())
                largest = max(largest, float(np.abs(numbers).max()))
    count = math.prod(shape)
    rms = math.nan if kind is None else math.sqrt(square / finite) if finite else 0.0
    return TensorRecord(
        name, dtype, shape, digest.hexdigest(), rms, largest, 0 if kind is None else count - finite
    )  # fmt: skip


def write_register(folder: Path, records: Iterable[TensorRecord]) -> Path:
    """Write the hashes as tensors.json beside the weights; the path."""
    path = folder / REGISTER
    hashes = {record.name: record.sha256 for record in records}
    path.write_text(json.dumps({"format": _FORMAT, "sha256": dict(sorted(hashes.items()))}, indent=1) + "\n")
    return path


def read_register(folder: Path) -> dict[str, str] | None:
    """The hashes by tensor name as recorded in the folder; None where there is no register. Raises CheckpointError for
    a malformed one."""
    path = folder / REGISTER
    if not path.is_file():
        return None
    raw = read_json_object(path)
    hashes = raw.get("sha256")
    if raw.get("format") != _FORMAT or not isinstance(hashes, dict) or not all(map(_is_hash, hashes.values())):
        raise CheckpointError(
            f"{path} is no register of tensors", expected=f"format {_FORMAT} with a sha256 for each tensor",
            remedy="Take it again from its source, or delete it",
        )  # fmt: skip
    return {str(name): value for name, value in hashes.items()}


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64
