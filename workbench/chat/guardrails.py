"""The safe prompt: the system text that Mistral published to steer a reply, as a switch that is off unless asked for.

The text and the flag (``safe_prompt``) are of Mistral's platform documentation, guardrailing page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from workbench.chat.conversation import Message, messages_of
from workbench.errors import PromptError

SAFE_PROMPT = (
    "Always assist with care, respect, and truth. Respond with utmost utility yet securely. Avoid harmful, unethical, "
    "prejudiced, or negative content. Ensure replies promote fairness and positivity."
)
"""44 tokens of the v1 tokenizer."""

LABEL = "safe prompt"
"""What a model, a reply and a run are labelled with where the text was in front."""


def with_safe_prompt(prompt: str | Iterable[Message | Mapping[str, Any]], on: bool = True) -> list[Message]:
    """Messages with the safe prompt in front; as they are when not ``on``. A text is one question.

    A system text of one's own comes behind it, in the same first message after a blank line: the published switch puts
    its text before all messages. Where the safe prompt stands already nothing is added. PromptError for no messages.
    """
    said = [Message("user", prompt)] if isinstance(prompt, str) else messages_of(prompt)
    if not on or safe(said):
        return said
    if not said:
        raise PromptError("There is no message to put the safe prompt before", remedy="Ask something")
    if said[0].role == "system":
        own = said[0].content
        return [Message("system", f"{SAFE_PROMPT}\n\n{own}" if own else SAFE_PROMPT), *said[1:]]
    return [Message("system", SAFE_PROMPT), *said]


def safe(said: Any) -> bool:
    """Whether a prompt begins with the safe prompt: messages, (role, content) pairs or dictionaries; no text does."""
    if said is None or isinstance(said, str):
        return False
    for one in said:
        if isinstance(one, tuple):
            role, content = one
        else:
            found = one if isinstance(one, Mapping) else vars(one) if isinstance(one, Message) else {}
            role, content = found.get("role"), found.get("content")
        return role == "system" and isinstance(content, str) and content.startswith(SAFE_PROMPT)
    return False
