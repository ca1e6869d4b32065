"""A retrieval grid as a visitor asks for it: the form, read and bounded; its questions; the code that repeats it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import workbench as wb
from apps.studio.named_models import Named
from workbench.context.draft import FORMS
from workbench.context.haystack import Haystack, of_text
from workbench.context.item import Item
from workbench.context.task import Task
from workbench.context.tasks import TASKS, read_own
from workbench.errors import FileFormatError, PromptError, WorkbenchError

MOST_TRIALS = 6000
"""That a visitor may ask for at once."""
MOST_CASES = 50
MOST_PLACES = 24
"""Lengths, and depths."""
MOST_MODELS = 4
MOST_CHARACTERS = 2_000_000
"""Of a haystack or a task of one's own."""
OWN_FILE = "own.jsonl"
WITHOUT = 0.5
"""The depth of a task without depths: `Plan` asks it there, once a length."""


@dataclass(frozen=True)
class AskedGrid:
    """``tasks`` are names, "own" the one in ``own_lines`` (JSONL); ``haystack`` a text to hide things in, "" the
    tasks' own."""

    models: tuple[Named, ...]
    tasks: tuple[str, ...]
    lengths: tuple[int, ...]
    depths: tuple[float, ...]
    cases: int
    seed: int = 0
    form: str = "chat"
    haystack: str = ""
    own_lines: str = ""

    @property
    def key(self) -> str:
        """Names what all trials have in common: other lengths or models, or more cases, go on in one place."""
        said = [self.seed, self.form, self.haystack, self.own_lines]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]

    def made(self, folder: Path | None) -> list[Task]:
        """The tasks; one of the visitor's own is read from ``folder``."""
        haystack: str | Haystack = of_text(self.haystack, "yours") if self.haystack else ""
        found: list[Task] = []
        for name in self.tasks:
            if name == "own":
                assert folder is not None
                folder.mkdir(parents=True, exist_ok=True)
                (folder / OWN_FILE).write_text(self.own_lines, encoding="utf-8")
                found.append(read_own(folder / OWN_FILE, haystack))
            else:
                found.append(TASKS[name](haystack))
        return found

    def item(self, tokenizer: Any, folder: Path | None, task: str, length: int, depth: float, case: int) -> Item:
        """One question of the grid."""
        made = self.made(folder)[self.tasks.index(task)]
        return made.make(tokenizer, length, depth, case, self.seed, self.form)

    def only(self, grid: wb.Grid) -> wb.Grid:
        """The trials of ``grid`` that were asked for: a folder may hold those of another form as well."""
        table = grid.trials
        if not len(table):
            return grid
        depths = table["depth"].to_numpy(float)
        near = np.isnan(depths) | np.isclose(depths[:, None], np.array(self.depths)[None]).any(axis=1)
        wanted = (
            table["model"].isin([one.name for one in self.models]) & table["task"].isin(self.tasks)
            & table["length"].isin(self.lengths) & (table["case"] < self.cases) & near
        )  # fmt: skip
        return wb.Grid(table[wanted].reset_index(drop=True), grid.provenance)

    @property
    def code(self) -> str:
        """Python that measures the same."""
        lines = ["import workbench as wb", "", "models = [", *(f"    {one.code}," for one in self.models), "]"]
        tasks = ['"yours.jsonl"' if name == "own" else json.dumps(name) for name in self.tasks]
        hidden = ', haystack="yours.txt"' if self.haystack else ""
        lines += [
            "study = wb.needle(", f"    models, lengths={list(self.lengths)}, depths={list(self.depths)},",
            f"    tasks=[{', '.join(tasks)}], cases={self.cases}, seed={self.seed}, form={self.form!r}{hidden},",
            '    folder="grid",', ")", "for told in study:", "    print(told.done, told.of, told.seconds_left)",
            "study.grid.figure()",
        ]  # fmt: skip
        return "\n".join(lines) + "\n"


def read(request: Mapping[str, Any], offered: Sequence[Named]) -> AskedGrid:
    """The grid that a request {"models": ids of ``offered``, "tasks", "lengths", "depths", "cases", "seed", "form",
    "haystack", "own"} stands for. Raises a WorkbenchError for a bad one."""
    models = _some(request.get("models"), "models", MOST_MODELS)
    known = {one.id: one for one in offered}
    if wrong := [one for one in models if one not in known]:
        raise WorkbenchError(f"{str(wrong[0])[:40]!r} is no model of this page", expected="one of the list")
    tasks = _some(request.get("tasks"), "tasks", len(TASKS) + 1)
    if wrong := [one for one in tasks if one not in TASKS and one != "own"]:
        raise PromptError(f"There is no task {str(wrong[0])[:40]!r}", expected=", ".join(TASKS))
    lengths = _some(request.get("lengths"), "lengths", MOST_PLACES)
    if not all(isinstance(one, int) and not isinstance(one, bool) and one > 0 for one in lengths):
        raise WorkbenchError("A length is no number of tokens", expected="whole numbers such as 512, 1024")
    depths = _some(request.get("depths"), "depths", MOST_PLACES)
    if not all(isinstance(one, int | float) and not isinstance(one, bool) and 0 <= one <= 1 for one in depths):
        raise WorkbenchError("A depth is no share of the context", expected="0 (the beginning) to 1 (the end)")
    form = request.get("form", "chat")
    if form not in FORMS:
        raise PromptError(f"{str(form)[:40]!r} is no form of a prompt", expected=" or ".join(FORMS))
    own = _text(request, "own") if "own" in tasks else ""
    if "own" in tasks and not own.strip():
        raise FileFormatError("There is no task of your own", remedy="Choose a JSONL file, or another task")
    found = AskedGrid(
        tuple(known[one] for one in models), tuple(tasks), tuple(sorted(lengths)), tuple(sorted(map(float, depths))),
        whole(request, "cases", 1, MOST_CASES), whole(request, "seed", 0, 2**53), str(form),
        _text(request, "haystack").strip(), own,
    )  # fmt: skip
    if (trials := planned(found)) > MOST_TRIALS:
        raise WorkbenchError(
            f"These are {trials} questions", expected=f"at most {MOST_TRIALS} here",
            remedy="Ask for fewer lengths, depths or cases, or use workbench needle",
        )  # fmt: skip
    return found


def planned(asked: AskedGrid) -> int:
    """How many trials were asked for."""
    places = sum(len(asked.lengths) * (len(asked.depths) if deep(name) else 1) for name in asked.tasks)
    return places * asked.cases * len(asked.models)


def deep(task: str) -> bool:
    """Whether the task's questions have a depth."""
    return task == "own" or TASKS[task].deep


def whole(request: Mapping[str, Any], key: str, low: int, high: int) -> int:
    """A whole number of the request. Raises WorkbenchError for another value."""
    value = request.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise WorkbenchError(f"{key} is {str(value)[:20]}", expected=f"a whole number from {low} to {high}")
    return value


def _some(value: Any, what: str, most: int) -> list[Any]:
    if not isinstance(value, list) or not value or not all(isinstance(one, str | int | float) for one in value):
        raise WorkbenchError(f"No {what} were chosen", expected="at least one")
    found = list(dict.fromkeys(value))
    if len(found) > most:
        raise WorkbenchError(f"There are {len(found)} {what}", expected=f"at most {most} here")
    return found


def _text(request: Mapping[str, Any], key: str) -> str:
    value = request.get(key) or ""
    if not isinstance(value, str) or len(value) > MOST_CHARACTERS:
        raise PromptError(f"The text of {key} is too long", expected=f"at most {MOST_CHARACTERS:,} characters")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise PromptError(f"The text of {key} holds half of a character (a lone surrogate)") from None
    return value.removeprefix("\ufeff")
