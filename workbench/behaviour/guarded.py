"""What the safe prompt changes: replies without and with it side by side, moderated, and the difference in numbers."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from workbench.behaviour.continuation import logprobs, rows_behind
from workbench.behaviour.moderation import Moderation, moderate
from workbench.capture.request import Capture
from workbench.chat.guardrails import SAFE_PROMPT, with_safe_prompt
from workbench.errors import PromptError
from workbench.generation.prefix import PrefixStore
from workbench.generation.sampling import Sampling
from workbench.inspection.provenance import as_settings, provenance
from workbench.models.given import models_given
from workbench.results import Result

if TYPE_CHECKING:
    from workbench.inspection.run import Run
    from workbench.model import Model, Prompt

MOST_PROMPTS = 200
_ASKED_MORE = 32 * 2**20  # bytes of caches kept from one prompt to the next: the moderation's categories


@dataclass(frozen=True)
class GuardedReply:
    """One prompt. ``plain`` and ``safe`` are the replies without and with the safe prompt. ``kl_first``: KL(plain ||
    safe) of the first token's distributions, nats. ``change``: mean log-probability of the plain reply's tokens with
    the safe prompt less that without, nats a token; below 0, the safe prompt makes this reply less likely.
    ``prompt_verdict``, ``plain_verdict``, ``safe_verdict`` are the `Moderation`s, None where they were not asked for;
    an empty reply has none.
    """

    prompt: str
    plain: str
    safe: str
    kl_first: float
    change: float
    prompt_verdict: Moderation | None = field(default=None, repr=False)
    plain_verdict: Moderation | None = field(default=None, repr=False)
    safe_verdict: Moderation | None = field(default=None, repr=False)

    @property
    def same(self) -> bool:
        """Whether both replies are the same text."""
        return self.plain == self.safe

    def row(self) -> dict[str, Any]:
        """The values of a table's row; verdicts with their scores in words."""
        found: dict[str, Any] = {
            "prompt": self.prompt, "plain": self.plain, "safe": self.safe, "same": self.same,
            "kl_first": self.kl_first, "change": self.change,
        }  # fmt: skip
        for name in ("prompt_verdict", "plain_verdict", "safe_verdict"):
            verdict = getattr(self, name)
            found[name] = "" if verdict is None else verdict.words
        return found


@dataclass(frozen=True, eq=False)
class Guarded(Result):
    """The prompts that were run, of ``planned`` ones, each a `GuardedReply`."""

    model: str
    replies: tuple[GuardedReply, ...]
    planned: int
    provenance: dict[str, Any] = field(default_factory=dict, repr=False)

    def table(self) -> pd.DataFrame:
        """A row a prompt: the columns of `GuardedReply`."""
        return pd.DataFrame([one.row() for one in self.replies])

    def as_json(self) -> dict[str, Any]:
        """Replies with their verdicts and provenance as JSON-able data."""
        rows = []
        for one in self.replies:
            verdicts = {n: getattr(one, n) for n in ("prompt_verdict", "plain_verdict", "safe_verdict")}
            rows.append(one.row() | {n: None if v is None else v.as_json() for n, v in verdicts.items()})
        return {"model": self.model, "planned": self.planned, "replies": rows, "provenance": self.provenance}

    def to_dataframe(self) -> pd.DataFrame:
        """`table`: a row a prompt; kl_first in nats, change in nats a token."""
        return self.table()

    def figure(self) -> Any:
        """A plotly figure: how much less likely the safe prompt makes each plain reply. Raises WorkbenchError without
        plotly or before a prompt was answered."""
        return importlib.import_module("workbench.figures.dots").guarded_figure(self.table())

    def __repr__(self) -> str:
        changed = sum(not one.same for one in self.replies)
        done = f"{len(self.replies)} of {self.planned}" if len(self.replies) < self.planned else f"{self.planned}"
        return f"Guarded({self.model}: {done} prompts, {changed} replies changed by the safe prompt)"


Told = tuple[float, str, Guarded]
"""Share done, a few words, what there is so far."""


def guarded_steps(
    model: Model, prompts: Iterable[str], sampling: Sampling | None = None, *, moderated: bool = True,
    stop: threading.Event | None = None,
) -> Generator[Told, None, Guarded]:  # fmt: skip
    """`guarded` as a generator that tells how far it is after each step and ends soon after ``stop`` is set; a prompt
    that was not finished is left out."""
    models_given(model)
    asked = _prompts(prompts)
    sampling, stop = sampling or Sampling(max_new_tokens=48), stop or threading.Event()
    settings = {"sampling": as_settings(sampling), "safe_prompt": SAFE_PROMPT, "prompts": list(asked)}
    made = provenance(model.loaded, model.encode(asked[0]).ids, settings)
    found = Guarded(model.name, (), len(asked), made)
    kept = PrefixStore(_ASKED_MORE)
    for number, prompt in enumerate(asked):
        said = f"prompt {number + 1} of {len(asked)}"
        share = number / len(asked)
        yield share, f"{said}: replies", found
        reply = _both(model, prompt, sampling, stop)
        if reply is None:
            break
        if moderated:
            yield share + 0.5 / len(asked), f"{said}: moderation", found
            verdicts: dict[str, Any] = {}
            for name, text, of in (
                ("prompt_verdict", prompt, "prompt"), ("plain_verdict", reply.plain, "answer"),
                ("safe_verdict", reply.safe, "answer"),
            ):  # fmt: skip
                if text.strip() and not stop.is_set():
                    verdicts[name] = moderate(model, text, of, stop=stop, reuse=kept)  # type: ignore[arg-type]
            if stop.is_set():
                break
            reply = replace(reply, **verdicts)
        found = replace(found, replies=(*found.replies, reply))
        yield (number + 1) / len(asked), said, found
    return found


def guarded(
    model: Model, prompts: Iterable[str], sampling: Sampling | None = None, *, moderated: bool = True,
    stop: threading.Event | None = None,
) -> Guarded:  # fmt: skip
    """Each prompt answered without and with the safe prompt (greedy, 48 tokens, unless ``sampling`` says otherwise),
    how much the model's own distribution moves, and what it says of prompt and replies as their moderator. Raises
    PromptError for no prompts, too many or an empty one."""
    steps = guarded_steps(model, prompts, sampling, moderated=moderated, stop=stop)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Checked:
    """A reply with the verdicts on its prompt and on itself (None for an empty reply)."""

    run: Run
    prompt: Moderation
    answer: Moderation | None


def checked(
    model: Model, prompt: Prompt, sampling: Sampling | None = None, *, safe_prompt: bool = False,
    stop: threading.Event | None = None,
) -> Checked:  # fmt: skip
    """Moderate the last question of ``prompt`` (a text, or messages), have it answered, moderate the answer. Nothing is
    held back: what a verdict means is for the caller to decide."""
    said = with_safe_prompt(prompt, safe_prompt)  # type: ignore[arg-type]
    questions = [one.content for one in said if one.role == "user"]
    if not questions:
        raise PromptError("There is no question to moderate", expected="a message of a user")
    before = moderate(model, questions[-1], "prompt", stop=stop)
    run = model.generate(said, sampling, Capture.nothing(), stop)
    for _ in run:
        pass
    return Checked(run, before, moderate(model, run.text, "answer", stop=stop) if run.text.strip() else None)


def _both(model: Model, prompt: str, sampling: Sampling, stop: threading.Event) -> GuardedReply | None:
    plain, safe = (model.encode(with_safe_prompt(prompt, on)) for on in (False, True))
    texts: list[str] = []
    ids: tuple[int, ...] = ()
    store = PrefixStore()
    for place, encoded in enumerate((plain, safe)):
        run = model.generate(encoded, sampling, Capture.nothing(), stop, reuse=store)
        for _ in run:
            pass
        if stop.is_set():
            return None
        texts.append(run.text)
        if not place:
            ids = tuple(step.token_id for step in run.steps)
    rows = [rows_behind(model, encoded.ids, ids, store) for encoded in (plain, safe)]
    with torch.inference_mode():
        first = [one[0].double().log_softmax(-1) for one in rows]
        kl = float((first[0].exp() * (first[0] - first[1])).sum())
    change = [float(logprobs(one, ids).mean()) for one in rows]
    return GuardedReply(prompt, texts[0], texts[1], max(0.0, kl), change[1] - change[0])


def _prompts(prompts: Iterable[str]) -> Sequence[str]:
    asked = list(prompts) if isinstance(prompts, Iterable) and not isinstance(prompts, str) else [prompts]
    if not 1 <= len(asked) <= MOST_PROMPTS:
        raise PromptError(f"There are {len(asked)} prompts", expected=f"1 to {MOST_PROMPTS}")
    for number, one in enumerate(asked, 1):
        if not isinstance(one, str) or not one.strip():
            raise PromptError(f"Prompt {number} is empty or no text", expected="a question")
    return asked
