"""A cache study: texts read on and questions answered under every policy, the full cache first."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
from torch import Tensor

from workbench.cache_lab.outcomes import Kept, follow, predicted_bytes
from workbench.cache_lab.policies import policy as read_policy
from workbench.cache_lab.policies.full import Full
from workbench.cache_lab.policy import Policy
from workbench.cache_lab.reading import PolicyReader, PromptReader
from workbench.cache_lab.result import CacheFindings, Prompt
from workbench.errors import CacheError, ContextLengthError
from workbench.inspection.provenance import provenance
from workbench.models.given import models_given

if TYPE_CHECKING:
    from workbench.model import Model

FOLLOW = 128
"""Tokens read behind a text's prompt."""
MOST_FOLLOW = 2048
DEFAULT = ("full", "rolling=25%", "sinks=4+25%", "received=25%", "norm=25%", "snapkv=25%", "8bit", "4bit")

_SIZES = ["policy", "prompt", "length", "bytes", "predicted", "fewest", "most"]
_TEXT = [*_SIZES, "followed", "loss", "kl"]
_ASKED = [*_SIZES, "task", "depth", "right", "share", "logprob", "expected_tokens", "answer", "expected"]


@dataclass(frozen=True)
class Progress:
    """``done`` of ``of`` prompts under policies, ``said`` in words, ``seconds_left`` by the pace so far (None before
    there is one)."""

    done: int
    of: int
    said: str
    seconds_left: float | None = None


class CacheStudy:
    """Iterate it for a `Progress` a prompt and policy; ``result`` is what has been found so far, also after a stop."""

    def __init__(
        self, model: Model, policies: Iterable[str | Policy] = DEFAULT, *, texts: Iterable[Any] = (),
        items: Iterable[Any] = (), length: int | None = None, follow: int = FOLLOW, stop: threading.Event | None = None,
    ) -> None:  # fmt: skip
        """See `cache_study`."""
        models_given(model)
        self.model, self.stop = model, stop or threading.Event()
        self.policies = _policies(policies)
        if not 1 <= follow <= MOST_FOLLOW:
            raise CacheError(f"{follow} tokens to follow", expected=f"1 to {MOST_FOLLOW}")
        self.follow = follow
        texts = [texts] if isinstance(texts, str) else texts
        self._texts = [_cut(model, one, i, length, follow) for i, one in enumerate(texts, 1)]
        self._items = list(items)
        for i, item in enumerate(self._items, 1):
            if not all(hasattr(item, name) for name in ("prompt", "expected", "references", "answered")):
                raise CacheError(f"Question {i} is a {type(item).__name__}", expected="an Item of workbench.context")
        if not self._texts and not self._items:
            raise CacheError("There is no text and no question", expected="at least one of either")
        self._text_rows: list[dict[str, Any]] = []
        self._asked_rows: list[dict[str, Any]] = []
        self._prompts: dict[str, Prompt] = {}
        self._kept: dict[tuple[str, str], Kept] = {}

    @property
    def count(self) -> int:
        """How many prompts are read under how many policies."""
        return (len(self._texts) + len(self._items)) * len(self.policies)

    @property
    def texts(self) -> int:
        """How many texts are read."""
        return len(self._texts)

    @property
    def questions(self) -> int:
        """How many questions are asked."""
        return len(self._items)

    @property
    def result(self) -> CacheFindings:
        """What is known so far."""
        settings = {
            "kind": "cache", "policies": [str(one) for one in self.policies], "follow": self.follow,
            "lengths": [length for _, _, length in self._texts],
            "questions": [getattr(item, "key", "") for item in self._items],
        }  # fmt: skip
        ids = [token for _, one, _ in self._texts for token in one]
        return CacheFindings(
            tuple(str(one) for one in self.policies), pd.DataFrame(self._text_rows, columns=_TEXT),
            pd.DataFrame(self._asked_rows, columns=_ASKED), dict(self._prompts), dict(self._kept),
            provenance(self.model.loaded, ids, settings),
        )  # fmt: skip

    def __iter__(self) -> Iterator[Progress]:
        self._text_rows, self._asked_rows = [], []
        done, began = 0, time.perf_counter()

        def told(said: str) -> Progress:
            nonlocal done
            done += 1
            return Progress(done, self.count, said, (time.perf_counter() - began) / done * (self.count - done))

        for name, ids, length in self._texts:
            reader, full = PromptReader(self.model, self.policies), None
            for policy in self.policies:
                if self.stop.is_set():
                    return
                found = self._read(reader, policy, name, ids, length, full)
                if found is None:
                    return
                full = found[0] if full is None else full
                yield told(f"{name}, {policy}")
        for number, item in enumerate(self._items, 1):
            reader = PromptReader(self.model, self.policies)
            for policy in self.policies:
                if self.stop.is_set() or not self._ask(reader, policy, f"question {number}", item):
                    return
                yield told(f"question {number}, {policy}")

    def _read(
        self, reader: PromptReader, policy: Policy, name: str, ids: list[int], length: int, full: Tensor | None
    ) -> tuple[Tensor | None] | None:
        found = follow(reader, policy, ids, length, full, self.stop)
        if found is None:
            return None
        row = self._sizes(policy, name, ids[:length], found.cache, not self._text_rows)
        row |= {"followed": len(found.loss), "loss": float(found.loss.mean()), "kl": float(found.kl.mean())}
        self._text_rows.append(row)
        return (found.logprobs,)

    def _ask(self, reader: PromptReader, policy: Policy, name: str, item: Any) -> bool:
        answering = _Noting(self.model, policy, reader)
        found = item.answered(answering, self.stop)
        if found is None:
            return False
        row = self._sizes(policy, name, item.prompt.ids, answering.left, not self._asked_rows)
        self._asked_rows.append(row | {
            "task": getattr(item, "task", ""), "depth": getattr(item, "depth", None), "right": found.score.right,
            "share": found.score.share, "logprob": found.logprob, "expected_tokens": found.expected_tokens,
            "answer": found.text, "expected": item.expected,
        })  # fmt: skip
        return True

    def _sizes(self, policy: Policy, name: str, ids: Sequence[int], cache: Any, first: bool) -> dict[str, Any]:
        """Bytes and tokens of a cache; which tokens, of the first prompt of its kind."""
        kept = Kept.of(cache)
        if first:
            self._prompts[name] = Prompt(name, tuple(ids), tuple(self.model.tokenizer.pieces(list(ids))))
        if name in self._prompts:
            self._kept[str(policy), name] = kept
        return {
            "policy": str(policy), "prompt": name, "length": len(ids), "bytes": cache.nbytes,
            "predicted": predicted_bytes(policy, self.model, len(ids)), "fewest": min(kept.counts),
            "most": max(kept.counts),
        }  # fmt: skip


class _Noting(PolicyReader):
    """A reader that remembers the cache as it was behind the prompt."""

    left: Any = None

    def read_up_to(self, ids: Sequence[int], stop: threading.Event | None = None) -> tuple[Tensor, Any] | None:
        found = super().read_up_to(ids, stop)
        if found is not None:
            self.left = found[1].fork()
        return found


def cache_study(
    model: Model, policies: Iterable[str | Policy] = DEFAULT, *, texts: Iterable[Any] = (), items: Iterable[Any] = (),
    length: int | None = None, follow: int = FOLLOW, stop: threading.Event | None = None,
) -> CacheStudy:  # fmt: skip
    """A `CacheStudy`: iterate it to run it; then its ``result``.

    ``policies`` as `policies.policy` reads them, "snapkv=256"; the full cache is measured first in any case. ``texts``:
    what `Model.encode` takes, a prompt of ``length`` tokens each (by default all but what follows, at most what the
    model has room for) and ``follow`` tokens read behind it. ``items``: questions of `workbench.context`. Raises
    CacheError, ContextLengthError or PromptError.
    """
    return CacheStudy(model, policies, texts=texts, items=items, length=length, follow=follow, stop=stop)


def _policies(said: Iterable[str | Policy]) -> tuple[Policy, ...]:
    """The full cache, then the others in their order, each once."""
    found = [read_policy(one) for one in ([said] if isinstance(said, str | Policy) else said)]
    return tuple({str(one): one for one in [Full(), *found]}.values())


def _cut(model: Model, text: Any, number: int, length: int | None, follow: int) -> tuple[str, list[int], int]:
    """A text's name, ids, and how many of them are its prompt. What follows: one token to be read and foretold more
    than are counted, because the prompt's own reading foretells the first."""
    ids = list(model.encode(text).ids)
    if length is None:
        length = min(len(ids), model.context) - follow - 1
    if length < 1 or length + follow + 1 > len(ids):
        raise ContextLengthError(
            f"Text {number} has {len(ids)} tokens", expected=f"at least {max(1, length) + follow + 1} here",
            remedy="Give a longer text, or ask for a shorter length or fewer tokens to follow",
        )  # fmt: skip
    if length + follow + 1 > model.context:
        raise ContextLengthError(
            f"{length} tokens and {follow + 1} behind them", expected=f"at most {model.context} for {model.name}",
            remedy="Ask for a shorter length",
        )  # fmt: skip
    return f"text {number}", ids[: length + follow + 1], length
