"""The prompt lab: the reference ids of a conversation beside each chat template, and what a template costs in loss."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from workbench.chat.conversation import Conversation, Message, messages_of
from workbench.chat.templates import PromptForm, injections, prompt_forms
from workbench.errors import PromptError
from workbench.facts.template_loss import LOSS_NOTE, table_of_loss
from workbench.inspection.provenance import provenance
from workbench.models.given import models_given
from workbench.results import Result

if TYPE_CHECKING:
    from workbench.model import Model

__all__ = ["LOSS_NOTE", "NOT_V1", "PromptLab", "prompt_lab"]

NOT_V1 = (
    "This tokenizer is not v1: mistral_common's reference and templates A, B and C are forms of v1 ids, so the "
    "checkpoint's own template stands alone."
)


@dataclass(frozen=True)
class PromptLab(Result):
    """``forms`` with the reference first; ``warnings`` as `injections` gives them, then answers whose ▁ is lost;
    ``note`` is "" or why there is no reference. ``loss`` (see `table_of_loss`) is None where it was not asked for or no
    answer is in the conversation."""

    model: str
    forms: tuple[PromptForm, ...]
    warnings: tuple[str, ...]
    note: str
    loss: pd.DataFrame | None
    provenance: dict[str, Any] = field(repr=False, default_factory=dict)

    @property
    def sentence(self) -> str:
        """The warnings, and why there is no reference where there is none."""
        return " ".join(one for one in (*self.warnings, self.note) if one)

    def to_dataframe(self) -> pd.DataFrame:
        """`table`: a row a form."""
        return self.table()

    def figure(self) -> Any:
        """A plotly figure: nats of all answers less the reference's by form. Raises WorkbenchError without plotly, or
        where no loss was measured."""
        return importlib.import_module("workbench.figures.dots").lab_figure(self.loss)

    def tables(self) -> list[tuple[str, pd.DataFrame]]:
        """The forms, then the loss where it was measured."""
        found = [("Forms of the conversation", self.table())]
        return found if self.loss is None else [*found, (LOSS_NOTE, self.loss)]

    def __repr__(self) -> str:
        agree = [form.name for form in self.forms[1:] if form.agrees]
        return f"PromptLab({self.model}: {len(self.forms)} forms; as the reference: {', '.join(agree) or 'none'})"

    def table(self) -> pd.DataFrame:
        """One row a form: form, agrees, tokens, first_difference (position), piece, reference_piece, refused."""
        rows = [
            {"form": f.name, "agrees": f.agrees, "tokens": len(f.ids) if f.ids else None,
             "first_difference": f.first_difference, "piece": f.there[0], "reference_piece": f.there[1],
             "refused": f.refused}
            for f in self.forms
        ]  # fmt: skip
        return pd.DataFrame(rows).astype({"tokens": "Int64", "first_difference": "Int64"})

    def __getitem__(self, name: str) -> PromptForm:
        for form in self.forms:
            if form.name == name:
                return form
        raise PromptError(f"There is no form {name!r}", expected=", ".join(form.name for form in self.forms))

    def aligned(self, name: str) -> list[tuple[str, int, int, int, int]]:
        """How the tokens of a form lie beside the reference's: (word, start, stop, reference start, reference stop),
        the word "equal", "replace", "delete" or "insert" as in difflib."""
        if self[name].refused:
            raise PromptError(f"Form {name} has no tokens. {self[name].refused}")
        mine, right = self[name].ids, self.forms[0].ids
        matched = difflib.SequenceMatcher(None, right, mine, autojunk=False).get_opcodes()
        return [(word, low, high, left, end) for word, left, end, low, high in matched]


def prompt_lab(model: Model, conversation: Conversation | Iterable[Any] | str, *, loss: bool = True) -> PromptLab:
    """The `PromptLab` of a conversation (a str is one question). ``loss`` also runs the model, once a form. Raises
    PromptError for what the reference refuses, ContextLengthError for what is too long."""
    models_given(model)
    made = [Message("user", conversation)] if isinstance(conversation, str) else messages_of(conversation)
    forms = prompt_forms(model.tokenizer, made)
    warned = [one["sentence"] for one in injections(model.tokenizer, made)]
    right = {place: forms[0].pieces[start:stop] for place, start, stop in forms[0].answers}
    losers: dict[str, list[str]] = {}  # by the answers that lost it
    for form in forms[1:]:
        lost = [
            str(place) for place, start, stop in form.answers
            if _leading(form.pieces[start:stop]) < _leading(right.get(place, ()))
        ]  # fmt: skip
        if lost:
            losers.setdefault(", ".join(lost), []).append(form.name)
    for places, names in losers.items():
        which = "messages" if "," in places else "message"
        warned.append(f"{'; '.join(names)}: the leading ▁ is lost in the answer of {which} {places}.")
    frame = table_of_loss(model, forms, made) if loss and any(m.role == "assistant" for m in made) else None
    settings = {"prompt": [message.as_dict() for message in made], "loss": loss}
    made_of = provenance(model.loaded, forms[0].ids, settings)
    return PromptLab(model.name, forms, tuple(warned), "" if model.tokenizer.is_v1 else NOT_V1, frame, made_of)


def _leading(pieces: tuple[str, ...]) -> int:
    """How many ▁ a text of pieces begins with."""
    text = "".join(pieces)
    return len(text) - len(text.lstrip("▁"))
