"""A token strip on its way to the page: one line of JSON a token.

Gradio copies and compares a component's whole value at every update, element by element, and sends the difference.
Lists of a thousand tokens saturate a browser that way; one growing text is compared at once and only its end is sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

COLUMNS = ("tokens", "ids", "roles", "logprob", "rank", "entropy", "alternatives")
"""The lists of the token view's payload, in the order of a line's values."""


@dataclass
class Strip:
    """``lines`` grow while a reply is written (``live``); ``prompt_length`` in tokens."""

    run: str
    prompt_length: int
    lines: str
    live: bool = False

    @classmethod
    def of(cls, payload: Mapping[str, Any]) -> Strip:
        """The strip of a payload of `views.tokens.pack`."""
        rows = zip(*(payload[name] for name in COLUMNS), strict=True)
        return cls(payload["run"], payload["prompt_length"], "".join(line(*row) for row in rows))

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def payload(self) -> dict[str, Any]:
        """The token view's lists again."""
        rows = [json.loads(text) for text in self.lines.splitlines()]
        lists = {name: [row[i] for row in rows] for i, name in enumerate(COLUMNS)}
        return {"run": self.run, "prompt_length": self.prompt_length, **lists}


def line(*values: Any) -> str:
    """One token's values; plain ASCII, so that a line break is always the end of a token."""
    return json.dumps(values, separators=(",", ":")) + "\n"
