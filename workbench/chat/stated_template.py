"""The chat template a checkpoint states: which of the published ones it is, and whether it gives the reference ids.

Three templates are in the wild for the Instruct models (A, 2023; B, the same without the space after ``</s>``; C, later
revisions). They are told apart by what they write for a conversation, not by their source, which has many spellings.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest

from workbench.chat.encoding import encode
from workbench.errors import PromptError
from workbench.models.checkpoint import first_line
from workbench.models.tokenizer import Tokenizer

CHAT = (
    {"role": "user", "content": "What is the capital of France?"},
    {"role": "assistant", "content": "Paris is the capital."},
    {"role": "user", "content": "And what is near it?"},
)
"""Two turns: one is not enough to tell A from B, or either from the reference."""
WRITES = {
    "A": "<s>[INST] {0} [/INST]{1}</s> [INST] {2} [/INST]",
    "B": "<s>[INST] {0} [/INST]{1}</s>[INST] {2} [/INST]",
    "C": "<s> [INST] {0} [/INST] {1}</s> [INST] {2} [/INST]",
}
"""What each published template writes for `CHAT`."""


@dataclass(frozen=True)
class StatedTemplate:
    """``kind``: "A", "B", "C", "own" (none of them) or "none" (nothing stored). ``agrees``: whether it gives the
    reference ids for `CHAT`; None where there is no template, no reference for this tokenizer, or nothing rendered.
    ``difference`` says where it first departs, or why it cannot be compared."""

    kind: str
    agrees: bool | None
    difference: str

    def __str__(self) -> str:
        if self.kind == "none":
            return "none stored; the reference format is used"
        named = "its own, none of A, B, C" if self.kind == "own" else f"template {self.kind}"
        return named + ("; the reference ids in two turns" if self.agrees else f"; {self.difference}")


def stated_template(tokenizer: Tokenizer) -> StatedTemplate:
    """What the chat template of ``tokenizer`` is and does on `CHAT`."""
    template = tokenizer.chat_template
    if template is None:
        return StatedTemplate("none", None, "")
    try:
        text = str(
            tokenizer.hf.apply_chat_template(
                [dict(message) for message in CHAT], chat_template=template, tokenize=False, add_generation_prompt=True
            )
        )
    except Exception as error:  # Jinja's errors, and whatever a template raises
        return StatedTemplate("own", None, f"it refuses a conversation of two turns ({first_line(error)})")
    said = [message["content"] for message in CHAT]
    kind = next((letter for letter, form in WRITES.items() if form.format(*said) == text), "own")
    if not tokenizer.is_v1:
        return StatedTemplate(kind, None, "this tokenizer has no other reference")
    try:
        reference = encode(tokenizer.with_template(None), CHAT)
    except PromptError as error:
        return StatedTemplate(kind, None, str(error))
    ids = tokenizer.encode_rendered(text)[0]
    for place, (own, right) in enumerate(zip_longest(ids, reference.ids)):
        if own != right:
            pieces = [repr(tokenizer.pieces([one])[0]) if one is not None else "nothing" for one in (own, right)]
            return StatedTemplate(kind, False, f"token {place} is {pieces[0]}, {pieces[1]} in the reference")
    return StatedTemplate(kind, True, "")
