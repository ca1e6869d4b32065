"""What differs between two models before a number is computed: configs, switches, tokenizers, chat templates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.chat.stated_template import stated_template
from workbench.errors import WorkbenchError
from workbench.models.architecture import ABSENT, read_theta, read_window, theta_text
from workbench.models.checkpoint import read_json_object
from workbench.models.hub import folder_of

if TYPE_CHECKING:
    from workbench.model import Model

_IDLE = ("transformers_version", "_name_or_path", "_from_model_config", "rope_theta", "rope_parameters.rope_theta",
         "rope_scaling", "sliding_window", "torch_dtype")  # fmt: skip
"""Fields that say nothing about the model, and those that are told under one name whatever their spelling."""
_SHOWN = 3
_AROUND = 12


@dataclass(frozen=True)
class Change:
    """One difference. ``kind``: "switch", "config", "dtype", "generation", "tokenizer", "special tokens" or "template";
    ``a`` and ``b`` are the two values in words, ``sentence`` says it."""

    kind: str
    name: str
    a: str
    b: str
    sentence: str


def stated_changes(a: Model, b: Model) -> list[Change]:
    """Every difference but those of the weights; what the modules compute with first, then what the files state. A
    field that a file lacks is "absent", one that it sets to nothing is "null"."""
    return [*_switches(a, b), *_files(a, b), *_dtypes(a, b), *_tokenizers(a, b), *_templates(a, b)]


def _switches(a: Model, b: Model) -> Iterator[Change]:
    if a.theta != b.theta:
        yield _change("switch", "rope theta", theta_text(a.theta), theta_text(b.theta))
    if a.window != b.window:
        yield _change("switch", "sliding window", *(_window(model.window) for model in (a, b)))


def _files(a: Model, b: Model) -> Iterator[Change]:
    folders = [_folder(model) for model in (a, b)]
    configs = [_read(folder, "config.json") for folder in folders]
    if None in configs:  # one has no files here: what is loaded, with transformers' defaults
        configs = [model.module.config.to_dict() for model in (a, b)]
    one, other = (_fields(raw or {}) for raw in configs)
    yield from _fieldwise("config", one, other, "")
    # Window and theta are told as switches; here only where the files say otherwise than what is loaded tells.
    windows = [_said(read_window(raw or {})) for raw in configs]
    thetas = [theta_text(read_theta(raw or {})) for raw in configs]
    for name, said, same in (
        ("sliding_window", windows, a.window == b.window), ("rope theta", thetas, a.theta == b.theta),
    ):  # fmt: skip
        if said[0] != said[1] and (ABSENT in said or same):
            yield _change("config", name, said[0], said[1], f"{name} as config.json states it")
    settings = [_read(folder, "generation_config.json") for folder in folders]
    if (settings[0] is None) != (settings[1] is None) and None not in folders:
        yield _change("generation", "generation_config.json", *("absent" if s is None else "there" for s in settings))
    elif settings[0] is not None and settings[1] is not None:
        yield from _fieldwise("generation", _fields(settings[0]), _fields(settings[1]), "generation config, ")


def _fieldwise(kind: str, one: Mapping[str, Any], other: Mapping[str, Any], prefix: str) -> Iterator[Change]:
    for name in sorted({*one, *other}):
        values = one.get(name, ABSENT), other.get(name, ABSENT)
        if values[0] != values[1] or isinstance(values[0], bool) != isinstance(values[1], bool):  # True == 1
            yield _change(kind, name, _said(values[0]), _said(values[1]), prefix + name)


def _dtypes(a: Model, b: Model) -> Iterator[Change]:
    kinds = [model.quantization or str(model.dtype).removeprefix("torch.") for model in (a, b)]
    if kinds[0] != kinds[1]:
        yield _change("dtype", "dtype", kinds[0], kinds[1], "weights are loaded as")


def _tokenizers(a: Model, b: Model) -> Iterator[Change]:
    one, other = a.tokenizer, b.tokenizer
    if one.sha256 != other.sha256:
        yield _change("tokenizer", "sha256", one.sha256[:16], other.sha256[:16], "tokenizer, sha256")
        known = one.vocabulary, other.vocabulary
        apart = [piece for piece in {**known[0], **known[1]} if known[0].get(piece) != known[1].get(piece)]
        if apart:
            first = ", ".join(f"{piece!r}" for piece in apart[:_SHOWN])
            said = f"{len(apart)} {'piece has' if len(apart) == 1 else 'pieces have'} another id or none, as {first}"
            own, others = (f"{len(pieces)} pieces" for pieces in known)
            yield Change("tokenizer", "pieces", own, others, f"{said} ({own} against {others})")
    for name in ("bos_id", "eos_id"):
        if (ids := [getattr(model, name) for model in (one, other)])[0] != ids[1]:
            word = name.replace("_id", "").upper()
            yield _change("special tokens", word, *(_said(i) for i in ids))
    if one.special_texts != other.special_texts:
        texts = [" ".join(model.special_texts) for model in (one, other)]
        yield _change("special tokens", "special tokens", texts[0], texts[1])


def _templates(a: Model, b: Model) -> Iterator[Change]:
    sources = [model.tokenizer.chat_template for model in (a, b)]
    if sources[0] == sources[1]:
        return
    kinds = [stated_template(model.tokenizer).kind for model in (a, b)]
    named = [{"none": "none stored", "own": "one of its own"}.get(kind, f"template {kind}") for kind in kinds]
    if sources[0] is None or sources[1] is None:
        yield _change("template", "chat template", named[0], named[1])
        return
    at = next((i for i, (x, y) in enumerate(zip(*sources, strict=False)) if x != y), min(map(len, sources)))
    cut = ["…" * (at > 0) + source[max(0, at - 4) : at + _AROUND] for source in sources]
    said = f"the chat templates differ at character {at}: {cut[0]!r} against {cut[1]!r}"
    kind = f"both are {named[0]}" if named[0] == named[1] != "one of its own" else f"{named[0]} against {named[1]}"
    yield Change("template", "chat template", named[0], named[1], f"{said} ({kind})")


def _folder(model: Model) -> Path | None:
    """Where the files of a model lie; None where they are not at hand."""
    try:
        return folder_of(model.spec, model.revision)
    except WorkbenchError:
        return None


def _read(folder: Path | None, name: str) -> dict[str, Any] | None:
    return read_json_object(folder / name) if folder is not None and (folder / name).is_file() else None


def _fields(raw: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Fields by dotted name; old and new spellings of the dtype as one, the usual RoPE type left out."""
    found: dict[str, Any] = {}
    for name, value in raw.items():
        if isinstance(value, Mapping):
            found |= _fields(value, f"{prefix}{name}.")
        elif f"{prefix}{name}" not in _IDLE and (name, value) != ("rope_type", "default"):
            found[f"{prefix}{name}"] = value
    if not prefix and "torch_dtype" in raw:
        found.setdefault("dtype", raw["torch_dtype"])
    return found


def _change(kind: str, name: str, a: str, b: str, said: str = "") -> Change:
    return Change(kind, name, a, b, f"{said or name}: {a} against {b}")


def number(value: float) -> str:
    """ "1 000 000" and "1.5": whole numbers in groups of three."""
    return f"{value:,.0f}".replace(",", " ") if value == round(value) and abs(value) < 1e15 else f"{value:g}"


def _window(window: int | None) -> str:
    return "none" if window is None else f"{number(window)} tokens"


def _said(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number(value) if abs(value) >= 10_000 or isinstance(value, int) else f"{value:g}"
    return str(value)[:200]
