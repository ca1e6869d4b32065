"""Two models reading the same texts, teacher-forced: loss, log-probabilities and divergence token by token."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from workbench.comparison.divergence import check, measuring
from workbench.comparison.progress import Progress
from workbench.comparison.questions import Text, texts_of
from workbench.comparison.text_result import COLUMNS, TextComparison
from workbench.errors import ComparisonError, ContextLengthError, WorkbenchError
from workbench.inspection.provenance import provenance

if TYPE_CHECKING:
    from workbench.model import Model

EDGES = (16, 64, 256, 1024, 4096, 16384)
"""Tokens read at which positions are told apart, beside the windows and trained lengths of both models."""


def compare_texts(
    a: Model, b: Model, texts: Iterable[Any] | str | Path | None = None, *, edges: Sequence[int] | None = None,
    stop: threading.Event | None = None, progress: Callable[[Progress], None] | None = None,
) -> TextComparison:  # fmt: skip
    """Let two models, or a model and its switched self, read the same ``texts`` and compare what they expected there.

    ``texts`` are plain texts or chats (in the format of ``a``), mappings or a JSONL file of them: see `texts_of`;
    held-out ones of the twins' language when None. ``edges``: numbers of tokens read at which positions are told apart.
    Every token but the first of each text is predicted from those before it, whole distributions are compared
    (`measure`). ``stop`` ends it with the texts that are read; ``progress`` is told every 512 tokens.

    Raises ComparisonError for models that do not share a tokenizer, ContextLengthError for a text that one of them
    cannot read, PromptError for what is no text.
    """
    steps = comparing_texts(a, b, texts, edges=edges, stop=stop)
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            found: TextComparison = end.value
            return found
        if progress is not None:
            progress(step)


def comparing_texts(
    a: Model, b: Model, texts: Iterable[Any] | str | Path | None = None, *, edges: Sequence[int] | None = None,
    stop: threading.Event | None = None,
) -> Generator[Progress, None, TextComparison]:  # fmt: skip
    """`compare_texts` in steps: yields how far it is, and returns the result."""
    for model in (a, b):
        if not hasattr(model, "generate"):
            raise ComparisonError(f"A {type(model).__name__} was given", expected="two models of wb.load")
    check(a, b, 1)
    stop = stop or threading.Event()
    items = [(one, _ids(a, b, one)) for one in texts_of(texts)]
    bounds = _edges(edges, a, b, max(len(ids) for _, ids in items))
    total, done = sum(len(ids) for _, ids in items), 0
    frames: list[pd.DataFrame] = []
    for number, (text, ids) in enumerate(items, 1):
        steps = measuring(a, b, ids, range(len(ids) - 1), stop)
        said = f"text {number} of {len(items)} ({text.id})"
        try:
            while True:
                read = next(steps)
                yield Progress(done + read, total, said)
        except StopIteration as end:
            measured = end.value
        except ComparisonError:
            if stop.is_set():
                break
            raise
        done += len(ids)
        columns = {
            "text": text.id, "position": range(1, len(ids)), "token_id": ids[1:],
            "piece": a.tokenizer.pieces(ids[1:]), "logprob_a": measured.logprob_a, "logprob_b": measured.logprob_b,
            "difference": measured.logprob_b.astype(float) - measured.logprob_a, "kl_ab": measured.kl_ab,
            "kl_ba": measured.kl_ba,
        }  # fmt: skip
        frames.append(pd.DataFrame(columns))
    tokens = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(COLUMNS))
    settings = {"edges": list(bounds), "texts": [one.id for one, _ in items]}
    every = [token for _, ids in items for token in ids]
    origin = {side: provenance(model.loaded, every, settings) for side, model in (("a", a), ("b", b))}
    return TextComparison((a.name, b.name), tokens, len(items), bounds, origin)


def _ids(a: Model, b: Model, text: Text) -> list[int]:
    try:
        ids = list(a.encode(text.prompt).ids)
        check(a, b, len(ids))
    except ContextLengthError as error:
        raise ContextLengthError(
            f"{error.what} (text {text.id})", expected=error.expected, remedy=error.remedy
        ) from None
    except WorkbenchError as error:
        raise type(error)(f"Text {text.id}: {error.what}", expected=error.expected, remedy=error.remedy) from None
    if len(ids) < 2:
        raise ComparisonError(f"Text {text.id} has nothing to predict", expected="a text of at least one word")
    return ids


def _edges(wanted: Sequence[int] | None, a: Model, b: Model, longest: int) -> tuple[int, ...]:
    if wanted is None:
        known = {*EDGES, a.window, b.window, a.trained_context, b.trained_context}
        return tuple(sorted(edge for edge in known if edge is not None and edge < longest - 1))
    if not all(isinstance(edge, int) and edge > 0 for edge in wanted):
        raise ComparisonError(f"The edges are {list(wanted)}", expected="numbers of tokens of at least 1")
    return tuple(sorted(set(wanted)))
