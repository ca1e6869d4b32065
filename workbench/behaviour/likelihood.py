"""The three questions that benchmarks ask a model: a continuation's log-likelihood, a text's, and a greedy reply.

Splits and windows are lm-evaluation-harness's (``lm_eval/api/model.py`` and ``utils.py``, 0.4.13), so that numbers can
be compared with those of its own Hugging Face model. A text begins with BOS.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch

from workbench.behaviour.continuation import logprobs
from workbench.capture.cost import CHUNK
from workbench.errors import ContextLengthError
from workbench.generation.decoding import Decoding
from workbench.generation.prefill import forward_rows, new_cache, prefill
from workbench.generation.sampling import Sampling

if TYPE_CHECKING:
    from workbench.model import Model


def text_ids(model: Model, text: str) -> list[int]:
    """BOS (where the tokenizer has one) and the ids of ``text``."""
    return [*([] if model.tokenizer.bos_id is None else [model.tokenizer.bos_id]), *model.tokenizer.encode(text)]


def split(model: Model, context: str, continuation: str) -> tuple[list[int], list[int]]:
    """Ids of both parts: the whole is encoded, and what is longer than the context is the continuation. Spaces at the
    context's end go to the continuation. An empty context is BOS alone."""
    kept = context.rstrip()
    continuation, context = context[len(kept) :] + continuation, kept
    before = text_ids(model, context) if context else text_ids(model, "")
    return before, text_ids(model, context + continuation)[len(before) :]


def continuation(model: Model, before: Sequence[int], then: Sequence[int]) -> tuple[float, bool]:
    """Log-likelihood in nats of the ids ``then`` behind ``before``, and whether each is the likeliest there. Of what is
    longer than the model's context the end counts. (0, True) for no ids."""
    if not then:
        return 0.0, True
    if len(then) > model.context:
        raise ContextLengthError(f"The continuation has {len(then)} tokens",
                                 expected=f"at most {model.context} for {model.name}")  # fmt: skip
    read = [*before, *then][-(model.context + 1) :][:-1]
    total, greedy = 0.0, True
    cache = new_cache(model.module)
    head = len(read) - len(then)
    prefill(model.module, read[:head], cache, None, CHUNK)
    for at in range(0, len(then), CHUNK):  # never more rows of logits than a chunk
        ids = then[at : at + CHUNK]
        rows = forward_rows(model.module, read[head + at : head + at + len(ids)], cache, None, len(ids))
        total += float(logprobs(rows, ids).sum())
        with torch.inference_mode():
            greedy = greedy and rows.argmax(-1).tolist() == list(ids)
    return total, greedy


def windows(ids: Sequence[int], first: int, longest: int) -> Iterator[tuple[list[int], list[int]]]:
    """(read before, predicted) so that each of ``ids`` is predicted once, with at most ``longest`` tokens read; the
    first from the id ``first``, the last window with as much before it as fits.

    Worked example, ids 0 to 9, longest 4: B -> 0123, 3 -> 4567, 5 6 7 -> 89.
    """
    ids = list(ids)
    for start in range(0, len(ids), longest):
        end = min(start + longest, len(ids))
        if start == 0:
            yield [first], ids[:end]
        else:
            yield ids[end - longest - 1 : start], ids[start:end]


def text_likelihood(model: Model, text: str) -> float:
    """Log-likelihood in nats of a whole text of any length, in windows of the model's context, each read anew."""
    ids = model.tokenizer.encode(text)
    first = model.tokenizer.bos_id if model.tokenizer.bos_id is not None else model.tokenizer.eos_id or 0
    return sum(continuation(model, before, then)[0] for before, then in windows(ids, first, model.context))


def reply(
    model: Model, before: Sequence[int], sampling: Sampling, *, continues: bool = True,
    stop: threading.Event | None = None,
) -> str:  # fmt: skip
    """The text generated behind the ids ``before``, cut in front of the first of ``sampling.stop``. Of ``before`` the
    end is read where both do not fit; ``continues``: a plain text goes on (a first space counts)."""
    room = model.context - sampling.max_new_tokens
    if room < 1:
        raise ContextLengthError(f"{sampling.max_new_tokens} new tokens are asked for",
                                 expected=f"fewer than {model.context} for {model.name}")  # fmt: skip
    run = Decoding(model.module, model.tokenizer, list(before)[-room:], sampling, stop=stop, continues=continues)
    for _ in run.steps():
        pass
    ends = [place for mark in sampling.stop if (place := run.text.find(mark)) >= 0]
    return run.text[: min(ends, default=len(run.text))]
