"""Questions of one's own from a JSONL file: a fact to hide, a question, the answers looked for.

A line: {"needle": text or list of texts, "question": text, "answer": text or list of texts, "expected": text}. The last
is an answer written out (by default the answers joined by a comma); every line is one case, over and over.
"""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.context.draft import Draft
from workbench.context.haystack import Haystack
from workbench.context.task import Task, spread
from workbench.errors import FileFormatError, PromptError
from workbench.models import Tokenizer

MOST_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Line:
    """One case of the file."""

    needles: tuple[str, ...]
    question: str
    answers: tuple[str, ...]
    expected: str
    where: str = ""
    """The file's name and the line's number."""


@dataclass(frozen=True)
class Own(Task):
    """The cases of a file; see `read_own`."""

    lines: tuple[Line, ...] = ()
    source: str = ""
    """The file's name, and eight hexadecimal digits of its SHA-256."""

    name = "own"
    title = "Questions of a file"
    budget = 48

    def check(self, tokenizer: Tokenizer, cases: int) -> None:
        """Raises PromptError, naming the line, for an expected answer that is longer than the answer's budget."""
        for line in self.lines[:cases]:
            if (count := len(tokenizer.encode(line.expected))) > self.budget:
                raise PromptError(
                    f'{line.where}: "expected" has {count} tokens',
                    expected=f"at most {self.budget}, which each context keeps free for the answer",
                    remedy="Write a shorter one; all that is looked for in the reply stands in \"answer\"",
                )  # fmt: skip

    @property
    def variant(self) -> str:
        return f"{self.source} in {super().variant}" if self.source else super().variant

    def draft(self, rng: random.Random, depth: float, seed: int, case: int, tokens: int) -> Draft:
        line = self.lines[case % len(self.lines)]
        return Draft(
            head="", tail=f" {line.question}", units=self.filler(seed, case), needles=line.needles,
            depths=spread(depth, len(line.needles), rng), references=line.answers, expected=line.expected,
        )  # fmt: skip


def read_own(path: str | Path, haystack: str | Haystack = "") -> Own:
    """The task in a JSONL file. Raises FileFormatError, naming the line, for a file that is none."""
    path = Path(path)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise FileFormatError(f"{path.name} is too large", expected=f"at most {MOST_BYTES // 2**20} MiB")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise FileFormatError(f"{path.name} cannot be read", expected="a JSONL file in UTF-8") from None
    found = [_line(line, f"{path.name}, line {i}") for i, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not found:
        raise FileFormatError(
            f"{path.name} has no lines", expected='lines such as {"needle": ..., "question": ..., "answer": ...}'
        )
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return Own(haystack, tuple(found), f"{path.name} {digest}")


def _line(text: str, where: str) -> Line:
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        raise FileFormatError(f"{where} is no JSON", expected="one object a line") from None
    if not isinstance(raw, dict):
        raise FileFormatError(f"{where} is no object", expected='{"needle": ..., "question": ..., "answer": ...}')
    needles, answers = _texts(raw, "needle", where), _texts(raw, "answer", where)
    question = _texts(raw, "question", where)
    if len(question) > 1:
        raise FileFormatError(f"{where}: there are several questions", expected="one")
    expected = raw.get("expected", ", ".join(answers))
    if not isinstance(expected, str) or not expected.strip():
        raise FileFormatError(f'{where}: "expected" is no text', expected="an answer written out, or nothing")
    return Line(needles, question[0], answers, expected, where)


def _texts(raw: dict[str, Any], name: str, where: str) -> tuple[str, ...]:
    given = raw.get(name)
    found = [given] if isinstance(given, str) else given
    if not isinstance(found, list) or not found or not all(isinstance(one, str) and one.strip() for one in found):
        raise FileFormatError(f'{where}: "{name}" is missing or no text', expected="a text or a list of texts")
    return tuple(found)
