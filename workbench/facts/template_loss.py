"""What a chat template costs a model: the log-probability of the same answers behind and inside each form."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from workbench.chat.conversation import Message
from workbench.chat.templates import PromptForm, prompt_forms
from workbench.errors import ContextLengthError
from workbench.generation.prefill import forward_rows, new_cache

if TYPE_CHECKING:
    from workbench.model import Model

_ROWS = 256  # rows of logits held at a time
LOSS_NOTE = (
    "Log-probability of each answer's text and its EOS, summed over its tokens: a form that loses the leading ▁ splits "
    'the same text into other tokens, so totals are compared, not means a token. "reply" is the last answer in the '
    "reference's own tokens, as the model would write it, behind what the form makes of everything before."
)


def table_of_loss(model: Model, forms: Iterable[PromptForm], messages: Iterable[Message] = ()) -> pd.DataFrame:
    """By form and answer: tokens, logprob (nats, total of text and EOS), per_token, and difference from the first
    form's total (negative: less probable).

    ``answer`` is a message's place, "all" for all together as the form writes them, or "reply" (only with the
    ``messages`` that the forms are of): the last answer in the first form's ids, behind what each form makes of the
    messages before it. A form that refuses the conversation, or in which an answer was not found, is left out. Raises
    ContextLengthError.
    """
    forms, made = list(forms), list(messages)
    before = _before_reply(model, made)
    known: dict[tuple[int, ...], np.ndarray] = {}  # forms often agree
    rows: list[dict[str, Any]] = []
    first: dict[Any, float] = {}
    for form in forms:
        if form.refused or len(form.answers) != len(forms[0].answers):
            continue
        scores = _scores(model, form.ids, known)
        parts: list[tuple[Any, int, float]] = [
            (place, stop - start, float(scores[start - 1 : stop - 1].sum())) for place, start, stop in form.answers
        ]
        parts.append(("all", sum(part[1] for part in parts), sum(part[2] for part in parts)))
        if form.name in before:
            _, start, stop = forms[0].answers[-1]
            reply = forms[0].ids[start:stop]
            behind = _scores(model, before[form.name] + reply, known)
            parts.append(("reply", len(reply), float(behind[-len(reply) :].sum())))
        for place, tokens, total in parts:
            base = first.setdefault(place, total)
            rows.append({"form": form.name, "answer": place, "tokens": tokens, "logprob": total,
                         "per_token": total / tokens, "difference": total - base})  # fmt: skip
    return pd.DataFrame(rows)


def token_logprobs(model: Model, ids: Iterable[int]) -> np.ndarray:
    """Log-probability (tokens - 1,) in nats of each id but the first, behind those before it."""
    ids = list(ids)
    if len(ids) > model.context:
        raise ContextLengthError(
            f"The conversation has {len(ids)} tokens", expected=f"at most {model.context} for {model.name}",
            remedy="Shorten it",
        )  # fmt: skip
    cache, found = new_cache(model.module), []
    for start in range(0, len(ids) - 1, _ROWS):
        part = ids[start : min(start + _ROWS, len(ids) - 1)]
        rows = forward_rows(model.module, part, cache, None, len(part))
        after = torch.tensor(ids[start + 1 : start + 1 + len(part)], device=rows.device)
        with torch.inference_mode():
            found.append(rows.log_softmax(-1).gather(1, after[:, None])[:, 0].cpu().numpy().astype(float))
    return np.concatenate(found) if found else np.zeros(0)


def _scores(model: Model, ids: tuple[int, ...], known: dict[tuple[int, ...], np.ndarray]) -> np.ndarray:
    if ids not in known:
        known[ids] = token_logprobs(model, ids)
    return known[ids]


def _before_reply(model: Model, messages: list[Message]) -> dict[str, tuple[int, ...]]:
    """By form, the ids of everything before the last answer; empty where a question does not stand right before it,
    or where there is no reference."""
    places = [place for place, message in enumerate(messages) if message.role == "assistant"]
    if not places or not places[-1] or messages[places[-1] - 1].role == "assistant" or not model.tokenizer.is_v1:
        return {}
    return {form.name: form.ids for form in prompt_forms(model.tokenizer, messages[: places[-1]]) if not form.refused}
