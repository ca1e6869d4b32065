"""What was said: messages, the versions of each reply, and a JSON form of both.

A conversation is immutable: every change returns a new one, so an earlier state can be kept, forked or compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

from workbench.errors import FileFormatError, PromptError
from workbench.models.given import path_given

Role = Literal["system", "user", "assistant"]
ROLES: tuple[str, ...] = get_args(Role)

SCHEMA = "workbench.conversation"
SCHEMA_VERSION = 1
MAX_FILE_BYTES = 8 * 2**20
MAX_MESSAGES = 2_000
MAX_VERSIONS = 100
MAX_CHARACTERS = 2_000_000


@dataclass(frozen=True)
class Message:
    """One message: who says it, and the text."""

    role: Role
    content: str

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise PromptError(f"{self.role!r} is not a role", expected='"system", "user" or "assistant"')
        if not isinstance(self.content, str):
            raise PromptError(
                f"The content of a {self.role} message is a {type(self.content).__name__}", expected="text (str)"
            )
        try:
            self.content.encode()
        except UnicodeEncodeError as error:  # neither a tokenizer nor JSON nor a page can take it
            raise PromptError(
                f"The text of a {self.role} message holds half of a character (a lone surrogate) at position "
                f"{error.start}",
                remedy="Remove it",
            ) from None

    def as_dict(self) -> dict[str, str]:
        """The message as chat templates and JSON take it."""
        return {"role": self.role, "content": self.content}

    @classmethod
    def of(cls, value: Message | Mapping[str, Any]) -> Message:
        """The message itself, or one made of a dictionary with role and content."""
        if isinstance(value, Message):
            return value
        if not isinstance(value, Mapping) or "role" not in value or "content" not in value:
            raise PromptError(
                f"A message cannot be made of a {type(value).__name__}"
                + (f" with the keys {sorted(map(str, value))}" if isinstance(value, Mapping) else ""),
                expected='{"role": ..., "content": ...}',
            )
        return cls(value["role"], value["content"])


def messages_of(given: Any) -> list[Message]:
    """The messages of a conversation or of any iterable of messages or dictionaries. Raises PromptError."""
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        said = "A conversation cannot be made of a " + type(given).__name__
        raise PromptError(said, expected='messages such as {"role": "user", "content": "..."} in a list')
    return [Message.of(value) for value in given]


@dataclass(frozen=True)
class Conversation:
    """Messages in order, and for each the versions that were written, of which one is shown.

    ``versions[i]`` are all texts of message i, ``chosen[i]`` the place of the shown one in them; ``messages`` are the
    shown ones. ``title`` is free text.
    """

    roles: tuple[Role, ...] = ()
    versions: tuple[tuple[str, ...], ...] = ()
    chosen: tuple[int, ...] = ()
    title: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.roles, str) or not isinstance(self.roles, Sequence):
            raise PromptError(
                f"The roles of a conversation are {repr(self.roles)[:40]}", expected="a tuple of them",
                remedy="Make one of messages with Conversation.of",
            )  # fmt: skip
        if not len(self.roles) == len(self.versions) == len(self.chosen):
            raise PromptError("A conversation needs as many lists of versions and choices as roles")
        if len(self.roles) > MAX_MESSAGES:
            raise PromptError(f"The conversation has {len(self.roles)} messages", expected=f"at most {MAX_MESSAGES}")
        characters = 0
        for role, texts, place in zip(self.roles, self.versions, self.chosen, strict=True):
            if not texts or not 0 <= place < len(texts):
                raise PromptError(f"A {role} message shows version {place} of {len(texts)}")
            if len(texts) > MAX_VERSIONS:
                raise PromptError(f"A {role} message has {len(texts)} versions", expected=f"at most {MAX_VERSIONS}")
            for text in texts:
                characters += len(Message(role, text).content)
        if characters > MAX_CHARACTERS:
            raise PromptError(
                f"The conversation holds {characters} characters",
                expected=f"at most {MAX_CHARACTERS}",
                remedy="Start a new one, or shorten the longest message",
            )

    @classmethod
    def of(cls, messages: Iterable[Message | Mapping[str, Any]], title: str = "") -> Conversation:
        """A conversation of one version of each message."""
        made = messages_of(messages)
        roles = tuple(message.role for message in made)
        return cls(roles, tuple((message.content,) for message in made), (0,) * len(made), title)

    @property
    def messages(self) -> tuple[Message, ...]:
        """The shown version of every message."""
        shown = zip(self.roles, self.versions, self.chosen, strict=True)
        return tuple(Message(role, texts[place]) for role, texts, place in shown)

    def __len__(self) -> int:
        return len(self.roles)

    def __iter__(self) -> Iterator[Message]:
        return iter(self.messages)

    def __getitem__(self, index: int) -> Message:
        place = self._place(index)
        return Message(self.roles[place], self.versions[place][self.chosen[place]])

    def add(self, role: Role, content: str) -> Conversation:
        """The conversation with one message more."""
        message = Message(role, content)
        return replace(
            self,
            roles=(*self.roles, message.role),
            versions=(*self.versions, (message.content,)),
            chosen=(*self.chosen, 0),
        )

    def undo(self) -> Conversation:
        """The conversation without its last user message and everything after; without its last message if no user
        spoke."""
        if not self.roles:
            raise PromptError("There is nothing to undo: the conversation is empty")
        users = [place for place, role in enumerate(self.roles) if role == "user"]
        return self.fork(users[-1] if users else len(self) - 1)

    def fork(self, length: int) -> Conversation:
        """The first ``length`` messages with their versions: a new conversation that can go on differently."""
        if not 0 <= length <= len(self):
            raise PromptError(
                f"Cannot fork after {length} messages",
                expected=f"a number from 0 to {len(self)}, the messages there are",
            )
        return replace(self, roles=self.roles[:length], versions=self.versions[:length], chosen=self.chosen[:length])

    def edit(self, index: int, content: str) -> Conversation:
        """The conversation up to message ``index`` with that message's text changed; what answered it is dropped."""
        place = self._place(index)
        return self.fork(place).add(self.roles[place], content)

    def add_version(self, index: int, content: str) -> Conversation:
        """Another version of message ``index``, shown from now on; later messages, which answered the old one, go."""
        place = self._place(index)
        kept = self.fork(place + 1)
        texts = (*self.versions[place], content)
        return replace(kept, versions=(*kept.versions[:-1], texts), chosen=(*kept.chosen[:-1], len(texts) - 1))

    def choose(self, index: int, version: int) -> Conversation:
        """Shows another version of the last message; of an earlier one, the messages after it are dropped."""
        place = self._place(index)
        if not 0 <= version < len(self.versions[place]):
            raise PromptError(
                f"Message {place} has no version {version}", expected=f"0 to {len(self.versions[place]) - 1}"
            )
        kept = self.fork(place + 1)
        return replace(kept, chosen=(*kept.chosen[:-1], version))

    def as_dicts(self) -> list[dict[str, str]]:
        """The shown messages as chat templates take them."""
        return [message.as_dict() for message in self.messages]

    def to_json(self) -> str:
        """The whole conversation, all versions included, as JSON text with its schema's name and version."""
        entries = [
            {"role": role, "versions": list(texts), "chosen": place}
            for role, texts, place in zip(self.roles, self.versions, self.chosen, strict=True)
        ]
        document = {"schema": SCHEMA, "version": SCHEMA_VERSION, "title": self.title, "messages": entries}
        return json.dumps(document, ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> Conversation:
        """The conversation of ``to_json``, or of a bare list of {"role", "content"}. Raises FileFormatError."""
        if not isinstance(text, str | bytes):
            raise FileFormatError(f"A conversation in a {type(text).__name__}", expected="JSON as text or bytes")
        if len(text) > MAX_FILE_BYTES:
            raise FileFormatError(f"The conversation file has {len(text)} bytes", expected=f"at most {MAX_FILE_BYTES}")
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            raise FileFormatError("The conversation file is not JSON, or is cut short") from None
        try:
            return _from_document(document)
        except PromptError as error:
            raise FileFormatError(
                f"The conversation file is malformed: {error.what}", expected=error.expected, remedy=error.remedy
            ) from None

    def save(self, path: str | Path) -> None:
        """Writes ``to_json`` to a file, whole or not at all."""
        path = path_given(path)
        unfinished = path.with_name(path.name + ".part")
        try:
            unfinished.write_text(self.to_json(), encoding="utf-8")
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)

    @classmethod
    def open(cls, path: str | Path) -> Conversation:
        """Reads a file of ``save``. Raises FileFormatError."""
        path = path_given(path)
        try:
            with path.open("rb") as stream:
                data = stream.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise FileFormatError(f"{path} cannot be read ({error.strerror})") from None
        return cls.from_json(data)

    def _place(self, index: int) -> int:
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise PromptError(f"There is no message {index}", expected=f"one of the {len(self)} messages")
        return place


def _from_document(document: Any) -> Conversation:
    if isinstance(document, list):
        return Conversation.of(document)
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise PromptError("it is not a conversation", expected=f'"schema": "{SCHEMA}", or a list of messages')
    version = document.get("version")
    if version != SCHEMA_VERSION:
        raise PromptError(
            f"it has version {version!r}", expected=str(SCHEMA_VERSION), remedy="Open it with a newer workbench"
        )
    entries, title = document.get("messages"), document.get("title", "")
    if not isinstance(entries, list) or not isinstance(title, str):
        raise PromptError("it has no list of messages, or its title is not text")
    if len(entries) > MAX_MESSAGES:
        raise PromptError(f"it has {len(entries)} messages", expected=f"at most {MAX_MESSAGES}")
    roles: list[Role] = []
    versions: list[tuple[str, ...]] = []
    chosen: list[int] = []
    for number, entry in enumerate(entries):
        texts = entry.get("versions") if isinstance(entry, dict) else None
        place = entry.get("chosen", 0) if isinstance(entry, dict) else None
        if not isinstance(texts, list) or isinstance(place, bool) or not isinstance(place, int):
            raise PromptError(
                f"message {number} lacks a list of versions or a number for the chosen one",
                expected='{"role", "versions", "chosen"}',
            )
        roles.append(cast(Role, entry.get("role")))
        versions.append(tuple(texts))
        chosen.append(place)
    return Conversation(tuple(roles), tuple(versions), tuple(chosen), title)
