"""The example questions: the chips under the composer, and what the recorded exchanges ask."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from workbench.models.registry import assets_folder

MOST = 3


@dataclass(frozen=True)
class Example:
    """``key`` names files, ``title`` is the chip's label, ``text`` the question."""

    key: str
    title: str
    text: str


def examples() -> list[Example]:
    """The first MOST examples of assets/prompts/examples.json, a list of {"title", "text"}; a built-in fact when the
    file is not there."""
    path = assets_folder() / "prompts" / "examples.json"
    if not path.is_file():
        return [Example("fact", "A fact", "What is the capital of France?")]
    entries = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(entries, dict):
        entries = entries["examples"]
    return [Example(_key(entry, i), str(entry["title"]), str(entry["text"])) for i, entry in enumerate(entries[:MOST])]


def _key(entry: dict[str, str], place: int) -> str:
    plain = re.sub(r"[^a-z0-9]+", "-", str(entry.get("key", entry["title"])).lower()).strip("-")
    return plain or f"example-{place + 1}"
