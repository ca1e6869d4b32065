"""From words to ids: a prompt or a conversation as the model reads it, every token with its role and place in the text.

The v1 models were trained on conversations encoded message by message: BOS once, then ``[INST] question [/INST]`` as
one text, then the answer as one text followed by EOS, and so on. Each text on its own gets a ▁ in front. A chat
template that renders the whole conversation and encodes it in one go loses that ▁ in every answer but the last, so
none is used for v1 tokenizers (mistral_common, ``InstructTokenizerV1``, is the reference).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any, cast

from workbench.chat.conversation import Conversation, Message
from workbench.chat.prompt import EncodedPrompt, Part, PromptBuilder, TokenCount
from workbench.errors import PromptError
from workbench.models import Tokenizer
from workbench.models.checkpoint import first_line

_BETWEEN = "\n\n"  # between a system text and the first question, and between messages of one role in a row
_OPEN, _CLOSE = "[INST] ", " [/INST]"


def encode(
    tokenizer: Tokenizer, prompt: EncodedPrompt | Conversation | str | Message | Iterable[Message | Mapping[str, Any]]
) -> EncodedPrompt:
    """The prompt encoded: a str as plain text, a conversation or a list of messages as a chat.

    An EncodedPrompt of the same tokenizer comes back as it is. Raises PromptError for an empty prompt.
    """
    if isinstance(prompt, EncodedPrompt):
        if prompt.tokenizer_hash != tokenizer.sha256:
            raise PromptError(
                "The prompt was encoded with another tokenizer than this model's",
                remedy="Encode its text again with this model",
            )
        return prompt
    if isinstance(prompt, str):
        return encode_text(tokenizer, prompt)
    if isinstance(prompt, Message):
        prompt = [prompt]
    if isinstance(prompt, Mapping) or not isinstance(prompt, Iterable):
        raise PromptError(
            f"A prompt cannot be a {type(prompt).__name__}", expected="text, a list of messages, or a Conversation"
        )
    return encode_conversation(tokenizer, prompt)


def encode_text(tokenizer: Tokenizer, text: str) -> EncodedPrompt:
    """BOS and the ids of the text, without chat format; every token of the text has the role "text"."""
    if not isinstance(text, str):
        raise PromptError(f"The prompt is a {type(text).__name__}", expected="text (str)")
    if not text:
        raise PromptError("The prompt is empty", remedy="Write at least one character")
    builder = PromptBuilder(tokenizer)
    builder.special(tokenizer.bos_id, -1)
    builder.texts([Part(text, "text", -1)])
    return replace(builder.finish(), source=text)


def encode_conversation(
    tokenizer: Tokenizer, messages: Conversation | Iterable[Message | Mapping[str, Any]]
) -> EncodedPrompt:
    """The conversation as the model reads it; one that ends in an answer is encoded complete, with its EOS.

    For a v1 tokenizer the ids are mistral_common's: system texts are joined before the first question, messages of one
    role in a row are joined, each with a blank line between; a conversation that starts with an answer gets an empty
    question first. For any other tokenizer, or a v1 tokenizer with a chat template of another format, the checkpoint's
    template is rendered; then roles are found by searching the messages' texts in what it rendered, and text that the
    template changed is "control".

    Raises PromptError: no messages or none with text, an answer alone or without text, a system message
    after an answer, a message that holds the name of a control token the template would make of it.
    """
    made = [Message.of(value) for value in messages]
    if not made:
        raise PromptError("The conversation has no messages", remedy="Add at least one user message")
    if [message.role for message in made] == ["assistant"]:
        raise PromptError("The conversation is an answer alone", remedy="Put the question before it")
    if not any(message.content for message in made):
        raise PromptError("The conversation has no text", remedy="Write at least one character")
    encode_messages = _encode_reference if uses_reference_format(tokenizer) else _encode_template
    source = tuple((message.role, message.content) for message in made)
    return replace(encode_messages(tokenizer, made), source=source)


def count_tokens(tokenizer: Tokenizer, prompt: str | list[dict[str, str]]) -> int:
    """How many tokens `encode` makes of a text or of a conversation's messages; a third of its time in v1's format."""
    if isinstance(prompt, str) and prompt:
        return (tokenizer.bos_id is not None) + len(tokenizer.encode(prompt))
    if isinstance(prompt, str) or not uses_reference_format(tokenizer):
        return len(encode(tokenizer, prompt).ids)
    count = TokenCount(tokenizer)
    _write_reference(tokenizer, [Message.of(value) for value in prompt], count)
    return count.tokens


def uses_reference_format(tokenizer: Tokenizer) -> bool:
    """Whether conversations are encoded as v1's reference does: v1 ids, and no template of a format of its own.

    The templates published with the Instruct models all write ``[INST]`` and approximate the reference; one with
    ``<<SYS>>`` is Llama 2's.
    """
    template = tokenizer.chat_template
    return tokenizer.is_v1 and (template is None or ("[INST]" in template and "<<SYS>>" not in template))


def _encode_reference(tokenizer: Tokenizer, messages: list[Message]) -> EncodedPrompt:
    for before, after in pairwise(messages):
        if before.role == "assistant" and after.role == "system":
            raise PromptError(
                "A system message follows an answer", expected="system messages before a question or at the start"
            )
    for place, message in enumerate(messages):
        if message.role == "assistant" and not message.content:
            raise PromptError(f"Message {place}, an answer, has no text", remedy="Leave it out or write it")

    builder = PromptBuilder(tokenizer)
    _write_reference(tokenizer, messages, builder)
    return builder.finish()


def _write_reference(tokenizer: Tokenizer, messages: list[Message], builder: PromptBuilder | TokenCount) -> None:
    builder.special(tokenizer.bos_id, -1)
    system = _joined(messages, [place for place, message in enumerate(messages) if message.role == "system"])
    if system:
        system.append(Part(_BETWEEN, "system", system[-1].message))
    for role, places in _turns(messages):
        parts = _joined(messages, places)
        first, last = (places[0], places[-1]) if places else (-1, -1)
        if role == "user":
            builder.texts([Part(_OPEN, "control", first), *system, *parts, Part(_CLOSE, "control", last)])
            system = []
        else:
            builder.texts(parts)
            builder.special(tokenizer.eos_id, last)


def _turns(messages: list[Message]) -> list[tuple[str, list[int]]]:
    """Runs of messages of one role, as places; system messages belong to no run but end one. A user starts."""
    turns: list[tuple[str, list[int]]] = []
    previous = ""
    for place, message in enumerate(messages):
        if message.role != "system":
            if message.role != previous:
                turns.append((message.role, []))
            turns[-1][1].append(place)
        previous = message.role
    return turns if turns and turns[0][0] == "user" else [("user", []), *turns]


def _joined(messages: list[Message], places: list[int]) -> list[Part]:
    """The texts at these places with a blank line between; empty texts are left out, as in the reference."""
    parts: list[Part] = []
    for place in places:
        message = messages[place]
        if message.content:
            if parts:
                parts.append(Part(_BETWEEN, message.role, place))
            parts.append(Part(message.content, message.role, place))
    return parts


def _encode_template(tokenizer: Tokenizer, messages: list[Message]) -> EncodedPrompt:
    if tokenizer.chat_template is None:
        raise PromptError(
            "This model's tokenizer has no chat template, so a conversation has no defined format",
            remedy="Give the prompt as plain text, or add a chat template to the checkpoint",
        )
    for place, message in enumerate(messages):
        for name in tokenizer.special_texts:
            if name in message.content:
                raise PromptError(
                    f"Message {place} holds {name!r}, which this model's chat template would turn into a control token",
                    remedy="Write it differently, for instance with a space inside",
                )
    try:
        text = tokenizer.hf.apply_chat_template(
            [message.as_dict() for message in messages],
            chat_template=tokenizer.chat_template,
            tokenize=False,
            add_generation_prompt=messages[-1].role != "assistant",
        )
    except Exception as error:  # Jinja's errors, and whatever a template raises about roles
        raise PromptError(
            f"The checkpoint's chat template refuses this conversation ({first_line(error)})",
            remedy="Many templates take no system message, or want questions and answers in turn",
        ) from None
    text = cast(str, text)
    parts: list[Part] = []
    cursor = 0
    for place, message in enumerate(messages):
        content = message.content.strip()
        found = text.find(content, cursor) if content else -1
        if found >= 0:
            parts += [Part(text[cursor:found], "control", place), Part(content, message.role, place)]
            cursor = found + len(content)
    parts.append(Part(text[cursor:], "control", len(messages) - 1))
    builder = PromptBuilder(tokenizer)
    builder.rendered(text, parts)
    return builder.finish()
