"""A token strip on its way to the page: one line of JSON a token, in blocks.

Gradio copies and compares a component's whole value at every update, element by element, and sends the difference.
Lists of a thousand tokens saturate a browser that way; a text is compared at once, and of one that has grown only the
end is sent. Blocks of lines that stay as they are, those of earlier turns among them, are not sent again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.chat.encoding import EncodedPrompt

COLUMNS = ("tokens", "ids", "roles", "logprob", "rank", "entropy", "alternatives")
"""The lists of the token view's payload, in the order of a line's values."""


_NOTHING = (None, None, None, None)  # is known of a token that no model has read

BLOCK = 128
"""Lines of a block."""


@dataclass
class Strip:
    """``blocks`` of lines grow while a reply is written (``live``); ``prompt_length`` and ``given`` in tokens."""

    run: str
    prompt_length: int
    blocks: list[str]
    live: bool = False
    given: int = 0

    @property
    def lines(self) -> str:
        """All of them."""
        return "".join(self.blocks)

    @classmethod
    def of(cls, payload: Mapping[str, Any]) -> Strip:
        """The strip of a payload of `views.tokens.pack`."""
        rows = zip(*(payload[name] for name in COLUMNS), strict=True)
        strip = cls(payload["run"], payload["prompt_length"], [], given=payload.get("given", 0))
        for row in rows:
            strip.add(line(*row))
        return strip

    @classmethod
    def reading(cls, run: str, prompt: EncodedPrompt, earlier: Strip | None) -> Strip:
        """The strip of a prompt that is about to be read: what ``earlier`` knows of the tokens that both begin with,
        no probabilities for the rest."""
        strip, known = cls(run, len(prompt), [], live=True), iter(() if earlier is None else earlier.lines.splitlines())
        alike = True
        for token in zip(prompt.tokens, prompt.ids, prompt.roles, strict=True):
            text = next(known, "") if alike else ""
            alike = alike and bool(text) and json.loads(text)[: len(token)] == list(token)
            strip.add(text + "\n" if alike else line(*token, *_NOTHING))
        if earlier is not None and earlier.live and strip.lines.startswith(earlier.lines):
            strip.run = earlier.run  # the page need not draw again what it has
        return strip

    def waiting(self, run: str) -> Strip:
        """The same tokens while the next reply is not begun, under another name."""
        return replace(self, run=run, blocks=list(self.blocks), live=True)

    def add(self, text: str) -> None:
        """Take one more line."""
        if not self.blocks or self.blocks[-1].count("\n") >= BLOCK:
            self.blocks.append("")
        self.blocks[-1] += text

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
