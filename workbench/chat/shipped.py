"""The held-out chats of the twins' language that come with the workbench: texts to read where one has none."""

from __future__ import annotations

import json
from typing import Any

from workbench.errors import PromptError
from workbench.models.registry import assets_folder


def shipped_texts() -> list[Any]:
    """The chats, each as messages {"role", "content"}: conversations of the side of the language that the twins were
    never trained on. PromptError where they were not installed."""
    path = assets_folder() / "prompts" / "factorial-texts.jsonl"
    if not path.is_file():
        raise PromptError(f"{path} is not here", remedy="Give texts of your own")
    # Not splitlines(): a text may hold U+2028 and its like, which JSON leaves as they are and which end no line of it.
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line)["messages"] for line in lines if line.strip()]
