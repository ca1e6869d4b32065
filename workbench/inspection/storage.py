"""One file an inspection: safetensors, with the record as JSON in its header. Read with limits and full checks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from workbench.capture.pooling import SAMPLED, STATISTICS
from workbench.errors import FileFormatError
from workbench.inspection.inspection import Inspection
from workbench.inspection.kv_cache import LATER, contradiction
from workbench.inspection.record import SCHEMA, Record
from workbench.models.given import path_given
from workbench.models.tensor_file import write_tensor_file

KEY = "mistral-workbench.inspection"
LARGEST_FILE = 8 * 1024**3
LARGEST_RECORD = 64 * 1024**2

# The dimensions of every array a file may hold; equal letters must have equal sizes throughout the file.
# T tokens, N generated, P read by the model, L/H captured layers and heads, R rows, B blocks, K stored key heads,
# D head size, E lens layers, Q lens positions, k lens tokens, n tokens a step, C cache layers, V cache heads, S cached,
# G steps of the cache's growth.
_SHAPES: dict[str, str] = {
    "ids": "T",
    **{f"steps.{name}": "N" for name in ("position", "token_id", "logprob", "rank", "entropy", "seconds")},
    "steps.top_ids": "Nn",
    "steps.top_logprobs": "Nn",
    "attention.rows": "LHRP",
    "attention.row_positions": "R",
    "attention.map": "LHBB",
    "attention.max_map": "LHBB",
    "attention.received": "LHP",
    **{f"attention.{name}": "LHB" for name in STATISTICS},
    **{f"attention.{name}_share": "B" for name in ("induction", "copying")},
    **{f"attention.{name}_error": "LH" for name in SAMPLED},
    "attention.queries": "LHPD",
    "attention.keys": "LKPD",
    "attention.lse": "LHP",
    "lens.positions": "Q",
    "lens.target_ids": "Q",
    "lens.top_ids": "EQk",
    "lens.top_logprobs": "EQk",
    **{f"lens.{name}": "EQ" for name in ("entropy", "kl", "target_rank", "target_logprob")},
    **{f"lens.block_{name}": "Eb" for name in ("entropy", "target_logprob", "target_rank")},
    "lens.block_counts": "b",
    "attribution.positions": "A",
    **{f"attribution.{name}": "Aa" for name in ("token_ids", "logit", "embedding")},
    **{f"attribution.{name}": "MAa" for name in ("attention", "mlp")},
    "attribution.heads": "MhAa",
    **{f"kv_cache.{name}": "C" for name in ("bytes", "logical_length", "physical_length", "capacity")},
    "kv_cache.kept": "CVS",
    "kv_cache.key_norm": "CVS",
    "kv_cache.value_norm": "CVS",
    "kv_cache.allocated": "C",
    **{f"kv_cache.{name}": "GC" for name in ("growth_bytes", "growth_allocated", "growth_logical", "growth_physical")},
}
_OPTIONAL = ("attribution.heads", "kv_cache.kept", *LATER)
_LARGEST = 2**31 - 1
_MOST_LAYERS = 4096  # of layers or heads; views divide their budgets by them
_WHOLE = ("ids", "positions", "position", "token_id", "rank", "top_ids", "row_positions", "target_ids", "target_rank",
          "bytes", "logical_length", "physical_length", "capacity", "block_counts", "token_ids", "kept",
          "allocated", "growth_bytes", "growth_allocated", "growth_logical", "growth_physical")  # fmt: skip


def save(inspection: Inspection, path: str | Path) -> Path:
    """Write ``inspection`` to ``path``; the file appears whole or not at all. FileFormatError when it cannot be."""
    return write_tensor_file(path, inspection.arrays, {KEY: inspection.record.model_dump_json()})


def open_inspection(path: str | Path) -> Inspection:
    """The inspection in the file at ``path``; FileFormatError when it is missing, damaged, too large or not one."""
    path = path_given(path)
    if not path.is_file():
        raise FileFormatError(f"There is no file {path.name}", remedy="Check the path")
    if path.stat().st_size > LARGEST_FILE:
        raise FileFormatError(f"{path.name} is too large", expected=f"at most {LARGEST_FILE // 1024**3} GiB")
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(KEY)
            if text is None:
                raise FileFormatError(
                    f"{path.name} is a safetensors file but no inspection", expected="a file written by Inspection.save"
                )
            if len(text) > LARGEST_RECORD:
                raise FileFormatError(f"The record of {path.name} is too large", expected="at most 64 MiB")
            unknown = sorted(set(file.keys()) - set(_SHAPES))
            if unknown:
                raise FileFormatError(f"{path.name} holds an unknown array {unknown[0][:40]!r}", remedy=_AGAIN)
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(
            f"{path.name} is truncated, damaged or no inspection",
            expected="a file written by Inspection.save",
            remedy=_AGAIN,
        ) from None
    return Inspection(_record(text, path.name, arrays), arrays)


_AGAIN = "Save the inspection again, or copy the file again"


def _record(text: str, name: str, arrays: dict[str, np.ndarray]) -> Record:
    try:
        fields = json.loads(text)
        found = fields.get("schema_version") if isinstance(fields, dict) else None
        if found != SCHEMA:
            raise FileFormatError(
                f"{name} has format version {found!r}", expected=f"version {SCHEMA}",
                remedy="Open it with the version of the workbench that wrote it",
            )  # fmt: skip
        record = Record.model_validate(fields)
        json.dumps(fields, ensure_ascii=False).encode()  # a lone surrogate can be neither shown nor written again
    except FileFormatError:
        raise
    except (ValueError, RecursionError):  # no JSON, numbers of thousands of digits, fields of wrong types
        raise FileFormatError(f"The record of {name} is damaged", remedy=_AGAIN) from None
    if problem := _disagreement(record, arrays):
        raise FileFormatError(f"{name} contradicts itself: {problem}", remedy=_AGAIN)
    return record


def _disagreement(record: Record, arrays: dict[str, np.ndarray]) -> str | None:
    """The first way in which the arrays disagree with each other or with the record; None when all agree."""
    sizes: dict[str, int] = {}
    for name, values in arrays.items():
        letters = _SHAPES[name]
        if values.ndim != len(letters):
            return f"{name} has {values.ndim} dimensions, not {len(letters)}"
        kind = "iu" if name.rsplit(".", 1)[-1] in _WHOLE else "f"
        if values.dtype.kind not in kind:
            return f"{name} is of type {values.dtype}"
        for letter, size in zip(letters, values.shape, strict=True):
            if sizes.setdefault(letter, size) != size:
                return f"{name} is {values.shape}, which does not fit the other arrays"
    needed = [name for name in _SHAPES if name == "ids" or name.startswith("steps.")]
    if record.lens is not None:
        needed += [name for name in _SHAPES if name.startswith("lens.") and not name.startswith("lens.block_")]
    for part in ("lens.block_", "kv_cache.", "attribution."):
        if any(name.startswith(part) for name in arrays):
            needed += [name for name in _SHAPES if name.startswith(part) and name not in _OPTIONAL]
    if any(name in arrays for name in LATER):
        needed += LATER
    pairs = [("rows", "row_positions"), ("queries", "keys"), ("queries", "lse")]
    summed = (*STATISTICS, "induction_share", "copying_share")
    both = [pair for name in summed for pair in (("received", name), (name, "received"))]
    for first, second in [*pairs, ("max_map", "map"), *both]:
        if f"attention.{first}" in arrays:
            needed.append(f"attention.{second}")
    if missing := [name for name in needed if name not in arrays]:
        return f"{missing[0]} is missing"
    total, new = sizes["T"], sizes["N"]
    counts = {"tokens": total, "roles": total, "spans": total, "step_texts": new}
    for field, size in counts.items():
        if len(getattr(record, field)) != size:
            return f"{field} has {len(getattr(record, field))} entries, not {size}"
    if record.prompt_length + new != total or max(sizes.get(letter, 0) for letter in "PSB") > total:
        return "the lengths of prompt and reply do not add up"
    if record.given > new:
        return f"{record.given} tokens were given for a reply of {new}"
    return (
        _bad_model(record.model)
        or _bad_provenance(record.provenance)
        or _bad_facts(record, sizes)
        or _bad_sample(record, arrays)
        or _bad_positions(arrays, total)
        or contradiction(arrays, record.model, total, new, sizes.get("P"))
    )


def disagreement(inspection: Inspection) -> str | None:
    """What is wrong with an inspection that was read as a part of another file; None for a sound one."""
    if unknown := sorted(set(inspection.arrays) - set(_SHAPES)):
        return f"there is an unknown array {unknown[0][:40]!r}"
    return _disagreement(inspection.record, dict(inspection.arrays))


def _bad_model(model: dict[str, Any]) -> str | None:
    """What views and captions read of the model."""
    for field in ("name", "dtype", "device"):
        if not isinstance(model.get(field), str):
            return f"the model has no {field}"
    for field, most in (("layers", _MOST_LAYERS), ("heads", _MOST_LAYERS), ("kv_heads", _MOST_LAYERS),
                        ("context", _LARGEST), ("kv_bytes_per_token", _LARGEST), ("window", _LARGEST)):  # fmt: skip
        value = model.get(field)
        if not _counts(value, 1, most) and not (field == "window" and "window" in model and value is None):
            return f"the model's {field} is {repr(value)[:40]}"
    if not _number(model.get("theta")):
        return "the model has no theta"
    if model["heads"] % model["kv_heads"]:
        return f"{model['heads']} heads cannot share {model['kv_heads']} key-value heads"
    switches = model.get("switches", {})
    if not isinstance(switches, dict) or any(
        not _heads(value, model) if name == "silent" else name not in ("window", "theta") or value != model[name]
        for name, value in switches.items()
    ):
        return "the model's switches are not what it was run with"
    return None


def _heads(found: Any, model: dict[str, Any]) -> bool:
    """Whether ``found`` are heads [layer, head] of the model."""
    return isinstance(found, list) and all(
        isinstance(one, list)
        and len(one) == 2
        and _counts(one[0], 0, model["layers"] - 1)
        and _counts(one[1], 0, model["heads"] - 1)
        for one in found
    )


def _bad_provenance(found: dict[str, Any]) -> str | None:
    """What reports and the command line read of the settings."""
    settings, versions = found.get("settings", {}), found.get("versions", {})
    if not isinstance(settings, dict) or not isinstance(versions, dict):
        return "the provenance is incomplete"
    policy = settings.get("cache", "")
    if not isinstance(policy, str) or len(policy) > 80:
        return "the cache policy is no text"
    sampling = settings.get("sampling")
    if sampling is None:
        return None
    if not isinstance(sampling, dict) or not all(_number(sampling.get(name)) for name in ("temperature", "seed")):
        return "the sampling settings are incomplete"
    return None


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1e30


def _counts(value: Any, least: int, most: int = _LARGEST) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _indices(values: Any, size: int) -> bool:
    """A list of whole numbers below ``size``, ascending, none twice."""
    if not isinstance(values, list) or not all(_counts(value, 0, size - 1) for value in values):
        return False
    return values == sorted(set(values))


def _bad_facts(record: Record, sizes: dict[str, int]) -> str | None:
    facts: dict[str, Any] | None = record.attention
    if facts is not None:
        for field, letter in (("layers", "L"), ("heads", "H")):
            listed = facts.get(field)
            if not isinstance(listed, list) or not listed or not _indices(listed, record.model[field]):
                return f"attention {field} are no list of the model's {field}"
            if sizes.get(letter, len(listed)) != len(listed):
                return f"attention {field} do not fit the arrays"
        window = 1 if facts.get("window") is None else facts["window"]
        whole = [facts.get("block"), facts.get("group"), window]
        if not all(_counts(value, 1) for value in whole) or not isinstance(facts.get("scale"), float):
            return "the attention facts are incomplete"
        if {"B", "P"} <= set(sizes) and sizes["B"] != -(-sizes["P"] // facts["block"]):
            return "the blocks of the attention do not fit the text"
        if facts["group"] != record.model["heads"] // record.model["kv_heads"]:
            return "the attention's groups are not the model's"
        meaning = facts.get("meaning")
        if (
            not isinstance(meaning, dict)
            or not {"sink_tokens", "recent"} <= set(meaning)
            or not all(_counts(value, 1) for value in meaning.values())
        ):
            return "the attention facts are incomplete"
        if "K" in sizes and facts["heads"] and max(facts["heads"]) // facts["group"] >= sizes["K"]:
            return "attention heads do not fit the stored keys"
    if record.lens is not None:
        layers = record.lens.get("layers")
        if not layers or not _indices(layers, record.model["layers"] + 1) or len(layers) != sizes.get("E"):
            return "lens layers do not fit the arrays"
        block, tuned = record.lens.get("block"), record.lens.get("translators")
        if not (tuned is None or isinstance(tuned, str)) or not (block is None or _counts(block, 1)):
            return "the lens facts are incomplete"
    if "b" in sizes and (record.lens is None or not block or sizes["b"] != -(-sizes["T"] // block)):
        return "the blocks of the lens do not fit the text"
    for letter, noun in (("M", "layers"), ("h", "heads")):
        if sizes.get(letter, record.model[noun]) != record.model[noun]:
            return f"the {noun} of the attribution are not the model's"
    return None


def _bad_sample(record: Record, arrays: dict[str, np.ndarray]) -> str | None:
    errors = any(f"attention.{name}_error" in arrays for name in SAMPLED)
    if errors and (record.attention is None or "sample" not in record.attention["meaning"]):
        return "there are errors of a sample, but no sample"
    return None


def _bad_positions(arrays: dict[str, np.ndarray], total: int) -> str | None:
    for name in ("attention.row_positions", "lens.positions", "attribution.positions", "steps.position"):
        values = arrays.get(name)
        if values is not None and len(values) and (values.min() < 0 or values.max() >= total):
            return f"{name} lie outside the text"
    return None
