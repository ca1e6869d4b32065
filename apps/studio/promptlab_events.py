"""Reference ids beside chat templates, and what they cost in loss: the Prompt lab section of Compare & facts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Any

import workbench as wb
from apps.studio.jobs import Told
from apps.studio.shelf import title
from apps.studio.studio import Studio
from workbench.chat.conversation import Message
from workbench.errors import PromptError, WorkbenchError
from workbench.facts.prompt_costs import conversations_of
from workbench.facts.prompt_lab import NOT_V1, PromptLab
from workbench.facts.template_loss import LOSS_NOTE

MOST_MESSAGES = 32
MOST_CHARACTERS = 20_000
EXAMPLE = (
    ("user", "What is the capital of France?"),
    ("assistant", "Paris is the capital."),
    ("user", "And what is near it?"),
    ("assistant", "Versailles is near it."),
)


class PromptLabEvents:
    """Works with one model on the shelf as well."""

    def __init__(self, studio: Studio) -> None:
        self._shelf, self._jobs = studio.shelf, studio.jobs

    @property
    def functions(self) -> list[Callable[[Any], dict[str, Any]]]:
        return [self.promptlab_known, self.promptlab_forms, self.promptlab_start]

    def promptlab_known(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"example": [message], "shipped": conversations that come with the workbench, "most": messages at once}"""
        example = [{"role": role, "content": content} for role, content in EXAMPLE]
        return {"example": example, "shipped": len(conversations_of(None)), "most": MOST_MESSAGES}

    def promptlab_forms(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"forms", "warnings", "note", "code"} for {"model", "messages"}: see `forms`."""
        name = request.get("model")
        if name not in self._shelf.names:
            raise WorkbenchError("There is no such model here", expected=" or ".join(map(title, self._shelf.names)))
        messages = read(request)
        found = self._forms(self._shelf.get(str(name)), messages)
        return {"forms": forms(found), "warnings": list(found.warnings), "note": found.note,
                "code": code(str(name), messages)}  # fmt: skip

    def promptlab_start(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"job"} for {"over": "this", "messages"} or {"over": "shipped"}: every model of the page."""
        over = request.get("over")
        if over not in ("this", "shipped"):
            raise PromptError("It is not said what to measure", expected="this or shipped")
        messages = read(request) if over == "this" else []
        if over == "this" and not any(one.role == "assistant" for one in messages):
            raise PromptError("There is no answer in the conversation, so no loss to compare",
                              remedy="Add an assistant message")  # fmt: skip
        measured = self._this(messages) if over == "this" else self._shipped
        return {"job": self._jobs.start(str(request.get("tab", "")), measured, "workbench prompt")}

    def _this(self, messages: list[Message]) -> Callable[[threading.Event], Generator[Told, None, Any]]:
        names = self._shelf.names

        def work(stop: threading.Event) -> Generator[Told, None, Any]:
            rows: list[dict[str, Any]] = []
            left_out: list[str] = []
            for number, name in enumerate(names):
                if stop.is_set():
                    break
                yield {"share": number / len(names), "said": title(name)}
                model = self._shelf.get(name)
                if not model.tokenizer.is_v1:
                    left_out.append(f"{title(name)}: {NOT_V1}")
                    continue
                self._forms(model, messages)
                found = wb.prompt_lab(model, messages)
                assert found.loss is not None
                rows += [{"model": title(name), **_row(row)} for row in found.loss.to_dict("records")]
            return _measured("this", rows, left_out, code(names[0], messages, loss=True))

        return work

    def _forms(self, model: wb.Model, messages: list[Message]) -> PromptLab:
        """The forms, before a model reads them; RefusedError when one is longer than a prompt may be here."""
        found = wb.prompt_lab(model, messages, loss=False)
        self._jobs.admission.check_prompt(max(len(form.ids) for form in found.forms), "workbench prompt")
        return found

    def _shipped(self, stop: threading.Event) -> Generator[Told, None, Any]:
        names = self._shelf.names
        rows: list[dict[str, Any]] = []
        left_out: list[str] = []
        made = (
            f"import workbench as wb\n\nfor name in {names!r}:\n    run = wb.prompt_costs(wb.load(name))\n"
            "    for done, of in run:\n        print(done, of)\n    print(run.result.table())\n"
        )
        for number, name in enumerate(names):
            try:
                run = wb.prompt_costs(self._shelf.get(name), stop=stop)
            except PromptError as error:  # another tokenizer than v1's
                left_out.append(str(error))
                continue
            for done, of in run:
                yield {"share": (number + done / of) / len(names), "said": f"{title(name)}: {done} of {of} chats"}
            found = run.result
            rows += [{"model": title(name), **_row(row)} for row in found.table().reset_index().to_dict("records")]
            left_out += found.left_out
            if stop.is_set():
                break
        return _measured("shipped", rows, left_out, made)


def read(request: dict[str, Any]) -> list[Message]:
    """The messages of a request; PromptError for bad or too long ones."""
    given = request.get("messages")
    if not isinstance(given, list) or not given:
        raise PromptError("The conversation has no messages", remedy="Add at least one user message")
    if len(given) > MOST_MESSAGES:
        raise PromptError(f"There are {len(given)} messages", expected=f"at most {MOST_MESSAGES} here")
    messages = [Message.of(one) for one in given]
    characters = sum(len(one.content) for one in messages)
    if characters > MOST_CHARACTERS:
        raise PromptError(f"The messages have {characters:,} characters", expected=f"at most {MOST_CHARACTERS:,} here")
    return messages


def forms(found: PromptLab) -> list[dict[str, Any]]:
    """What the page draws of each form: `PromptForm`'s fields, and ``other`` [start, stop) of tokens that lie
    differently in the reference."""
    shown = []
    for form in found.forms:
        spans = [] if form.refused else found.aligned(form.name)
        shown.append(
            {"name": form.name, "way": form.way, "ids": form.ids, "pieces": form.pieces, "refused": form.refused,
             "agrees": form.agrees, "first": form.first_difference, "there": form.there,
             "other": [[low, high] for word, low, high, _, _ in spans if word != "equal" and high > low]}
        )  # fmt: skip
    return shown


def code(name: str, messages: list[Message], loss: bool = False) -> str:
    """The Python that gives the same."""
    listed = ",\n    ".join(repr(one.as_dict()) for one in messages)  # JSON would write 🦊 as two halves
    return (
        f"import workbench as wb\n\nmodel = wb.load({name!r})\nmessages = [\n    {listed},\n]\n"
        f"found = wb.prompt_lab(model, messages, loss={loss})\nprint(found.{'loss' if loss else 'table()'})\n"
    )


def _measured(over: str, rows: list[dict[str, Any]], left_out: list[str], said: str) -> dict[str, Any] | None:
    """The result as the page draws it; None where nothing was measured, PromptError where nothing can be."""
    if not rows and left_out:
        raise PromptError(" ".join(left_out))
    return {"over": over, "rows": rows, "note": LOSS_NOTE, "left_out": left_out, "code": said} if rows else None


def _row(row: dict[Any, Any]) -> dict[str, Any]:
    """NaN as nothing: JSON has no word for it."""
    return {str(key): None if isinstance(v, float) and v != v else v for key, v in row.items()}
