"""The identity card of a model: each fact as its config states it, as the modules hold it, and as probing finds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from workbench.facts.probes import Probe
from workbench.models.checkpoint import Checkpoint, open_checkpoint, read_json_object
from workbench.models.registry import assets_folder

if TYPE_CHECKING:
    from workbench.model import Model

_LICENCES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "license", "license.txt")


@dataclass(frozen=True)
class Fact:
    """One row: what the files state, what is loaded, what was probed ("" where not), and whether they agree (None:
    nothing to compare)."""

    name: str
    stated: str
    loaded: str
    probed: str = ""
    agrees: bool | None = None


@dataclass(frozen=True)
class IdentityCard:
    """All facts of one model; ``conflicts`` are those whose sources contradict each other."""

    model: str
    facts: tuple[Fact, ...]

    @property
    def conflicts(self) -> tuple[Fact, ...]:
        return tuple(fact for fact in self.facts if fact.agrees is False)

    def table(self) -> pd.DataFrame:
        """By fact: stated, loaded, probed, agrees."""
        rows = [(f.name, f.stated, f.loaded, f.probed, f.agrees) for f in self.facts]
        return pd.DataFrame(rows, columns=["fact", "stated", "loaded", "probed", "agrees"]).set_index("fact")

    def __getitem__(self, name: str) -> Fact:
        return next(fact for fact in self.facts if fact.name == name)


def identity(model: Model, folder: str | Path | None = None, probes: Sequence[Probe] = ()) -> IdentityCard:
    """The `IdentityCard` of a loaded model. ``folder``: the checkpoint's files, for what only they say (by default the
    shipped twin's, or the folder the model was loaded from; without one those rows say so). ``probes`` of this model
    fill the last column."""
    place = Path(folder) if folder is not None else _folder(model)
    checkpoint = open_checkpoint(place) if place is not None else None
    raw = read_json_object(place / "config.json") if place is not None else {}
    found = {probe.switch: probe for probe in probes}
    return IdentityCard(
        model.name,
        (
            *_switches(model, found),
            *_size(model, checkpoint),
            *_text(model, place, raw),
            *_origin(model, place, checkpoint),
        ),
    )


def _folder(model: Model) -> Path | None:
    spec = model.spec
    if spec.kind == "twin":
        return assets_folder() / spec.location
    return Path(spec.location) if spec.kind == "folder" else None


def _switches(model: Model, probes: dict[str, Probe]) -> list[Fact]:
    rows = []
    for name, value in (("window", model.window), ("theta", model.theta)):
        stated = model.stated.get(name, "absent")
        probe = probes.get(name)
        agrees = None if stated == "absent" else stated == value
        if probe is not None and probe.agrees is not None:
            agrees = bool(agrees is not False and probe.agrees)
        rows.append(Fact(name, _said(stated), _said(value), "" if probe is None else str(probe), agrees))
    stated = model.stated.get("max_position_embeddings", "absent")
    agrees = None if stated == "absent" else stated == model.context
    trained = "" if model.trained_context is None else f"trained to {model.trained_context} (no config field)"
    rows.append(Fact("context", _said(stated), _said(model.context), trained, agrees))
    spec = model.spec
    if spec.checked:
        known = f"window {_said(spec.window)}, theta {spec.theta:g}"
        now = f"window {_said(model.window)}, theta {model.theta:g}"
        rows.append(Fact("as published", known, now, "", known == now))
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
    pieces = len(tokenizer.encode("[INST]"))
    encoded = model.encode([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},
                            {"role": "user", "content": "c"}])  # fmt: skip
    stated = raw.get("vocab_size", "absent")
    rows = [
        Fact("vocabulary", _said(stated), f"{tokenizer.vocab_size} pieces", "",
             None if stated == "absent" else stated == tokenizer.vocab_size),
        Fact("byte fallback", "", f"{bytes_known} byte pieces"),
        Fact("[INST]", "", f"{pieces} pieces of ordinary text" if pieces > 1 else "one special token"),
        Fact("<s> in two turns", "", f"{encoded.ids.count(tokenizer.bos_id)}"),
        Fact("bos / eos", f"{raw.get('bos_token_id', '')} / {raw.get('eos_token_id', '')}",
             f"{tokenizer.bos_id} / {tokenizer.eos_id}", "",
             (raw["bos_token_id"], raw["eos_token_id"]) == (tokenizer.bos_id, tokenizer.eos_id)
             if {"bos_token_id", "eos_token_id"} <= set(raw) else None),
        Fact("tokenizer", "", f"{kind}, sha256 {tokenizer.sha256[:16]}"),
        Fact("chat template", "", "the checkpoint's own beside the reference" if tokenizer.chat_template else
             "none stored; the reference format is used"),
    ]  # fmt: skip
    settings = folder / "generation_config.json" if folder is not None else None
    if settings is not None and settings.is_file():
        given = read_json_object(settings)
        words = {name: given[name] for name in ("temperature", "top_p", "top_k", "max_new_tokens") if name in given}
        rows.append(Fact("generation defaults", ", ".join(f"{k} {v}" for k, v in words.items()) or "none", ""))
    return rows


def _origin(model: Model, folder: Path | None, checkpoint: Checkpoint | None) -> list[Fact]:
    licence = "files not at hand"
    if folder is not None:
        licence = next((name for name in _LICENCES if (folder / name).is_file()), "no licence file")
    same = checkpoint.weights_hash == model.weights_hash if checkpoint is not None else None
    return [
        Fact("licence file", licence, ""),
        Fact("revision", model.spec.revision or "", model.revision or "", "",
             model.spec.revision == model.revision if model.spec.revision and model.revision else None),
        Fact("weights", checkpoint.weights_hash if checkpoint else "", model.weights_hash, "", same),
    ]  # fmt: skip


def _product(shape: Sequence[int]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


def _said(value: Any) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
