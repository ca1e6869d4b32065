"""The items of a factorial: texts and questions as the ids that are read, an even choice of them, mixed in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.comparison.questions import Question, Text
from workbench.errors import ComparisonError

if TYPE_CHECKING:
    from workbench.model import Model


@dataclass(frozen=True)
class Item:
    """``tokens`` of what is read in one cell; ``ids`` are those of a text, or of a question's prompt."""

    source: Text | Question
    ids: list[int]
    tokens: int

    @property
    def key(self) -> str:
        return f"{'text' if isinstance(self.source, Text) else 'question'} {self.source.id}"


def spread(items: list[Any], most: int | None) -> list[Any]:
    """At most ``most`` of the items, evenly from the first to the last."""
    if most is None or len(items) <= most:
        return items
    return [items[round(i)] for i in np.linspace(0, len(items) - 1, most)]


def text_item(model: Model, text: Text) -> Item:
    """The text in the ids of ``model``. Raises ComparisonError for one in which nothing is predicted."""
    ids = list(model.encode(text.prompt).ids)
    if len(ids) < 2:
        raise ComparisonError(f"Text {text.id} has nothing to predict", expected="a text of at least one word")
    return Item(text, ids, len(ids))


def question_item(model: Model, question: Question) -> Item:
    """The question in the ids of ``model``; its tokens are those of the prompt and of the expected answer."""
    ids = list(model.encode(question.prompt).ids)
    return Item(question, ids, len(ids) + len(question.encoded(model)[0]))


def in_turn(*kinds: Sequence[Item]) -> list[Item]:
    """The items of all kinds, evenly mixed."""
    placed = [((i + 0.5) / len(items), kind, one) for kind, items in enumerate(kinds) for i, one in enumerate(items)]
    return [one for _, _, one in sorted(placed, key=lambda place: place[:2])]
