"""What a factorial is measured on: texts to read and questions with an expected answer, one's own or the shipped ones.

The shipped ones are of the twins' language, from the side of it that was never trained on (`workbench twins prompts`
writes them, with their seed). For other models, bring your own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import PromptError
from workbench.models.registry import assets_folder

if TYPE_CHECKING:
    from workbench.model import Model

MOST_BYTES = 64 * 2**20
SHIPPED = {"texts": "factorial-texts.jsonl", "questions": "factorial-questions.jsonl"}


@dataclass(frozen=True)
class Text:
    """A text to be read: ``prompt`` is what `Model.encode` takes (a str is plain text, messages are a chat)."""

    id: str
    prompt: Any


@dataclass(frozen=True)
class Question:
    """``prompt`` as in `Text`; right is a greedy answer that holds all of ``answers``, without regard to case.

    ``expected`` is an answer written out; the log-probability is that of its tokens which spell ``answers``, of all
    its tokens where it does not hold them.
    """

    id: str
    prompt: Any
    answers: tuple[str, ...]
    expected: str

    def right(self, said: str) -> bool:
        """Whether ``said`` holds every answer."""
        return all(answer.casefold() in said.casefold() for answer in self.answers)

    def encoded(self, model: Model) -> tuple[list[int], list[bool]]:
        """Ids (token,) of the expected answer as it follows the prompt, and which of them spell the answers."""
        made = model.encode(self.expected)
        text, low = made.text.casefold(), [0] * len(self.answers)
        spans = []
        for i, answer in enumerate(self.answers):
            low[i] = text.find(answer.casefold())
            if low[i] >= 0:
                spans.append((low[i], low[i] + len(answer)))
        told = [any(span and span[0] < high and span[1] > low for low, high in spans) for span in made.spans]
        first = 1 if made.roles and made.roles[0] == "special" else 0  # BOS stands before the prompt already
        told = told[first:]
        return list(made.ids[first:]), told if any(told) else [True] * len(told)


def texts_of(given: Iterable[Any] | str | Path | None) -> list[Text]:
    """Texts from what `Model.encode` takes, from mappings with "text" or "messages", or from a JSONL file of these;
    the shipped ones for None. A str is one text. Raises PromptError."""
    if given is None:
        given = shipped("texts")
    if isinstance(given, str):
        given = [given]
    found = []
    for i, one in enumerate(_lines(given), 1):
        if isinstance(one, Text):
            found.append(one)
        elif isinstance(one, Mapping):
            found.append(Text(_id(one, i), _prompt(one, i, "text")))
        else:
            found.append(Text(str(i), one))
    return _some(found, "text")


def questions_of(given: Iterable[Any] | Path | None) -> list[Question]:
    """Questions from mappings with "prompt" (a text) or "messages", "answer" (a text or several) and perhaps
    "expected"; from objects with prompt, references and expected; or from a JSONL file of such mappings. The shipped
    ones for None. Raises PromptError."""
    if given is None:
        given = shipped("questions")
    found = []
    for i, one in enumerate(_lines(given), 1):
        if isinstance(one, Question):
            found.append(one)
            continue
        if not isinstance(one, Mapping):
            if not all(hasattr(one, name) for name in ("prompt", "references", "expected")):
                raise PromptError(
                    f"Question {i} is a {type(one).__name__}", expected='{"messages": [...], "answer": "..."}'
                )
            found.append(Question(str(getattr(one, "key", i)), one.prompt, tuple(one.references), one.expected))
            continue
        answers = one.get("answer")
        answers = [answers] if isinstance(answers, str) else answers
        if not isinstance(answers, Sequence) or not answers or not all(isinstance(a, str) and a for a in answers):
            raise PromptError(
                f"Question {i} has no answer", expected='"answer": "some text", or several in a list',
                remedy="Every question needs what its answer must contain",
            )  # fmt: skip
        expected = one.get("expected") or " ".join(answers)
        if not isinstance(expected, str):
            raise PromptError(f'"expected" of question {i} is no text', expected="the answer written out")
        found.append(Question(_id(one, i), _prompt(one, i, "prompt"), tuple(answers), expected))
    return _some(found, "question")


def shipped(kind: str) -> Path:
    """The file of the shipped "texts" or "questions"."""
    return assets_folder() / "prompts" / SHIPPED[kind]


def _lines(given: Any) -> list[Any]:
    if not isinstance(given, Path):
        return list(given)
    try:
        if given.stat().st_size > MOST_BYTES:
            raise PromptError(f"{given} is larger than {MOST_BYTES >> 20} MiB", remedy="Split it")
        lines = given.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError):
        raise PromptError(f"{given} cannot be read", expected="a JSONL file in UTF-8") from None
    return parsed(lines, given.name)


def parsed(lines: Iterable[str], name: str) -> list[Any]:
    """The objects of JSON ``lines``; empty lines are skipped. Raises PromptError with the line's number."""
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise PromptError(
                f"Line {number} of {name} is no JSON object", expected='a line such as {"text": "..."} for each'
            )
        found.append(value)
    return found


def _prompt(one: Mapping[str, Any], number: int, name: str) -> Any:
    found = one.get("messages", one.get(name))
    if not found or not isinstance(found, str | list):
        raise PromptError(f"Line {number} has neither {name} nor messages", expected=f'"{name}": "..." or "messages"')
    return found


def _id(one: Mapping[str, Any], number: int) -> str:
    return str(one.get("id", number))[:100]


def _some(found: list[Any], what: str) -> list[Any]:
    if not found:
        raise PromptError(f"There is no {what}", expected="at least one, better eight or more")
    ids = [one.id for one in found]
    if len(set(ids)) == len(ids):
        return found
    return [type(one)(**{**vars(one), "id": f"{i}: {one.id}"}) for i, one in enumerate(found, 1)]
