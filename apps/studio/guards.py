"""The guardrails of a tab: the safe prompt, and whether questions and answers are moderated. Both are off at first."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import workbench as wb
from apps.server.faults import Faults
from workbench.chat.guardrails import LABEL, safe, with_safe_prompt
from workbench.errors import WorkbenchError
from workbench.models.switches import describe


@dataclass(frozen=True)
class Guards:
    """``safe_prompt`` puts the safe prompt before what is asked; ``moderate`` has each model classify the question it
    is asked and its own answer. Nothing is held back."""

    safe_prompt: bool = False
    moderate: bool = False

    @classmethod
    def of(cls, request: dict[str, Any]) -> Guards:
        """Of what the page sent. WorkbenchError for anything but yes or no."""
        found = {name: request.get(name) for name in ("safe_prompt", "moderate")}
        if not all(isinstance(value, bool) for value in found.values()):
            raise WorkbenchError("a guardrail is neither on nor off", expected="true or false")
        return cls(**found)  # type: ignore[arg-type]

    def said(self, conversation: wb.Conversation) -> Any:
        """What the model reads: the conversation, the safe prompt before it where that is on."""
        return with_safe_prompt(conversation.messages) if self.safe_prompt else conversation

    def label(self, switches: dict[str, Any], cache: str = "") -> str:
        """What differs from the model as it is, in words: "window 64 · cache snapkv=25% · safe prompt"."""
        return labelled(switches, cache, self.safe_prompt)


def switched(run: wb.Run, switches: dict[str, Any]) -> str:
    """The same of a run that was made."""
    return labelled(switches, run.cache, safe(run.prompt.source))


def labelled(switches: dict[str, Any], cache: str, safe_prompt: bool) -> str:
    parts = (describe(switches), f"cache {cache}" if cache else "", LABEL if safe_prompt else "")
    return " · ".join(part for part in parts if part)


def verdict(
    model: wb.Model, text: str, of: str, stop: threading.Event, prefixes: wb.PrefixStore, faults: Faults | None = None
) -> str:
    """What the model says of a text, for a footer: "question: not moderated (-0.3 nats)". Where ``faults`` are given, a
    failure is theirs to tell, and the reply is spared."""
    what = "question" if of == "prompt" else "answer"
    if stop.is_set() or not text.strip():
        return ""
    try:
        found = wb.moderate(model, text, of, stop=stop, reuse=prefixes)  # type: ignore[arg-type]
    except WorkbenchError as error:
        return f"{what}: could not be moderated ({error.what})"
    except Exception as error:
        if faults is None:
            raise
        faults.told(error)
        return f"{what}: could not be moderated (a failure inside the workbench)"
    return "" if stop.is_set() else f"{what}: {found.words}"
