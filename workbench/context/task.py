"""The base of all retrieval tasks: a question drawn by a seed, fitted to an exact length."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from workbench.context.draft import FORMS, Draft, fit
from workbench.context.haystack import Haystack, read_haystack
from workbench.context.item import Item
from workbench.errors import PromptError
from workbench.models import Tokenizer


@dataclass(frozen=True)
class Task(ABC):
    """A kind of question. ``haystack`` is what it is hidden in, for tasks that hide it in prose; "" takes the task's
    own. Each task's file says whose protocol it follows and where it differs."""

    haystack: str | Haystack = ""

    name: ClassVar[str]
    title: ClassVar[str]
    budget: ClassVar[int] = 32
    """Tokens kept free for the answer."""
    judge: ClassVar[str] = "all"
    own_haystack: ClassVar[str] = "drawn"
    prose: ClassVar[bool] = True
    """Whether the question is hidden in a haystack; others make their own text."""
    deep: ClassVar[bool] = True
    """Whether the question has a depth; others are asked once a length."""
    alike: ClassVar[bool] = False
    """Whether texts of different lengths are alike up to their needle; for what a study will read."""

    @abstractmethod
    def draft(self, rng: random.Random, depth: float, seed: int, case: int, tokens: int) -> Draft:
        """The question for a text of about ``tokens`` tokens; ``rng`` is the same at every depth and length."""

    def make(
        self, tokenizer: Tokenizer, length: int, depth: float = 0.5, case: int = 0, seed: int = 0, form: str = "chat"
    ) -> Item:
        """The `Item` of exactly ``length`` tokens, its answer's budget included.

        What is asked depends on seed and case alone, so that one question is seen at all depths and lengths. Raises
        PromptError for a form or depth that does not exist, ContextLengthError for a length that is too short.
        """
        if form not in FORMS:
            raise PromptError(f"{form!r} is no form of a prompt", expected=" or ".join(FORMS))
        if not 0 <= depth <= 1:
            raise PromptError(f"The depth is {depth}", expected="0 (the beginning) to 1 (just before the question)")
        rng = random.Random(f"{self.name}/{seed}/{case}")
        draft = self.draft(rng, depth, seed, case, length)
        prompt, needles = fit(tokenizer, draft, length - self.budget, form)
        return Item(
            self.name, length, depth if self.deep else None, case, seed, form, prompt, self.budget, draft.references,
            (draft.expected.removeprefix(draft.lead).lstrip() if form == "plain" else draft.expected), needles,
            self.judge,
        )  # fmt: skip

    def check(self, tokenizer: Tokenizer, cases: int) -> None:
        """Before any of ``cases`` questions is asked: raises PromptError for one that no length could hold."""
        return None

    @property
    def variant(self) -> str:
        """What tells two tasks of one name apart: what the question is hidden in, and where it is from."""
        return read_haystack(self.haystack or self.own_haystack).label if self.prose else ""

    def filler(self, seed: int, case: int) -> _Filler:
        return _Filler(read_haystack(self.haystack or self.own_haystack), seed, case)


@dataclass(frozen=True)
class _Filler:
    """The first sentences of a haystack, by their number."""

    haystack: Haystack
    seed: int
    case: int

    def __call__(self, count: int) -> list[str]:
        return self.haystack.sentences(count, self.seed, self.case)


def spread(depth: float, count: int, rng: random.Random) -> tuple[float, ...]:
    """Depths of ``count`` needles: the first at ``depth``, the others anywhere."""
    return (depth, *(rng.random() for _ in range(count - 1)))


def numbers(rng: random.Random, count: int, digits: int = 5) -> list[str]:
    """Different numbers of so many digits."""
    return [str(value) for value in rng.sample(range(10 ** (digits - 1), 10**digits), count)]
