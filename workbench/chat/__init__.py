"""Conversations and their exact encoding.

Names are imported when first used: reading a conversation needs neither torch nor transformers.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.chat.conversation import Conversation, Message
    from workbench.chat.encoding import encode, encode_conversation, encode_text, uses_reference_format
    from workbench.chat.prompt import EncodedPrompt

_HOMES = {
    "conversation": ("Conversation", "Message"),
    "encoding": ("encode", "encode_conversation", "encode_text", "uses_reference_format"),
    "prompt": ("EncodedPrompt",),
}

__all__ = [
    "Conversation",
    "EncodedPrompt",
    "Message",
    "encode",
    "encode_conversation",
    "encode_text",
    "uses_reference_format",
]


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"workbench.chat.{module}"), name)
    raise AttributeError(f"module 'workbench.chat' has no attribute {name!r}")
