"""The cache laboratory: caches that keep less, measured as a job; which tokens of a text each of them kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import workbench as wb
from apps.studio.asked_grid import MOST_CHARACTERS, whole
from apps.studio.grid_shown import rows
from apps.studio.jobs import Told
from apps.studio.named_models import Named, Offered
from apps.studio.studio import Studio
from workbench.cache_lab.policies import POLICIES
from workbench.cache_lab.policies import policy as read_policy
from workbench.cache_lab.study import CacheStudy, cache_study
from workbench.context.loss import shipped_texts
from workbench.context.spacing import depths
from workbench.context.tasks import TASKS
from workbench.errors import PromptError, WorkbenchError

MOST_CASES = 32
MOST_LENGTH = 8192
MOST_FOLLOW = 256
SHIPPED = 2
EVERY = 1.5
"""Seconds between two tables of a running study."""


@dataclass(frozen=True)
class Asked:
    """What a request asks for, checked."""

    model: Named
    policies: list[str]
    text: str
    length: int
    cases: int
    follow: int
    task: str


class CacheLabEvents:
    """Models are those of the shelf and what their switches make of them."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._offered = studio, Offered(studio.shelf)

    @property
    def functions(self) -> list[Callable[[Any], dict[str, Any]]]:
        return [self.cache_known, self.cache_start]

    def cache_known(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"models": offered ones, "policies": [{name, title}], "context", "tasks", "texts": how many come
        along, "most"}"""
        contexts = [one.context for one in self._studio.shelf.ready().values()]
        return {
            "models": [one.as_json() for one in self._offered.named()],
            "policies": [{"name": name, "title": one.title} for name, one in POLICIES.items()],
            "context": min(min(contexts), MOST_LENGTH), "tasks": [[name, one.title] for name, one in TASKS.items()],
            "texts": SHIPPED, "most": {"cases": MOST_CASES, "follow": MOST_FOLLOW},
        }  # fmt: skip

    def cache_start(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"job"} for {"model", "policies": as they are said, "text" ("": those that come along), "length", "cases",
        "follow", "task"}: the table, and which tokens were kept (`shown`)."""
        asked = read(request, self._offered.named())
        self._studio.admission.check_prompt(asked.length, "workbench cache")

        def work(stop: threading.Event) -> Generator[Told, None, Any]:
            yield {"share": 0.0, "said": "loading the model"}
            study = made(self._offered.model(asked.model), asked, stop)
            partial: dict[str, Any] | None = None
            last = time.monotonic()
            for told in study:
                if time.monotonic() - last > EVERY:
                    partial, last = shown(study.result, asked, False), time.monotonic()
                left = "" if told.seconds_left is None else f", {told.seconds_left:.0f} s left"
                yield {"share": told.done / told.of, "said": f"{told.said}{left}", "partial": partial}
            return shown(study.result, asked) if len(study.result.table) else None

        return {"job": self._studio.jobs.start(str(request.get("tab", "")), work, "workbench cache")}


def read(request: dict[str, Any], offered: list[Named]) -> Asked:
    """What a request asks for. Raises WorkbenchError for what cannot be."""
    model = next((one for one in offered if one.id == request.get("model")), None)
    if model is None:
        raise WorkbenchError("The model is not one of this page", expected="one of the list")
    said = request.get("policies")
    if not isinstance(said, list) or not 1 <= len(said) <= 2 * len(POLICIES):
        raise WorkbenchError("No policy was chosen", remedy="Choose at least one")
    text = request.get("text") or ""
    if not isinstance(text, str) or len(text) > MOST_CHARACTERS:
        raise PromptError("The text is too long", expected=f"at most {MOST_CHARACTERS:,} characters")
    task = str(request.get("task"))
    if task not in TASKS:
        raise WorkbenchError(f"There is no task {task[:40]!r}", expected=", ".join(TASKS))
    return Asked(
        model, [str(read_policy(one)) for one in said], text.strip(), whole(request, "length", 1, MOST_LENGTH),
        whole(request, "cases", 0, MOST_CASES), whole(request, "follow", 1, MOST_FOLLOW), task,
    )  # fmt: skip


def made(model: wb.Model, asked: Asked, stop: threading.Event | None = None) -> CacheStudy:
    """The study of a request: the first of what is read is the text whose tokens are shown."""
    texts: list[Any] = [asked.text] if asked.text else shipped_texts()[:SHIPPED]
    shortest = min(len(model.encode(one).ids) for one in texts)
    length = max(1, min(asked.length, model.context - asked.follow - 1, shortest - asked.follow - 1))
    items = [
        TASKS[asked.task]().make(model.tokenizer, min(asked.length, model.context), depth, case)
        for case, depth in enumerate(depths(asked.cases) if asked.cases else ())
    ]
    return cache_study(
        model, asked.policies, texts=texts, items=items, length=length, follow=asked.follow, stop=stop
    )  # fmt: skip


def shown(found: wb.CacheFindings, asked: Asked, whole: bool = True) -> dict[str, Any]:
    """{"table": rows, "prompts": [{"name", "title", "pieces", "heads", "kept": {policy: [a string a layer]}}], "code"}:
    the string says for each token, as one character of base 36, how many key-value heads keep it. No tokens unless
    ``whole``."""
    asked_rows = found.questions[found.questions["policy"] == "full"]
    answers = {row["prompt"]: str(row["expected"]) for row in asked_rows.to_dict("records")}
    prompts = []
    for name, prompt in found.prompts.items() if whole else ():
        kept = {policy: one for (policy, of), one in found.kept.items() if of == name}
        heads = min(35, max(len(layer) for one in kept.values() for layer in one.positions))
        strings = {
            policy: ["".join(DIGITS[min(n, 35)] for n in one.heads(layer)) for layer in range(len(one.positions))]
            for policy, one in kept.items()
        }
        title = f"{name}, expected: {answers[name]}" if name in answers else name
        prompts.append({"name": name, "title": title, "pieces": list(prompt.pieces), "heads": heads, "kept": strings})
    return {"table": rows(found.table.reset_index()), "prompts": prompts, "code": code(found, asked)}


DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def code(found: wb.CacheFindings, asked: Asked) -> str:
    """Python that measures the same."""
    texts = (
        'texts = [open("text.txt", encoding="utf-8").read()]' if asked.text else f"texts = shipped_texts()[:{SHIPPED}]"
    )
    length = int(found.texts["length"].iloc[0]) if len(found.texts) else asked.length
    lines = ["import workbench as wb", "from workbench.context.loss import shipped_texts",
             "from workbench.context.spacing import depths", "from workbench.context.tasks import TASKS", "",
             f"model = {asked.model.code}", texts,
             f"ask = TASKS[{asked.task!r}]().make",
             f"items = [ask(model.tokenizer, {asked.length}, depth, case) for case, depth in "
             f"enumerate({f'depths({asked.cases})' if asked.cases else '()'})]",
             f"study = wb.cache_study(model, {asked.policies!r}, texts=texts, items=items, length={length}, "
             f"follow={asked.follow})",
             "for told in study: pass", "study.result.table"]  # fmt: skip
    return "\n".join(line for line in lines if not (asked.text and "shipped_texts" in line)) + "\n"
