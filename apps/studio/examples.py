"""The example prompts: the chips under the composer, and what the recorded exchanges ask."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench.errors import FileFormatError
from workbench.models.registry import assets_folder


@dataclass(frozen=True)
class Example:
    """``id`` names files, ``title`` is a chip's label, ``kind`` is "fact", "recall" or "instruction"; ``messages`` end
    with the question."""

    id: str
    title: str
    kind: str
    messages: tuple[Mapping[str, str], ...]

    @property
    def question(self) -> str:
        """The last message."""
        return self.messages[-1]["content"]


def fact(question: str) -> Example:
    """An example of one question."""
    return Example("fact", "A fact", "fact", ({"role": "user", "content": question},))


def examples() -> list[Example]:
    """All of assets/prompts/examples.json, a list of {"id", "title", "kind", "messages"}; one built-in fact when the
    file is not there. Raises FileFormatError."""
    path = assets_folder() / "prompts" / "examples.json"
    if not path.is_file():
        return [fact("What is the capital of France?")]
    try:
        return [_example(entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise FileFormatError(f"{path.name} is malformed ({type(error).__name__}: {error})") from None


def _example(entry: dict[str, Any]) -> Example:
    messages = tuple({"role": str(m["role"]), "content": str(m["content"])} for m in entry["messages"])
    return Example(str(entry["id"]), str(entry["title"]), str(entry["kind"]), messages)


def chips(found: list[Example]) -> list[Example]:
    """One of each kind for the composer: the first fact, the longest recall, the first instruction. Only those of one
    message, because a chip asks in the conversation that is going on."""
    single = [one for one in found if len(one.messages) == 1]
    facts, recalls, instructions = ([one for one in single if one.kind == k] for k in ("fact", "recall", "instruction"))
    return [*facts[:1], *sorted(recalls, key=lambda one: -len(one.question))[:1], *instructions[:1]]
