"""A suite through one or more models: `run_suite`, which can be stopped anywhere and goes on where it was."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.behaviour.store import AnswerStore
from workbench.behaviour.suite import Item, Suite, suite_of
from workbench.capture.request import Capture
from workbench.chat.guardrails import with_safe_prompt
from workbench.errors import ContextLengthError, PromptError, WorkbenchError
from workbench.generation.prefix import PrefixStore
from workbench.generation.sampling import Sampling
from workbench.inspection.provenance import as_settings, provenance
from workbench.models.given import models_given

if TYPE_CHECKING:
    from workbench.model import Model

BATCH = 8
PAUSE = 0.2
"""Seconds between two words on an item that is being answered."""
PREFIX_BYTES = 256 * 2**20
"""Of the caches that carry an item's first turns into its later ones."""


@dataclass(frozen=True)
class Progress:
    """``done`` of ``of`` answers are kept; ``item`` is being answered by ``model``, or has just been (``kept``), with
    ``tokens`` so far; ``seconds_left`` by the answers of this run, None before the first. ``already`` were there before
    this run."""

    done: int
    of: int
    item: str
    model: str
    tokens: int
    seconds_left: float | None
    already: int
    kept: bool

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.done / self.of if self.of else 1.0


@dataclass(frozen=True)
class _Cell:
    item: Item
    model: Model
    sample: int
    key: str


def run_suite(
    models: Model | Sequence[Model], suite: Suite | str | Path | Iterable[Any], folder: str | Path, *,
    sampling: Sampling | None = None, stop: threading.Event | None = None, batch: int = BATCH,
    items: Sequence[str] | None = None, samples: int = 1, system: str = "",
    safe_prompt: bool = False,
) -> Generator[Progress, None, None]:  # fmt: skip
    """Answer every item of ``suite`` with every model into ``folder``; yields `Progress`. Read them with `Answers`.

    ``suite`` is a `Suite`, a file, a shipped name or rows of the plain format; ``items`` are ids of those to answer
    now (None: all), ``samples`` answers an item with seeds of their own, ``system`` stands before every conversation
    and before an item's own system text, ``safe_prompt`` puts Mistral's safe prompt before both. A model answers
    ``batch`` items before the next model takes the same ones; each answer is on the disk before the next begins. A
    later turn follows the model's own earlier answers, whose cache is reused.

    What ``folder`` holds is not done again. ``stop``, or closing the generator, ends it and leaves the item it was at
    undone. An item too long for a model is kept with its sentence. Raises a WorkbenchError for settings or a suite
    other than the folder's, for two models of one name, and where nothing can be written.
    """
    models = list(models) if isinstance(models, Sequence) else [models]
    models_given(*models)
    suite, sampling = suite_of(suite), sampling or Sampling()
    labels = [model.name for model in models]
    if not models or len(set(labels)) < len(labels):
        raise WorkbenchError(f"{len(labels)} models were given: {', '.join(labels) or 'none'}",
                             expected="one or more, each with another name")  # fmt: skip
    for name, number in (("batch", batch), ("samples", samples)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise WorkbenchError(f"{name} is {number!r}", expected="a whole number of at least 1")
    if samples > 1 and sampling.temperature == 0:
        raise WorkbenchError(f"{samples} samples at temperature 0 are all alike", remedy="Set a temperature")
    known = {item.id for item in suite.items}
    if unknown := [one for one in items or () if one not in known]:
        raise WorkbenchError(f"{suite.name} has no item {unknown[0]!r}", expected=f"one of its {len(suite)} ids")
    chosen = [item for item in suite.items if items is None or item.id in set(items)]
    settings = {
        "sampling": as_settings(sampling),
        "samples": samples,
        "system": system,
        "safe_prompt": bool(safe_prompt),
    }
    described = [provenance(model.loaded, [], {}) for model in models]
    store = AnswerStore(folder, suite, settings | {"versions": described[0]["versions"]})
    return _run(models, described, chosen, store, sampling, settings, stop or threading.Event(), batch)


def _run(
    models: Sequence[Model], described: Sequence[dict[str, Any]], items: Sequence[Item], store: AnswerStore,
    sampling: Sampling, settings: dict[str, Any], stop: threading.Event, batch: int,
) -> Generator[Progress, None, None]:  # fmt: skip
    with store.alone():
        hashes = {}
        for model, about in zip(models, described, strict=True):
            about = {k: v for k, v in about.items() if k not in ("prompt_sha256", "settings")}
            about["identity"] = identity(model)
            store.join(model.name, about)
            hashes[model.name] = digest(about["identity"])
        cells = [
            _Cell(item, model, sample, key(item, model, settings, sample))
            for at in range(0, len(items), batch)
            for model in models
            for item in items[at : at + batch]
            for sample in range(settings["samples"])
        ]
        finished = store.keys()
        missing = [cell for cell in cells if cell.key not in finished]
        done = already = len(cells) - len(missing)
        if not missing:
            yield Progress(done, len(cells), "", "", 0, 0.0, already, False)
        began = time.perf_counter()
        for count, cell in enumerate(missing):
            left = (time.perf_counter() - began) / count * (len(missing) - count) if count else None
            row: dict[str, Any] | None = None
            for found in _answer(cell, sampling, settings, stop):
                if isinstance(found, dict):
                    row = found
                else:
                    yield Progress(done, len(cells), cell.item.id, cell.model.name, found, left, already, False)
            if row is None:
                return
            row["provenance"] = hashes[cell.model.name]
            store.add(cell.model.name, row)
            done += 1
            left = (time.perf_counter() - began) / (count + 1) * (len(missing) - count - 1)
            yield Progress(done, len(cells), cell.item.id, cell.model.name, sum(row["tokens"]), left, already, True)
            if stop.is_set():
                return


def _answer(
    cell: _Cell, sampling: Sampling, settings: dict[str, Any], stop: threading.Event
) -> Generator[Any, None, None]:  # fmt: skip
    """Now and then the number of tokens written, at last the row; nothing more when stopped."""
    own = Sampling(**{**vars(sampling), "seed": sampling.seed + cell.sample})
    before = "\n\n".join(text for text in (settings["system"], cell.item.system) if text)
    messages: list[dict[str, str]] = [{"role": "system", "content": before}] if before else []
    prefixes = PrefixStore(PREFIX_BYTES)
    row: dict[str, Any] = {
        "key": cell.key, "item": cell.item.id, "model": cell.model.name, "sample": cell.sample, "answers": [],
        "tokens": [], "prompt_tokens": [], "reused_tokens": [], "finish": [],
    }  # fmt: skip
    began = said = time.perf_counter()
    yield 0
    for turn in cell.item.turns:
        messages.append({"role": "user", "content": turn})
        try:
            prompt = cell.model.encode(with_safe_prompt(messages, settings["safe_prompt"]))
            run = cell.model.generate(
                prompt, own, Capture.nothing(), stop, reuse=prefixes if len(cell.item.turns) > 1 else None
            )
            for step in run:
                if time.perf_counter() - said > PAUSE:
                    said = time.perf_counter()
                    yield sum(row["tokens"]) + step.index + 1
        except (ContextLengthError, PromptError) as error:  # it would fail again
            row["error"] = str(error)
            row["answers"].append("")
            row["finish"].append("error")
            break
        if stop.is_set() and run.finish_reason == "stopped":
            return
        text = run.text.strip()
        messages.append({"role": "assistant", "content": text})
        row["answers"].append(text)
        row["tokens"].append(len(run.steps))
        row["prompt_tokens"].append(len(prompt.ids))
        row["reused_tokens"].append(run.reused_tokens)
        row["finish"].append(run.finish_reason)
    yield row | {
        "seconds": round(time.perf_counter() - began, 3), "sampling": as_settings(own), "seed": own.seed,
    }  # fmt: skip


def identity(model: Model) -> dict[str, Any]:
    """What decides a model's answers: weights, switches, tokenizer, dtype and quantization."""
    loaded = model.loaded
    return {
        "weights": loaded.weights_hash, "switches": dict(loaded.switches), "tokenizer": loaded.tokenizer.sha256,
        "dtype": str(loaded.dtype).removeprefix("torch."), "quantization": loaded.quantization,
    }  # fmt: skip


def key(item: Item, model: Model, settings: dict[str, Any], sample: int) -> str:
    """The name of one answer: the same item, model, settings and seed give the same key, anything else another.
    Checks, category and reference have no part in it: they do not change an answer."""
    asked = {"id": item.id, "turns": item.turns, "system": item.system}
    return digest([asked, identity(model), settings["sampling"], settings["system"], settings["safe_prompt"], sample])


def digest(value: Any) -> str:
    """The first 24 hexadecimal digits of the SHA-256 of ``value`` as JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:24]
