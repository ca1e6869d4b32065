"""One model's outcome on one text or question: loss and KL token by token, an answer and its log-probability."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from workbench.capture.request import Capture
from workbench.comparison.divergence import CHUNK, LOGITS, distribution, reading, unembedded
from workbench.comparison.questions import Question
from workbench.generation.prefix import PrefixStore
from workbench.generation.sampling import Sampling

if TYPE_CHECKING:
    from workbench.model import Model

KL_EVERY = 4
"""KL is measured at every fourth position: it costs three times what the loss does."""
SPARE = 8
"""Tokens an answer may be longer than the expected one."""
_UNBOUNDED = 2**62


@dataclass(frozen=True)
class Reference:
    """What the reference model made of a text: its final residual stream (position, hidden) at every `KL_EVERY`th
    position, from which its whole distributions are worked out a block at a time."""

    model: Model
    stream: Tensor


@dataclass(frozen=True)
class Reading:
    """Of one text: ``logprob`` (token,) in nats of each token but the first, by the model that read those before it;
    ``kl`` (position,) in nats at every `KL_EVERY`th of them: KL(reference || model) over the whole vocabulary."""

    logprob: np.ndarray
    kl: np.ndarray | None
    reference: Reference


@dataclass(frozen=True)
class Answer:
    """``right``; ``logprob``: mean nats of the expected answer's tokens that spell what is asked for; ``said`` is what
    the model writes, greedily."""

    right: bool
    logprob: float
    said: str


def read_text(
    model: Model, ids: Sequence[int], against: Reference | None, kl: bool, stop: threading.Event | None = None
) -> Reading | None:
    """``model`` reads ``ids``; None when ``stop`` was set. With ``kl``, KL to what ``against`` made of them: without
    ``against`` the model is the reference, and its KL is 0."""
    read, step = reading(model), max(1, LOGITS // model.vocab_size)
    scored = len(ids) - 1
    logprobs, kls, streams = [], [], []
    for start in range(0, scored, CHUNK):
        if stop is not None and stop.is_set():
            return None
        count = min(CHUNK, scored - start)
        hidden = read(list(ids[start : start + count]), np.arange(count))
        targets = torch.tensor(ids[start + 1 : start + count + 1], device=hidden.device)
        if kl and against is None:
            streams.append(hidden[_sampled(start, 0, count)].clone())
        for low in range(0, count, step):
            logits = unembedded(model, hidden[low : low + step])
            with torch.inference_mode():
                chosen = logits.gather(-1, targets[low : low + step, None].to(logits.device))[:, 0]
                logprobs.append((chosen - torch.logsumexp(logits, -1)).double().cpu().numpy())
            rows = _sampled(start, low, len(logits))
            if kl and against is not None and len(rows):
                place = (start + low + int(rows[0])) // KL_EVERY
                kls.append(_kl(against, place, logits[rows]))
    logprob = np.concatenate(logprobs)
    places = -(-scored // KL_EVERY)
    if not kl:
        return Reading(logprob, None, Reference(model, torch.empty(0)))
    if against is None:
        return Reading(logprob, np.zeros(places), Reference(model, torch.cat(streams)))
    return Reading(logprob, np.concatenate(kls), against)


def _sampled(start: int, low: int, count: int) -> Tensor:
    """Which of ``count`` rows from position ``start`` + ``low`` on KL is measured at."""
    return torch.arange((-(start + low)) % KL_EVERY, count, KL_EVERY)


@torch.inference_mode()
def _kl(against: Reference, place: int, logits: Tensor) -> np.ndarray:
    stream = against.stream[place : place + len(logits)]
    p, logs = distribution(unembedded(against.model, stream))
    _, others = distribution(logits.to(p.device))
    return torch.linalg.vecdot(p, logs.sub_(others)).clamp_(min=0).double().cpu().numpy()


def answer(model: Model, question: Question, stop: threading.Event | None = None) -> Answer | None:
    """What ``model`` makes of ``question``; None when ``stop`` was set.

    The expected answer is read first: where each of its tokens is the likeliest, it is the greedy answer. Else the
    model writes one, until it ends, or holds the answers, or is `SPARE` tokens longer than the expected one."""
    expected, told = question.encoded(model)
    prompt, store = model.encode(question.prompt), PrefixStore(_UNBOUNDED)
    sampling = Sampling(max_new_tokens=len(expected), temperature=0.0)
    run = model.generate(prompt, sampling, Capture.nothing(), stop, begin=expected, reuse=store)
    steps = list(run)
    if run.finish_reason == "stopped" or len(steps) < len(expected):
        return None
    logprob = float(np.mean([step.logprob for step, counts in zip(steps, told, strict=False) if counts]))
    if all(step.rank == 1 for step in steps) and question.right(question.expected):
        return Answer(True, logprob, question.expected)
    sampling = Sampling(max_new_tokens=len(expected) + SPARE, temperature=0.0)
    run = model.generate(prompt, sampling, Capture.nothing(), stop, reuse=store)
    for _ in run:
        if question.right(run.text):
            break
    if run.finish_reason == "stopped":
        return None
    return Answer(question.right(run.text), logprob, run.text.strip())
