"""What each chat template costs over many conversations, paired conversation by conversation, with intervals."""

from __future__ import annotations

import importlib
import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from workbench.chat.conversation import Message
from workbench.chat.templates import prompt_forms
from workbench.errors import PromptError, WorkbenchError
from workbench.facts.prompt_lab import NOT_V1
from workbench.facts.template_loss import LOSS_NOTE, table_of_loss
from workbench.inspection.provenance import provenance
from workbench.models.given import models_given
from workbench.models.registry import assets_folder
from workbench.results import Result
from workbench.statistics import CONFIDENCE, bootstrap_mean

if TYPE_CHECKING:
    from workbench.model import Model

MOST_BYTES = 64 * 2**20
SHIPPED = "conversations.jsonl"
SCORED = {
    "answers": "all answers, as the form writes them",
    "reply": "the last answer, as the model would write it behind the form",
}
COLUMNS = ("conversation", "turns", "form", "scored", "tokens", "logprob", "difference")


@dataclass(frozen=True)
class PromptCosts(Result):
    """``by_conversation``: one row a conversation, form and ``scored`` (`SCORED`): turns (answers in it), tokens,
    logprob (nats), difference (nats, from the reference; negative: less probable). ``measured`` of ``planned``
    conversations were read; ``left_out`` has a sentence for each that could not be."""

    model: str
    planned: int
    measured: int
    by_conversation: pd.DataFrame
    left_out: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(repr=False, default_factory=dict)

    @property
    def sentence(self) -> str:
        """What the numbers are."""
        return LOSS_NOTE

    def to_dataframe(self, by_turns: bool = False) -> pd.DataFrame:
        """`table` as a flat one: a row a form and what is scored; nats a conversation."""
        return self.table(by_turns=by_turns).reset_index()

    def figure(self) -> Any:
        """A plotly figure: nats from the reference by form, with intervals. Raises WorkbenchError without plotly."""
        return importlib.import_module("workbench.figures.dots").costs_figure(self.to_dataframe())

    def tables(self) -> list[tuple[str, pd.DataFrame]]:
        """The mean over conversations, then every conversation."""
        return [("Mean over conversations", self.table()), ("By conversation", self.by_conversation)]

    def __repr__(self) -> str:
        means = self.table()["nats"].to_dict()
        said = [f"{form} {means[form, 'answers']:+.2f}" for form in "ABC" if (form, "answers") in means]
        return f"PromptCosts({self.model}: {self.measured} conversations; nats of all answers: {', '.join(said)})"

    def table(self, *, by_turns: bool = False) -> pd.DataFrame:
        """By form and what is scored (and by turns): ``conversations``, ``tokens`` (mean), ``nats`` (mean difference of
        a conversation from the reference), ``low`` and ``high`` (95 % percentile bootstrap of that mean over
        conversations, seed 0; NaN for fewer than two)."""
        keys = ["form", "scored", *(["turns"] if by_turns else [])]
        rows = []
        for names, part in self.by_conversation.groupby(keys, sort=False):
            low, high = bootstrap_mean(part["difference"].to_numpy(), CONFIDENCE)
            rows.append({**dict(zip(keys, names, strict=True)), "conversations": len(part),
                         "tokens": part["tokens"].mean(), "nats": part["difference"].mean(), "low": low, "high": high})  # fmt: skip  # noqa: E501
        columns = [*keys, "conversations", "tokens", "nats", "low", "high"]
        return pd.DataFrame(rows, columns=columns).set_index(keys)


class PromptCostRun:
    """The reading of conversations: iterate for progress, (done, of); ``result`` holds what is measured at any time.
    It ends soon after ``stop`` is set."""

    def __init__(
        self, model: Model, conversations: Iterable[Any] | Path | None = None, stop: threading.Event | None = None
    ) -> None:
        """Raises PromptError for a tokenizer that is not v1 and for no conversations."""
        models_given(model)
        if not model.tokenizer.is_v1:
            raise PromptError(f"{model.name} has nothing to compare with. {NOT_V1}")
        self._model, self._stop = model, stop or threading.Event()
        self._asked = conversations_of(conversations)
        self._rows: list[dict[str, Any]] = []
        self._left_out: list[str] = []
        self._measured = 0

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Raises PromptError at the end where no conversation could be scored."""
        for done, (name, messages) in enumerate(self._asked):
            if self._stop.is_set():
                return
            yield done, len(self._asked)
            try:
                self._rows += _rows(self._model, name, messages)
                self._measured += 1
            except WorkbenchError as error:
                self._left_out.append(f"Conversation {name}: {error}")
        if not self._measured:
            raise PromptError(f"No conversation has an answer to score ({self._left_out[0]})")
        yield len(self._asked), len(self._asked)

    @property
    def result(self) -> PromptCosts:
        asked = [{"id": name, "messages": [one.as_dict() for one in messages]} for name, messages in self._asked]
        made = provenance(self._model.loaded, (), {"conversations": asked, "interval": "bootstrap, seed 0"})
        frame = pd.DataFrame(self._rows, columns=list(COLUMNS))
        return PromptCosts(self._model.name, len(asked), self._measured, frame, tuple(self._left_out), made)


def prompt_costs(
    model: Model, conversations: Iterable[Any] | Path | None = None, stop: threading.Event | None = None
) -> PromptCostRun:
    """What templates A, B, C and the checkpoint's own cost over ``conversations``: lists of messages, mappings with
    "messages" and perhaps "id", a JSONL file of these, or None for the shipped ones (the twins' held-out language).

    A generator of (done, of) whose ``result`` is the `PromptCosts`. Raises PromptError.
    """
    return PromptCostRun(model, conversations, stop)


def conversations_of(given: Iterable[Any] | Path | None) -> list[tuple[str, list[Message]]]:
    """(id, messages) of each conversation; see `prompt_costs`."""
    given = assets_folder() / "prompts" / SHIPPED if given is None else given
    found = []
    for number, one in enumerate(_lines(given) if isinstance(given, Path) else given, 1):
        name, messages = str(number), one
        if isinstance(one, Mapping):
            name, messages = str(one.get("id", number)), one.get("messages")
        if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Iterable):
            raise PromptError(f"Conversation {number} has no messages", expected='{"id": "...", "messages": [...]}')
        found.append((name, [Message.of(message) for message in messages]))
    if not found:
        raise PromptError("There are no conversations", expected="one at least")
    return found


def _lines(path: Path) -> Iterator[Any]:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise PromptError(f"{path} is larger than {MOST_BYTES >> 20} MiB", remedy="Split it")
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError):
        raise PromptError(f"{path} cannot be read", expected="a JSONL file in UTF-8") from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield json.loads(line)
            except (ValueError, RecursionError):
                raise PromptError(
                    f"Line {number} of {path.name} is no JSON", expected='{"messages": [...]} in each line'
                ) from None


def _rows(model: Model, name: str, messages: list[Message]) -> Iterator[dict[str, Any]]:
    turns = sum(message.role == "assistant" for message in messages)
    if not turns:
        raise PromptError("there is no answer", remedy="Add an assistant message")
    frame = table_of_loss(model, prompt_forms(model.tokenizer, messages), messages)
    for row in frame[frame["answer"].isin(["all", "reply"])].to_dict("records"):
        scored = "answers" if row["answer"] == "all" else "reply"
        yield {"conversation": name, "turns": turns, "scored": scored,
               **{key: row[key] for key in ("form", "tokens", "logprob", "difference")}}  # fmt: skip
