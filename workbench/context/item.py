"""One question put to a model behind a long text, with all that is needed to judge the answer and to look at why."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from workbench.chat.prompt import EncodedPrompt

if TYPE_CHECKING:
    from workbench.context.answering import Answer, AnyReader


@dataclass(frozen=True)
class Item:
    """A ``task``'s question number ``case`` of a ``seed``, in a context of exactly ``length`` tokens: ``prompt`` and
    ``budget`` tokens kept free for the answer.

    ``depth``: share of the filler before the (first) needle, 0 to 1; None for tasks without one. ``form``: "chat" or
    "plain". ``references`` are the texts looked for in the answer; ``expected`` is an answer written out, whose
    log-probability is measured. ``needles`` are token ranges [start, stop) of what has to be read, in the order of the
    references where there is one each. ``judge`` names the rule (`scoring.RULES`).
    """

    task: str
    length: int
    depth: float | None
    case: int
    seed: int
    form: str
    prompt: EncodedPrompt
    budget: int
    references: tuple[str, ...]
    expected: str
    needles: tuple[tuple[int, int], ...]
    judge: str = "all"

    @cached_property
    def key(self) -> str:
        """Sixteen hexadecimal digits that name the question: ids, answers and rule, not how it came about."""
        said = [self.prompt.ids, self.references, self.expected, self.budget, self.judge]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]

    def as_json(self) -> dict[str, Any]:
        """All of it, for others to recompute: a line of JSON."""
        return {
            "key": self.key, "task": self.task, "length": self.length, "depth": self.depth, "case": self.case,
            "seed": self.seed, "form": self.form, "budget": self.budget, "references": list(self.references),
            "expected": self.expected, "judge": self.judge, "needles": [list(span) for span in self.needles],
            "text": self.prompt.text, "ids": list(self.prompt.ids), "tokenizer": self.prompt.tokenizer_hash,
        }  # fmt: skip

    def answered(self, reader: AnyReader, stop: threading.Event | None = None) -> Answer | None:
        """The `Answer` of the reader's model, read as the reader reads; None when stopped."""
        from workbench.context.answering import answer  # which knows items

        return answer(reader, self, stop)

    def __repr__(self) -> str:
        place = "" if self.depth is None else f" at depth {self.depth:g}"
        return f"Item({self.task}, {self.length} tokens{place}, case {self.case}: {self.expected!r})"
