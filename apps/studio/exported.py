"""A tab's conversation as a file: all versions, and how each reply came about; and such a file read again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any

import workbench as wb
from apps.studio.session import Session
from apps.studio.talk import Reply, Talk
from workbench.chat.conversation import MAX_FILE_BYTES
from workbench.errors import FileFormatError, PromptError, WorkbenchError

SCHEMA = "workbench.chat"
SCHEMA_VERSION = 1
_NUMBERS = ("tokens", "given", "seconds", "tokens_per_second", "used", "context")
_LARGEST = 1e15  # also of whole numbers, which JSON may give more digits than a float can hold
_WORDS = ("model", "switched", "finish", "moderated")


def export_chat(session: Session) -> str:
    """The present conversation as JSON text: {"schema", "version", "exported", "title", "models": [{"model",
    "messages": [{"role", "chosen", "versions": [{"text", "reply"}]}]}]}. A reply has its model with what was switched,
    sampling with seed, tokens, seconds, tokens a second, context used, finish reason, what
    moderation said."""
    models = [
        {"model": name, "messages": _messages(column.talk)}
        for name, column in session.columns.items()
        if column.talk.said
    ]
    document = {
        "schema": SCHEMA,
        "version": SCHEMA_VERSION,
        "exported": datetime.now(UTC).isoformat(timespec="seconds"),
        "title": session.present().title,
        "models": models,
    }
    return json.dumps(document, ensure_ascii=False, indent=1)


def import_chat(text: str, names: Sequence[str]) -> dict[str, Talk]:
    """The talks of a file for the columns ``names``: each model's own, by position where the file names others; one
    conversation for all from a file of `Conversation.save` or a bare list of messages. Raises FileFormatError."""
    if len(text.encode("utf-8", "replace")) > MAX_FILE_BYTES:
        raise FileFormatError("The file is too large", expected=f"at most {MAX_FILE_BYTES // 2**20} MiB")
    try:
        document = json.loads(text)
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # it could be sent to no page
        raise FileFormatError("The file holds half of a character (a lone surrogate)", remedy="Remove it") from None
    except (ValueError, RecursionError):
        raise FileFormatError(
            "The file is not JSON, is cut short or nested too deep",
            expected="a conversation exported here, or a list of messages",
        ) from None
    try:
        if isinstance(document, dict) and document.get("schema") == SCHEMA:
            return _talks(document, names)
        talk = Talk.of(wb.Conversation.from_json(text))
        _check(talk)
        return dict.fromkeys(names, talk)
    except FileFormatError:
        raise
    except WorkbenchError as error:
        raise FileFormatError(
            f"The file is malformed: {error.what}", expected=error.expected, remedy=error.remedy
        ) from None


def _messages(talk: Talk) -> list[dict[str, Any]]:
    said = talk.said
    found = []
    for role, texts, chosen, made in zip(said.roles, said.versions, said.chosen, talk.made, strict=True):
        versions = [
            {"text": text} | ({"reply": _reply(reply)} if reply else {})
            for text, reply in zip(texts, made, strict=True)
        ]
        found.append({"role": role, "chosen": chosen, "versions": versions})
    return found


def _reply(reply: Reply) -> dict[str, Any]:
    return {name: getattr(reply, name) for name in (*_WORDS, *_NUMBERS)} | {"sampling": asdict(reply.sampling)}


def _talks(document: Mapping[str, Any], names: Sequence[str]) -> dict[str, Talk]:
    if document.get("version") != SCHEMA_VERSION:
        raise PromptError(
            f"it has version {str(document.get('version'))[:20]}", expected=str(SCHEMA_VERSION),
            remedy="Open it with a newer workbench",
        )  # fmt: skip
    models = document.get("models")
    if not isinstance(models, list) or not models or not all(isinstance(model, dict) for model in models):
        raise PromptError("it lists no models")
    found = {}
    own = {str(model.get("model")): model for model in models}
    for place, name in enumerate(names):
        model = own.get(name) or (models[place] if place < len(models) and not set(own) & set(names) else None)
        if model is not None:
            found[name] = _talk(model.get("messages"))
    return found


def _talk(messages: Any) -> Talk:
    if not isinstance(messages, list):
        raise PromptError("a model has no list of messages")
    roles, versions, chosen, made = [], [], [], []
    for number, message in enumerate(messages):
        entries = message.get("versions") if isinstance(message, dict) else None
        place = message.get("chosen", 0) if isinstance(message, dict) else None
        if not isinstance(entries, list) or not entries or not all(isinstance(one, dict) for one in entries):
            raise PromptError(f"message {number} has no versions", expected='{"role", "chosen", "versions"}')
        if isinstance(place, bool) or not isinstance(place, int):
            raise PromptError(f"message {number} shows version {str(place)[:20]!r}", expected="a number")
        roles.append(message.get("role"))
        versions.append(tuple(one.get("text") for one in entries))
        chosen.append(place)
        made.append(tuple(_read_reply(one.get("reply"), number) for one in entries))
    talk = Talk(wb.Conversation(tuple(roles), tuple(versions), tuple(chosen)), tuple(made))
    _check(talk)
    return talk


def _read_reply(found: Any, number: int) -> Reply | None:
    """What a file says of a reply; nothing of it can be opened here."""
    if found is None:
        return None
    if not isinstance(found, dict) or not isinstance(found.get("sampling"), dict):
        raise PromptError(f"what is said of reply {number} is malformed", expected='{"model", "sampling", ...}')
    for name in _NUMBERS:
        value = found.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LARGEST:
            raise PromptError(f"{name} of reply {number} is {str(value)[:20]!r}", expected="a number")
    known = {field.name for field in fields(wb.Sampling)}
    if not found["sampling"].keys() <= known:
        raise PromptError(f"the sampling of reply {number} has settings that do not exist")
    sampling = wb.Sampling(**found["sampling"])
    told: dict[str, Any] = {name: str(found.get(name) or "")[:200] for name in _WORDS}
    told |= {name: found.get(name, 0) for name in _NUMBERS}
    return Reply(sampling=sampling, origin="imported", **told)


def _check(talk: Talk) -> None:
    """Questions and answers take turns, after at most one system message."""
    roles = [role for role in talk.said.roles if role != "system"]
    if "system" in talk.said.roles[1:] or roles != [("user", "assistant")[i % 2] for i in range(len(roles))]:
        raise PromptError(
            "its messages are out of order", expected="a question first, then answers and questions in turn"
        )
    if not roles:
        raise PromptError("it has no message")
