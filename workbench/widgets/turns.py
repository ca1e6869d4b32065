"""What was said in a chat with one model or two: questions, and each model's reply with its inspection."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from workbench.chat.conversation import Conversation, Message
from workbench.comparison import Comparison
from workbench.errors import ComparisonError, PromptError
from workbench.inspection import Inspection

ENDS = {"stopped": "stopped", "length": "cut at the limit", "stop string": "ended at a stop string"}
"""Finish reasons worth a word; "eos", the usual end, is not."""


@dataclass(frozen=True)
class Reply:
    """What the model called ``model`` answered; ``inspection`` is None where it was let go, or was never here."""

    model: str
    text: str
    inspection: Inspection | None = field(default=None, repr=False)

    @property
    def footer(self) -> str:
        """Length, speed and how it ended, in words."""
        if self.inspection is None:
            return ""
        speed = self.inspection.timings.get("tokens_per_second")
        parts = [f"{len(self.inspection.steps)} tokens", f"{speed:.1f} tokens/s" if speed else ""]
        parts.append(ENDS.get(str(self.inspection.record.finish_reason), ""))
        return " · ".join(part for part in parts if part)


@dataclass(frozen=True)
class Turn:
    """A question and the reply of each model, None where it gave none."""

    question: str
    replies: tuple[Reply | None, ...]

    @property
    def runs(self) -> dict[str, Inspection]:
        """What can be looked into, by the model's name."""
        return {one.model: one.inspection for one in self.replies if one is not None and one.inspection is not None}

    def found(self) -> Inspection | Comparison | None:
        """The inspection of one model, the comparison of two; of two that cannot be compared the first one's."""
        runs = list(self.runs.values())
        if len(runs) == 2:
            try:
                return Comparison.of(runs[0], runs[1])
            except ComparisonError:
                return runs[0]
        return runs[0] if runs else None

    def without_runs(self) -> Turn:
        return replace(self, replies=tuple(one and replace(one, inspection=None) for one in self.replies))


@dataclass(frozen=True)
class Turns:
    """A whole chat; every change gives a new one."""

    system: str = ""
    turns: tuple[Turn, ...] = ()

    def __len__(self) -> int:
        return len(self.turns)

    def __iter__(self) -> Iterator[Turn]:
        return iter(self.turns)

    def __getitem__(self, index: int) -> Turn:
        return self.turns[index]

    def add(self, turn: Turn, keep: int) -> Turns:
        """One turn more; only the last ``keep`` ones hold on to their inspections."""
        every = (*self.turns, turn)
        old = max(0, len(every) - keep)
        return replace(self, turns=(*(one.without_runs() for one in every[:old]), *every[old:]))

    def undo(self) -> Turns:
        return replace(self, turns=self.turns[:-1])

    def said(self, side: int, question: str | None = None) -> Conversation:
        """The conversation with the model at ``side``, and ``question`` after it. Turns that it did not answer, or with
        nothing, are left out."""
        messages = [Message("system", self.system)] if self.system else []
        for turn in self.turns:
            reply = turn.replies[side]
            if reply is not None and reply.text.strip():
                messages += [Message("user", turn.question), Message("assistant", reply.text)]
        if question is not None:
            messages.append(Message("user", question))
        return Conversation.of(messages)

    def messages(self) -> list[dict[str, str]]:
        """All of it as {"role", "content"}, a reply with the name of its "model"."""
        found = [{"role": "system", "content": self.system}] if self.system else []
        for turn in self.turns:
            found.append({"role": "user", "content": turn.question})
            for reply in turn.replies:
                if reply is not None:
                    found.append({"role": "assistant", "content": reply.text, "model": reply.model})
        return found

    @classmethod
    def of(cls, messages: Iterable[Message | Mapping[str, Any]], models: Sequence[str]) -> Turns:
        """The chat that ``messages`` tell of: questions, each with a reply; one that names no "model" is the reply of
        every model. Raises PromptError, in a sentence, for other messages."""
        system, turns = "", list[Turn]()
        question: str | None = None
        replies: list[Reply | None] = []
        given = list(messages)
        for place, one in enumerate([*given, None]):
            message = None if one is None else Message.of(one)
            role = "user" if message is None else message.role
            if role == "system":
                if place:
                    raise PromptError(f"Message {place} is a system message", expected="it to be the first one")
                assert message is not None
                system = message.content
            elif role == "user":
                if question is not None:
                    if not any(replies):
                        raise PromptError(f"Question {len(turns) + 1} has no reply", remedy="Ask it with chat.ask(...)")
                    turns.append(Turn(question, tuple(replies)))
                question = None if message is None else message.content
                replies = [None] * len(models)
            else:
                assert message is not None
                if question is None:
                    raise PromptError(f"Message {place} answers nothing", expected="a user message before it")
                named = one.get("model") if isinstance(one, Mapping) and len(models) > 1 else None
                if named is not None and named not in models:
                    raise PromptError(f"{str(named)[:40]!r} is no model of this chat", expected=" or ".join(models))
                for side, model in enumerate(models):
                    if named in (None, model):
                        replies[side] = Reply(model, message.content)
        return cls(system, tuple(turns))
