"""Names for questions that have not been made: what they would be made from, so that those done are known at once."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib import resources
from pathlib import Path

from workbench.context.haystack import Haystack
from workbench.context.task import Task

_MAKERS = {"workbench.context": ("draft.py", "haystack.py", "task.py"), "workbench.chat": ("encoding.py", "prompt.py"),
           "workbench.context.tasks": ()}  # fmt: skip
"""The modules whose code decides what a question is; all of a package where none is named."""


def source_of(task: Task, seed: int, case: int, form: str, tokenizer: str) -> str | None:
    """Sixteen digits that name what a task's questions of one ``seed``, ``case`` and ``form`` are made from: its texts,
    its haystack, the ``tokenizer`` (a hash) and the code. What is equal in it is equal at equal length and depth.

    None for a haystack that is an object, for who can say what it gives, or a file that cannot be read.
    """
    haystack = task.haystack or task.own_haystack
    if isinstance(haystack, Haystack):
        return None
    try:
        held = "" if haystack in ("drawn", "noise") else hashlib.sha256(Path(haystack).read_bytes()).hexdigest()
    except OSError:
        return None  # the task says so when its question is made
    said = [_code(), type(task).__qualname__, repr(task), haystack, held, task.budget, seed, case, form, tokenizer]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]


@cache
def _code() -> str:
    found = hashlib.sha256()
    for package, names in _MAKERS.items():
        folder = resources.files(package)
        for name in names or sorted(one.name for one in folder.iterdir() if one.name.endswith(".py")):
            found.update(folder.joinpath(name).read_bytes())
    return found.hexdigest()
