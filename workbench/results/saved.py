"""Any result in one file: safetensors, with the record as JSON in its header. Read with limits and full checks."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from workbench.errors import FileFormatError
from workbench.models.given import path_given
from workbench.models.tensor_file import write_tensor_file
from workbench.results.codec import decode, encode

KEY = "mistral-workbench.result"
SCHEMA = 1
LARGEST_FILE = 8 * 1024**3
LARGEST_RECORD = 64 * 1024**2
KINDS = {
    "Ablation": "context.ablation",
    "Answers": "behaviour.answers",
    "CacheFindings": "cache_lab.result",
    "Changes": "comparison.changes",
    "Comparison": "comparison.comparison",
    "Evaluation": "behaviour.harness",
    "Factorial": "comparison.factorial_result",
    "Grid": "context.grid",
    "Guarded": "behaviour.guarded",
    "IdentityCard": "facts.card",
    "InductionCurve": "context.induction",
    "Inspection": "inspection.inspection",
    "LossByPosition": "context.loss",
    "Mechanism": "context.mechanism",
    "MemoryPlan": "planning.memory",
    "Moderation": "behaviour.moderation",
    "PromptCosts": "facts.prompt_costs",
    "PromptLab": "facts.prompt_lab",
    "Reach": "context.reach",
    "RetrievalHeads": "context.retrieval_heads",
    "TextComparison": "comparison.text_result",
    "Verdicts": "behaviour.judge",
    "Votes": "behaviour.votes",
}
"""Every result and the module of the workbench that has it: a file names a kind of this list, never a module."""
_AGAIN = "Save the result again, or copy the file again"


def save_result(result: Any, path: str | Path) -> Path:
    """Write ``result`` to ``path``; the file appears whole or not at all. FileFormatError when it cannot be."""
    arrays: dict[str, Any] = {}
    record = {"schema_version": SCHEMA, "kind": type(result).__name__, "fields": encode(result, arrays)}
    return write_tensor_file(path, arrays, {KEY: json.dumps(record, ensure_ascii=False)})


def open_result(path: str | Path, kind: type | None = None) -> Any:
    """The result in the file at ``path``: an `Inspection`, or what any other result's ``save`` wrote. ``kind``: the
    class that is expected.

    Raises FileFormatError when it is missing, damaged, too large, no result, or one of another kind.
    """
    path = path_given(path)
    if path.is_dir():
        raise FileFormatError(
            f"{path.name} is a folder", expected="a file written by a result's save",
            remedy="Folders of studies are read by Grid.open and Answers.read",
        )  # fmt: skip
    text, arrays = _read(path)
    if text is None:  # an inspection, or nothing of ours: its own reader says which
        found = importlib.import_module("workbench.inspection.storage").open_inspection(path)
        return _of(found, kind, path.name)
    record = _record(text, path.name)
    made = class_of(record["kind"])
    if kind is not None and made is not kind:
        raise FileFormatError(f"{path.name} holds the kind {record['kind']}", expected=kind.__name__)
    try:
        result = decode(made, record["fields"], arrays)
        repr(result), result._repr_html_(), result.to_dataframe()  # what it says of itself must hang together
    except Exception as error:  # a damaged record breaks in as many ways as there are fields
        why = str(error).split("\n")[0][:120]
        raise FileFormatError(f"{path.name} contradicts itself: {why}", remedy=_AGAIN) from None
    return result


def class_of(kind: str) -> Any:
    """The result class of that name."""
    return getattr(importlib.import_module(f"workbench.{KINDS[kind]}"), kind)


def _of(found: Any, kind: type | None, name: str) -> Any:
    if kind is not None and not isinstance(found, kind):
        raise FileFormatError(f"{name} holds the kind {type(found).__name__}", expected=kind.__name__)
    return found


def _read(path: Path) -> tuple[str | None, dict[str, Any]]:
    """The record and arrays of a result's file; (None, {}) for every other file."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise FileFormatError(f"{path.name} is too large", expected=f"at most {LARGEST_FILE // 1024**3} GiB")
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(KEY)
            if text is None:
                return None, {}
            if len(text) > LARGEST_RECORD:
                raise FileFormatError(f"The record of {path.name} is too large", expected="at most 64 MiB")
            return text, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        if isinstance(error, FileFormatError):
            raise
        return None, {}


def _record(text: str, name: str) -> dict[str, Any]:
    try:
        record = json.loads(text)
        json.dumps(record, ensure_ascii=False).encode()  # a lone surrogate can be neither shown nor written again
    except (ValueError, RecursionError):
        raise FileFormatError(f"The record of {name} is damaged", remedy=_AGAIN) from None
    found = record.get("schema_version") if isinstance(record, dict) else None
    if found != SCHEMA:
        raise FileFormatError(
            f"{name} has format version {str(found)[:40]}", expected=f"version {SCHEMA}",
            remedy="Open it with the version of the workbench that wrote it",
        )  # fmt: skip
    if record.get("kind") not in KINDS or "fields" not in record:
        raise FileFormatError(f"{name} holds a {str(record.get('kind'))[:40]!r}", expected=f"one of {', '.join(KINDS)}")
    return record  # type: ignore[no-any-return]
