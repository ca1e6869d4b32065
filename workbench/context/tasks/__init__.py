"""The retrieval tasks by name, one file each."""

from __future__ import annotations

from pathlib import Path

from workbench.context.task import Task
from workbench.context.tasks.common_words import CommonWords
from workbench.context.tasks.key_value import KeyValue
from workbench.context.tasks.lines import Lines
from workbench.context.tasks.many import MultiKey, MultiQuery, MultiValue
from workbench.context.tasks.needle import Needle
from workbench.context.tasks.own import Own, read_own
from workbench.context.tasks.passkey import Passkey
from workbench.context.tasks.tracing import Tracing
from workbench.errors import PromptError

TASKS: dict[str, type[Task]] = {
    one.name: one for one in (Needle, Passkey, KeyValue, Lines, MultiKey, MultiValue, MultiQuery, Tracing, CommonWords)
}


def task(wanted: str | Path | Task, haystack: str = "") -> Task:
    """A task by name, or the one in a JSONL file. Raises PromptError for a name that is none."""
    if isinstance(wanted, Task):
        return wanted
    if str(wanted) in TASKS:
        return TASKS[str(wanted)](haystack)
    if str(wanted).endswith((".jsonl", ".json")):
        return read_own(wanted, haystack)
    raise PromptError(f"There is no task {str(wanted)[:40]!r}", expected=f"{', '.join(TASKS)}, or a JSONL file")


__all__ = ["TASKS", "Own", "Task", "read_own", "task"]
