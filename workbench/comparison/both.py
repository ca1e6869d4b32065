"""The same question, or the same text, put to two models and compared."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from torch import Tensor

from workbench.capture.positions import whole
from workbench.capture.request import Capture
from workbench.chat.encoding import EncodedPrompt
from workbench.comparison.changes import changes
from workbench.comparison.comparison import Comparison
from workbench.comparison.divergence import Divergence, check, measure
from workbench.errors import ComparisonError, PromptError
from workbench.generation.sampling import Sampling

if TYPE_CHECKING:
    from workbench.inspection.inspection import Inspection
    from workbench.model import Model

Exact = Literal["reply", "all"] | None


def compare(
    model_a: Model, model_b: Model, prompt: Any, *, sampling: Sampling | None = None, capture: Capture | None = None,
    generate: bool = True, exact: Exact = "reply", stop: threading.Event | None = None,
) -> Comparison:  # fmt: skip
    """Let two models, or a model and its switched self, answer ``prompt`` and compare everything that was captured.

    ``prompt`` is what `Model.encode` takes (messages, text, an encoded prompt), or a list of token ids: then, and with
    ``generate`` False, both only read this very text. ``exact``: where whole next-token distributions are compared by
    one more forward of each model on each text: at the places that choose the reply ("reply"; of a text that is only
    read, everywhere), everywhere ("all"), or nowhere (None). ``stop`` ends it: a reply being written is kept as far as
    it came, and nothing more is measured.

    Raises ComparisonError for models that do not share a tokenizer, and what `generate` and `inspect` raise.
    """
    for model in (model_a, model_b):
        if not hasattr(model, "generate"):
            raise ComparisonError(f"A {type(model).__name__} was given", expected="two models of wb.load")
    if exact not in ("reply", "all", None):
        raise ComparisonError(f"exact is {exact!r}", expected='"reply", "all" or None')
    check(model_a, model_b, 1)
    ids = _as_ids(prompt)
    fixed = ids is not None
    encoded = model_a.encode(prompt) if ids is None else _fixed_text(model_a, ids)
    runs: list[Inspection] = []
    for model in (model_a, model_b):
        if fixed or not generate:
            runs.append(model.inspect(encoded, capture))
            continue
        run = model.generate(encoded, sampling, capture, stop)
        for _ in run:
            pass
        runs.append(run.inspection)
    measured = None
    if exact is not None and not (stop is not None and stop.is_set()):
        measured = measured_pair(model_a, model_b, runs[0], runs[1], exact, stop)
    return Comparison.of(runs[0], runs[1], measured, changes=changes(model_a, model_b, weights=False))


def measured_pair(
    model_a: Model, model_b: Model, a: Inspection, b: Inspection, exact: Exact = "reply",
    stop: threading.Event | None = None,
) -> tuple[Divergence, Divergence]:  # fmt: skip
    """Both models measured on the text of ``a`` and on that of ``b``; once when the texts are the same."""
    found = [measure(model_a, model_b, a.ids.tolist(), positions_of(a, exact), stop)]
    same = a.ids.tolist() == b.ids.tolist() and a.prompt_length == b.prompt_length
    found.append(found[0] if same else measure(model_a, model_b, b.ids.tolist(), positions_of(b, exact), stop))
    return found[0], found[1]


def positions_of(run: Inspection, exact: Exact) -> range:
    """The positions that choose the reply's tokens, or all of them."""
    generated = len(run.ids) > run.prompt_length
    return range(run.prompt_length - 1 if exact == "reply" and generated else 0, len(run.ids))


def _as_ids(prompt: Any) -> list[int] | None:
    """Token ids, numpy's and torch's included, as a list; None for a prompt of any other kind."""
    if isinstance(prompt, str) or not isinstance(prompt, Sequence | np.ndarray | Tensor):
        return None
    made: list[Any] = [value.item() if isinstance(value, np.generic | Tensor) else value for value in prompt]
    if not any(whole(value) for value in made):
        return None
    if not all(whole(value) for value in made):
        raise PromptError("The prompt mixes token ids with something else", expected="ids only, or messages only")
    return made


def _fixed_text(model: Model, ids: list[int]) -> EncodedPrompt:
    """The ids as a prompt that is read as it is."""
    tokenizer = model.tokenizer
    if wrong := [index for index in ids if not 0 <= index < model.vocab_size]:
        raise PromptError(f"There is no token {wrong[0]}", expected=f"ids of 0 to {model.vocab_size - 1}")
    roles = tuple("special" if index in tokenizer.special_ids else "text" for index in ids)
    none = (None,) * len(ids)
    pieces = tuple(tokenizer.pieces(ids))
    return EncodedPrompt(tuple(ids), pieces, roles, none, (0,) * len(ids), tokenizer.decode(ids), tokenizer.sha256)
