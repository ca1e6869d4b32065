"""Conversations and their exact encoding."""

from workbench.chat.conversation import Conversation, Message
from workbench.chat.encoding import encode, encode_conversation, encode_text, uses_reference_format
from workbench.chat.prompt import EncodedPrompt

__all__ = [
    "Conversation",
    "EncodedPrompt",
    "Message",
    "encode",
    "encode_conversation",
    "encode_text",
    "uses_reference_format",
]
