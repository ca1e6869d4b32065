"""The tensors of a checkpoint, one by one: as published or altered, and what looks wrong without any reference."""

from __future__ import annotations

import math
import statistics
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from workbench.errors import WorkbenchError
from workbench.models.checkpoint import Checkpoint
from workbench.models.tensor_hashes import TensorRecord, read_register, read_tensors

OUT_OF_LINE = 4.0
"""A matrix is named when its root mean square is this many times above or below the median of its kind's layers."""
_NAMED = 3  # tensors named in a sentence


@dataclass(frozen=True)
class TensorReport:
    """Every stored tensor of a checkpoint (`TensorRecord`), beside the hashes of ``reference`` ("" where none are
    known): names ``altered``, ``missing`` here, and ``added`` here."""

    records: tuple[TensorRecord, ...]
    reference: str = ""
    altered: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    added: tuple[str, ...] = ()

    @property
    def same(self) -> bool | None:
        """Whether all tensors are the reference's; None without one."""
        return not (self.altered or self.missing or self.added) if self.reference else None

    @property
    def oddities(self) -> tuple[str, ...]:
        """What looks wrong without a reference, a sentence each: numbers that are not finite, tensors of nothing but
        zeros, matrices stored twice, root mean squares out of line with the same matrix in other layers, dtypes mixed.
        """
        found = []
        for one in self.records:
            if one.not_finite:
                found.append(f"{one.name} holds {one.not_finite:,} numbers that are not finite")
            elif one.largest == 0:
                found.append(f"{one.name} is all zeros")
        return (*found, *self._doubled(), *self._out_of_line(), *self._mixed())

    def _doubled(self) -> list[str]:
        by_hash: dict[str, list[str]] = defaultdict(list)
        for one in self.records:
            if len(one.shape) == 2 and one.largest > 0:  # fresh norms are all ones: alike, and nothing wrong
                by_hash[one.sha256].append(one.name)
        return [f"{_some(names)} are the same numbers" for names in by_hash.values() if len(names) > 1]

    def _out_of_line(self) -> list[str]:
        kinds: dict[str, list[TensorRecord]] = defaultdict(list)
        for one in self.records:
            if len(one.shape) == 2 and ".layers." in one.name and one.rms > 0:
                kinds[one.name.split(".layers.")[1].partition(".")[2]].append(one)
        found = []
        for layers in kinds.values():
            middle = statistics.median(one.rms for one in layers)
            for one in layers:
                ratio = one.rms / middle
                if len(layers) > 2 and math.isfinite(ratio) and not 1 / OUT_OF_LINE <= ratio <= OUT_OF_LINE:
                    found.append(f"{one.name} has a root mean square of {one.rms:.3g}, {middle:.3g} is usual")
        return found

    def _mixed(self) -> list[str]:
        kinds = Counter(one.dtype for one in self.records)
        if len(kinds) < 2:
            return []
        return ["dtypes are mixed: " + ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())]

    def __str__(self) -> str:
        count = len(self.records)
        if not self.reference:
            return f"{count} tensors; no published hashes are known here"
        if self.same:
            return f"all {count} tensors as in {self.reference}"
        if len(self.altered) == count:
            return f"all {count} tensors differ from {self.reference}: other weights, or another dtype"
        parts = [("altered", self.altered), ("missing", self.missing), ("added", self.added)]
        said = ", ".join(f"{word}: {_some(names)}" for word, names in parts if names)
        return f"{said}; {count - len(self.altered) - len(self.added)} of {count} as in {self.reference}"

    def table(self) -> pd.DataFrame:
        """By tensor: dtype, shape, numbers, root mean square, largest magnitude, numbers not finite, sha256, and
        state ("as published", "altered", "added"; "" without a reference)."""
        rows = [
            (r.name, r.dtype, " x ".join(map(str, r.shape)), r.count, r.rms, r.largest, r.not_finite, r.sha256,
             self.state(r.name))
            for r in self.records
        ]  # fmt: skip
        columns = ["tensor", "dtype", "shape", "numbers", "rms", "largest", "not_finite", "sha256", "state"]
        return pd.DataFrame(rows, columns=columns).set_index("tensor")

    def state(self, name: str) -> str:
        """ "as published", "altered" or "added"; "" without a reference."""
        if not self.reference:
            return ""
        return "altered" if name in self.altered else "added" if name in self.added else "as published"


def tensor_report(
    records: tuple[TensorRecord, ...], reference: Mapping[str, str] | None = None, source: str = ""
) -> TensorReport:
    """The `TensorReport` of these records beside the hashes ``reference`` of ``source``."""
    if reference is None:
        return TensorReport(records)
    here = {one.name: one.sha256 for one in records}
    return TensorReport(
        records, source,
        tuple(name for name in here if name in reference and reference[name] != here[name]),
        tuple(name for name in reference if name not in here),
        tuple(name for name in here if name not in reference),
    )  # fmt: skip


def reading(checkpoint: Checkpoint, stop: threading.Event | None = None) -> Generator[TensorRecord, None, None]:
    """The records of a checkpoint one by one, all its bytes read; ends with WorkbenchError when ``stop`` is set."""
    for record in read_tensors(checkpoint.files):
        if stop is not None and stop.is_set():
            raise WorkbenchError("The check of tensors was stopped", remedy="Start it again")
        yield record


def check_tensors(
    checkpoint: Checkpoint, reference: Mapping[str, str] | None = None, source: str = "",
    stop: threading.Event | None = None, progress: Callable[[int, int], None] | None = None,
) -> TensorReport:  # fmt: skip
    """Read every tensor and compare it with ``reference``; by default with the register beside the weights, where one
    is. ``progress`` is told how many of how many tensors are read."""
    if reference is None:
        reference, source = own_register(checkpoint.folder)
    records = []
    for record in reading(checkpoint, stop):
        records.append(record)
        if progress is not None:
            progress(len(records), len(checkpoint.shapes))
    return tensor_report(tuple(records), reference, source)


def own_register(folder: Path) -> tuple[dict[str, str] | None, str]:
    """The hashes recorded beside the weights when they were published, and how to call them."""
    found = read_register(folder)
    return found, "the register beside the weights" if found is not None else ""


def _some(names: tuple[str, ...] | list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
