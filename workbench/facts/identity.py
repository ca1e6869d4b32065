"""The identity card of a model: each fact as its config states it, as the modules hold it, and as probing finds it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.chat.encoding import uses_reference_format
from workbench.chat.stated_template import CHAT, stated_template
from workbench.errors import OfflineError, PromptError
from workbench.facts.against import Contrast, Other, contrast, fields_of, read_other
from workbench.facts.card import Fact, IdentityCard
from workbench.facts.probes import Probe
from workbench.facts.tensors import TensorReport, check_tensors
from workbench.models.architecture import ABSENT, DEFAULT_THETA, DEFAULT_WINDOW, theta_text
from workbench.models.checkpoint import FULL_HASH_BYTES, Checkpoint, open_checkpoint, read_json_object
from workbench.models.hub import folder_of
from workbench.models.registry import resolve

if TYPE_CHECKING:
    from workbench.model import Model

_LICENCES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "license", "license.txt")
_FRONT_LICENCE = re.compile(r"^license:\s*([\w.-]{1,40})\s*$", re.MULTILINE)


def identity(
    model: Model, folder: str | Path | None = None, probes: Sequence[Probe] = (),
    against: str | Path | Other | None = None, tensors: TensorReport | bool | None = None,
) -> IdentityCard:  # fmt: skip
    """The `IdentityCard` of a loaded model.

    folder: the checkpoint's files, for what only they say (by default the shipped twin's, the folder the model was
    loaded from, or the hub's local cache; without one those rows say so). probes of this model fill the last column.
    against: another checkpoint whose config, tokenizer, template and tensors this one's are compared with; by default
    only the register of tensors beside the weights, where there is one. tensors: whether to read every tensor (by
    default where the checkpoint is small, below 256 MiB), or a check that was already made.
    """
    place = Path(folder) if folder is not None else _folder(model)
    checkpoint = open_checkpoint(place) if place is not None else None
    raw = read_json_object(place / "config.json") if place is not None else {}
    found = {probe.switch: probe for probe in probes}
    other = read_other(against) if isinstance(against, str | Path) else against
    report, differing = None, None
    if checkpoint is not None and place is not None:
        if isinstance(tensors, TensorReport):
            report = tensors
        elif tensors or (tensors is None and sum(f.stat().st_size for f in checkpoint.files) <= FULL_HASH_BYTES):
            hashes = other.tensors if other is not None else None
            report = check_tensors(checkpoint, hashes, other.name if other and hashes is not None else "")
        differing = contrast(fields_of(place), other) if other is not None else None
    return IdentityCard(
        model.name,
        (
            *_switches(model, found),
            *_size(model, checkpoint),
            *_text(model, place, raw),
            *_origin(model, place, checkpoint),
            *_numbers(report, other, differing),
        ),
        report, differing,
    )  # fmt: skip


def _folder(model: Model) -> Path | None:
    try:
        return folder_of(model.spec, model.revision)
    except OfflineError:  # loaded from files that have gone since
        return None


def _switches(model: Model, probes: dict[str, Probe]) -> list[Fact]:
    rows = []
    for name, value, default in (
        ("window", model.window, DEFAULT_WINDOW), ("theta", model.theta, DEFAULT_THETA)
    ):  # fmt: skip
        stated = model.stated.get(name, ABSENT)
        probe = probes.get(name)
        agrees = stated == value  # what is absent agrees with nothing: a default is in force that no file states
        if probe is not None and probe.agrees is not None:
            agrees = agrees and probe.agrees
        said = f"absent, not null; transformers puts {_said(default)}" if stated == ABSENT else _stated(stated)
        rows.append(Fact(name, said, _said(value), "" if probe is None else str(probe), agrees))
    stated = model.stated.get("max_position_embeddings", ABSENT)
    agreed = None if stated == ABSENT else stated == model.context
    trained = "" if model.trained_context is None else f", trained to {model.trained_context} (in no config field)"
    rows.append(Fact("context", _stated(stated), f"{model.context}{trained}", "", agreed))
    known = resolve(model.spec.name) if model.spec.kind != "folder" else None
    if known is not None and known.checked and known.theta is not None:
        published = f"window {_said(known.window)}, theta {theta_text(known.theta)}"
        now = f"window {_said(model.window)}, theta {theta_text(model.theta)}"
        rows.append(Fact("as published", published, now, "", published == now))
    return rows


def _size(model: Model, checkpoint: Checkpoint | None) -> list[Fact]:
    loaded = sum({id(p): p.numel() for p in model.module.parameters()}.values())
    rows = []
    if checkpoint is not None:
        counted = sum(_product(shape) for shape in checkpoint.shapes.values())
        same = counted == loaded if model.quantization is None else None
        rows.append(Fact("parameters", f"{counted:,} (tensor headers)", f"{loaded:,}", "", same))
        key = checkpoint.shapes["model.layers.0.self_attn.k_proj.weight"]
        shared = f"k_proj is {key[0]} x {key[1]}"
        groups = f"{model.heads} query heads share {model.kv_heads}"
        rows.append(Fact("grouped-query attention", shared, groups, "", key[0] == model.kv_heads * model.head_dim))
        stored = str(checkpoint.stored_dtype).removeprefix("torch.")
        rows.append(Fact("dtype", stored, str(model.dtype).removeprefix("torch.")))
    else:
        rows.append(Fact("parameters", "files not at hand", f"{loaded:,}"))
    return rows


def _text(model: Model, folder: Path | None, raw: dict[str, Any]) -> list[Fact]:
    tokenizer = model.tokenizer
    kind = "the reference v1" if tokenizer.is_v1 else "its own"
    bytes_known = sum(piece in tokenizer.vocabulary for piece in (f"<0x{i:02X}>" for i in range(256)))
    marks = [len(tokenizer.encode(mark)) for mark in ("[INST]", "[/INST]")]
    settings = _settings(folder, "tokenizer_config.json")
    vocabulary = raw.get("vocab_size", ABSENT)
    template = stated_template(tokenizer)
    special = ", ".join(f"{text} {i}" for text, i in zip(tokenizer.special_texts, sorted(tokenizer.special_ids)))
    typed = "stay text" if len(tokenizer.encode("</s>")) > 1 else "become the control token"
    rows = [
        Fact("vocabulary", _stated(vocabulary), f"{tokenizer.vocab_size} pieces", "",
             None if vocabulary == ABSENT else vocabulary == tokenizer.vocab_size),
        Fact("byte fallback", "", f"{bytes_known} byte pieces"),
        Fact("tokenizer", "", f"{kind}, sha256 {tokenizer.sha256[:16]}"),
        Fact("special tokens", ", ".join(f"{name} {_token(settings[f'{name}_token'])}" for name in ("bos", "eos", "unk")
             if settings.get(f"{name}_token")), f"{special}; typed by a user they {typed}"),
        Fact("bos / eos", f"{raw.get('bos_token_id', ABSENT)} / {raw.get('eos_token_id', ABSENT)}",
             f"{tokenizer.bos_id} / {tokenizer.eos_id}", "",
             (raw["bos_token_id"], raw["eos_token_id"]) == (tokenizer.bos_id, tokenizer.eos_id)
             if {"bos_token_id", "eos_token_id"} <= set(raw) else None),
        Fact("BOS rule", f"add_bos_token {settings['add_bos_token']}" if "add_bos_token" in settings else "",
             _beginnings(model)),
        Fact("[INST], [/INST]", "", f"{marks[0]} and {marks[1]} pieces of ordinary text" if min(marks) > 1 else
             "special tokens"),
        Fact("chat template", str(template), "the reference, message by message" if uses_reference_format(tokenizer)
             else "the checkpoint's template", "", template.agrees),
    ]  # fmt: skip
    given = _settings(folder, "generation_config.json")
    if given:
        words = {name: given[name] for name in ("temperature", "top_p", "top_k", "max_new_tokens") if name in given}
        rows.append(Fact("generation defaults", ", ".join(f"{k} {v}" for k, v in words.items()) or "none", ""))
    return rows


def _beginnings(model: Model) -> str:
    """How often a conversation of two turns holds BOS."""
    try:
        count = model.encode([dict(message) for message in CHAT]).ids.count(model.tokenizer.bos_id)
    except PromptError as error:
        return f"two turns cannot be encoded: {error.what}"
    return "once, at the start of two turns" if count == 1 else f"{count} times in two turns"


def _settings(folder: Path | None, name: str) -> dict[str, Any]:
    return read_json_object(folder / name) if folder is not None and (folder / name).is_file() else {}


def _token(value: Any) -> str:
    return str(value.get("content")) if isinstance(value, dict) else str(value)


def _origin(model: Model, folder: Path | None, checkpoint: Checkpoint | None) -> list[Fact]:
    config = hashlib.sha256((folder / "config.json").read_bytes()).hexdigest()[:16] if folder is not None else ""
    same = checkpoint.weights_hash == model.weights_hash if checkpoint is not None else None
    return [
        Fact("licence file", "files not at hand" if folder is None else _licence(folder), ""),
        Fact("revision", model.spec.revision or "", model.revision or "none: a folder, no commit of a hub", "",
             model.spec.revision == model.revision if model.spec.revision and model.revision else None),
        Fact("config.json", f"sha256 {config}" if config else "", ""),
        Fact("weights", checkpoint.weights_hash if checkpoint else "", model.weights_hash, "", same),
    ]  # fmt: skip


def _licence(folder: Path) -> str:
    """The licence's file, else what the front matter of the model card names."""
    if (name := next((name for name in _LICENCES if (folder / name).is_file()), None)) is not None:
        return name
    card = folder / "README.md"
    if card.is_file():
        with card.open(encoding="utf-8", errors="replace") as lines:
            head = lines.read(4000)
        if head.startswith("---") and (found := _FRONT_LICENCE.search(head.partition("\n---")[0])):
            return f"no licence file; the card names {found.group(1)}"
    return "no licence file"


def _numbers(report: TensorReport | None, other: Other | None, differing: Contrast | None) -> list[Fact]:
    """The rows of what was found tensor by tensor, and beside another checkpoint."""
    rows = []
    if differing is not None:
        rows.append(Fact(f"fields of {differing.other}", "", str(differing), "", not differing.rows))
    if report is None:
        rows.append(Fact("tensors", "", "not read: the checkpoint is large, and reading it takes a while"))
        return rows
    unknown = other is not None and other.tensors is None
    known = f"hashes of {other.name if other else 'the original'} are not known here"
    said = str(report) if report.reference else f"{len(report.records)} tensors"
    rows.append(Fact("tensors", known if unknown or not report.reference else "", said, "", report.same))
    strange = report.oddities
    rows.append(Fact("numbers in them", "", "; ".join(strange[:3]) + (f" and {len(strange) - 3} more" if
                     len(strange) > 3 else "") if strange else "finite, none all zero, none doubled, none out of line",
                     "", False if strange else None))  # fmt: skip
    return rows


def _product(shape: Sequence[int]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


def _stated(value: Any) -> str:
    return "null" if value is None else _said(value)


def _said(value: Any) -> str:
    return "none" if value is None else theta_text(value) if isinstance(value, float) else str(value)
