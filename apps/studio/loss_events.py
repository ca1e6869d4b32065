"""Loss by position: texts read by models and switches as a job; and the induction curve on random tokens."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Generator, Mapping
from typing import Any

from apps.studio.asked_grid import MOST_MODELS, whole
from apps.studio.grid_shown import rows
from apps.studio.jobs import Told
from apps.studio.named_models import Named, Offered
from apps.studio.parted import parted
from apps.studio.studio import Studio
from workbench.context.induction import induction
from workbench.context.loss import LossByPosition, LossStudy, shipped_texts
from workbench.errors import PromptError, WorkbenchError

MOST_TEXTS = 64
MOST_CHARACTERS = 2_000_000
ROWS = 4
"""Draws of random tokens for each length of a copy."""


class LossEvents:
    """Models are those of the shelf and what their switches make of them."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._offered = studio, Offered(studio.shelf)

    @property
    def functions(self) -> list[Callable[[Any], dict[str, Any]]]:
        return [self.loss_known, self.loss_start, self.loss_induction]

    def loss_known(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"models": offered ones, "context": tokens of the shortest one's, "texts": how many come along, "most"}"""
        contexts = [one.context for one in self._studio.shelf.ready().values()]
        return {
            "models": [one.as_json() for one in self._offered.named()], "context": min(contexts),
            "texts": len(shipped_texts()), "most": MOST_MODELS,
        }  # fmt: skip

    def loss_start(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"job"} for {"models": ids, "text": texts parted by lines of ---, "" for those that come with the workbench,
        "length": tokens of each that are read, None for all that fit}: curves, differences, code."""
        models = chosen(request, self._offered.named())
        texts = parted_texts(request.get("text"))
        length = None if request.get("length") is None else whole(request, "length", 2, 10**7)
        if length is None:  # all that fit the model, and that may be read here
            length = self._studio.settings.max_prompt_tokens
        else:
            self._studio.admission.check_prompt(length, "workbench loss")

        def work(stop: threading.Event) -> Generator[Told, None, Any]:
            yield {"share": 0.0, "said": "loading the models"}
            loaded = [self._offered.model(one) for one in models]
            study = LossStudy(loaded, texts or shipped_texts(), length, stop)
            partial: dict[str, Any] | None = None
            for read in study:
                done = study.found
                if (count := len(next(iter(done.losses.values())))) > (partial["texts"] if partial else 0):
                    partial = shown(done, models, bool(texts), length)
                said = f"{read.done:,} of {read.of:,} tokens, {count} texts; {read.model}: {read.loss:.3f} nats"
                yield {"share": read.done / read.of, "said": said, "partial": partial}
            found = study.found
            return shown(found, models, bool(texts), length) if any(found.losses.values()) else None

        return {"job": self._studio.jobs.start(str(request.get("tab", "")), work, "workbench loss")}

    def loss_induction(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"job"} for {"models": ids, "periods": tokens of one copy}: the curve's rows, code."""
        models, periods = chosen(request, self._offered.named()), request.get("periods")
        good = isinstance(periods, list) and 0 < len(periods) <= 16
        if not good or not all(isinstance(one, int) and not isinstance(one, bool) for one in periods):  # type: ignore[union-attr]
            raise WorkbenchError("No lengths of a copy were given", expected="1 to 16 numbers of tokens")
        self._studio.admission.check_prompt(2 * max(periods), "workbench loss --induction")  # type: ignore[type-var, arg-type]

        def work(stop: threading.Event) -> Generator[Told, None, Any]:
            yield {"share": 0.0, "said": "loading the models"}
            loaded = [self._offered.model(one) for one in models]
            of, result = len(models) * len(periods), None  # type: ignore[arg-type]
            for curve in induction(loaded, periods, ROWS, stop=stop):  # type: ignore[arg-type]
                words = "\n".join(["import workbench as wb", "", f"models = [{', '.join(one.code for one in models)}]",
                                   f"*_, found = wb.induction(models, {periods})", "found.table"])  # fmt: skip
                result = {"rows": rows(curve.table), "titles": titles(models), "draws": ROWS, "code": words + "\n"}
                share = len(curve.table) / of
                yield {"share": share, "said": f"{len(curve.table)} of {of} readings", "partial": result}
            return result

        return {"job": self._studio.jobs.start(str(request.get("tab", "")), work, "workbench loss")}


def chosen(request: Mapping[str, Any], offered: list[Named]) -> tuple[Named, ...]:
    """The models of ``offered`` whose ids are in the request's "models". Raises WorkbenchError."""
    known, ids = {one.id: one for one in offered}, request.get("models")
    if not isinstance(ids, list) or not 1 <= len(ids) <= MOST_MODELS or not all(str(one) in known for one in ids):
        raise WorkbenchError("No models were chosen", expected=f"one to {MOST_MODELS} of the list")
    return tuple(known[one] for one in dict.fromkeys(map(str, ids)))


def parted_texts(value: Any) -> list[str]:
    """Texts that lines of --- part; none for an empty one. Raises PromptError."""
    if value is None or value == "":
        return []
    if not isinstance(value, str) or len(value) > MOST_CHARACTERS:
        raise PromptError("The texts are too long", expected=f"at most {MOST_CHARACTERS:,} characters")
    found = parted(value)
    if len(found) > MOST_TEXTS:
        raise PromptError(f"There are {len(found)} texts", expected=f"at most {MOST_TEXTS} here")
    return found


def titles(models: tuple[Named, ...]) -> dict[str, str]:
    return {one.name: one.title for one in models}


def shown(found: LossByPosition, models: tuple[Named, ...], own: bool, length: int | None) -> dict[str, Any]:
    """curve: rows of `LossByPosition.curve`; differences [{a, b, rows}] of all pairs, b less a; texts, tokens, titles,
    code."""
    names = [one.name for one in models]
    lines = ["import workbench as wb", *([] if own else ["from workbench.context.loss import shipped_texts"]), ""]
    lines += ["models = [", *(f"    {one.code}," for one in models), "]"]
    lines += ["texts = [...]  # yours" if own else "texts = shipped_texts()"]
    lines += [f"study = wb.loss_by_position(models, texts{'' if length is None else f', length={length}'})",
              "for read in study:", "    print(read.done, read.of)", "study.found.curve()"]  # fmt: skip
    return {
        "curve": rows(found.curve()), "titles": titles(models), "texts": len(found.losses[names[0]]),
        "tokens": sum(len(one) + 1 for one in found.losses[names[0]]),
        "differences": [
            {"a": a, "b": b, "rows": rows(found.difference(a, b))} for a, b in itertools.combinations(names, 2)
        ],
        "provenance": json.loads(json.dumps(found.provenance, default=str)), "code": "\n".join(lines) + "\n",
    }  # fmt: skip
