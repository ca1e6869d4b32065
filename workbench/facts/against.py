"""A checkpoint beside another one that is only read, not loaded: config fields, tokenizer, template, tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from workbench.chat.stated_template import stated_template
from workbench.errors import OfflineError
from workbench.models.architecture import ABSENT, read_theta, read_window, theta_text
from workbench.models.checkpoint import open_checkpoint, read_json_object
from workbench.models.hub import folder_of
from workbench.models.registry import resolve
from workbench.models.tensor_hashes import read_register, read_tensors
from workbench.models.tokenizer import load_tokenizer

_IDLE = ("transformers_version", "_name_or_path", "rope_theta", "rope_parameters", "rope_scaling", "torch_dtype")
"""Fields that say nothing about the model, or that are read under one name whatever their spelling."""


@dataclass(frozen=True)
class Other:
    """Another checkpoint as a reference. ``fields``: of its config, by name. ``tensors``: hashes by name; None where
    they are not known here."""

    name: str
    fields: dict[str, str]
    tensors: dict[str, str] | None


@dataclass(frozen=True)
class Contrast:
    """Where a checkpoint differs from the one called ``other``: rows (field, here, there). ``compared`` fields were
    looked at."""

    other: str
    compared: int
    rows: tuple[tuple[str, str, str], ...]

    def table(self) -> pd.DataFrame:
        """By field: here, there."""
        return pd.DataFrame(self.rows, columns=["field", "here", "there"]).set_index("field")

    def __str__(self) -> str:
        if not self.rows:
            return f"all {self.compared} fields as in {self.other}"
        named = ", ".join(f"{name} is {here}, {there} in {self.other}" for name, here, there in self.rows[:4])
        return named + (f" and {len(self.rows) - 4} more" if len(self.rows) > 4 else "")


def read_other(name: str | Path) -> Other:
    """A reference by name: a twin, a folder, or a hub model whose files are in the local cache. Of v0.1 and v0.2 window
    and theta are known without files, their tensors are not. Its tensors come from the register beside the
    weights where there is one, else every byte is read. Raises WorkbenchError for what is not here."""
    spec = resolve(str(name))
    try:
        folder = folder_of(spec)
    except OfflineError:
        if not spec.checked:
            raise
        known = {"sliding_window": _said(spec.window), "rope theta": theta_text(spec.theta or ABSENT)}
        return Other(spec.name, known, None)
    checkpoint = open_checkpoint(folder)
    tensors = read_register(folder) or {one.name: one.sha256 for one in read_tensors(checkpoint.files)}
    return Other(spec.name, fields_of(folder), tensors)


def fields_of(folder: Path) -> dict[str, str]:
    """What config.json, generation_config.json and the tokenizer of a folder state, as text by field. "absent" and
    "null" are told apart; theta is read under one name whatever its spelling."""
    raw = read_json_object(folder / "config.json")
    found = {name: _said(value) for name, value in _flat(raw) if name.partition(".")[0] not in _IDLE}
    found["dtype"] = _said(raw.get("dtype", raw.get("torch_dtype", "absent")))
    found["sliding_window"], found["rope theta"] = _said(read_window(raw)), theta_text(read_theta(raw))
    settings = folder / "generation_config.json"
    if settings.is_file():
        given = read_json_object(settings)
        found |= {f"generation {name}": _said(value) for name, value in _flat(given) if name not in _IDLE}
    tokenizer = load_tokenizer(folder)
    found["tokenizer sha256"] = tokenizer.sha256[:16]
    found["chat template"] = str(stated_template(tokenizer))
    if tokenizer.chat_template is not None:
        found["chat template sha256"] = hashlib.sha256(tokenizer.chat_template.encode()).hexdigest()[:16]
    return dict(sorted(found.items()))


def contrast(fields: Mapping[str, str], other: Other) -> Contrast:
    """The fields that differ; of a reference that knows only some, those are compared."""
    partial = other.tensors is None
    names = list(other.fields) if partial else sorted({*fields, *other.fields})
    rows = [(name, fields.get(name, "absent"), other.fields.get(name, "absent")) for name in names]
    return Contrast(other.name, len(names), tuple(row for row in rows if row[1] != row[2]))


def _flat(raw: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, value in raw.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", value))
    return rows


def _said(value: Any) -> str:
    if value is None:
        return "null"
    return f"{value:g}" if isinstance(value, float) else str(value)
