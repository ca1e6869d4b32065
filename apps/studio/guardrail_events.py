"""What the safe prompt changes and what moderation says, before and after: a section of Compare & facts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Any

import workbench as wb
from apps.studio.jobs import Told
from apps.studio.lengths import check_lengths
from apps.studio.shelf import title
from apps.studio.studio import Studio
from workbench.behaviour.guarded import Guarded, guarded_steps
from workbench.behaviour.moderation import CATEGORIES
from workbench.chat.guardrails import SAFE_PROMPT, with_safe_prompt
from workbench.errors import PromptError, WorkbenchError

MOST_PROMPTS = 16
MOST_CHARACTERS = 20_000
MOST_NEW_TOKENS = 256


class GuardrailEvents:
    """Works with one model on the shelf as well."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    @property
    def functions(self) -> list[Callable[[Any], dict[str, Any]]]:
        return [self.guardrails_known, self.guardrails_start]

    def guardrails_known(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"text": the safe prompt, "categories": [{"name", "about"}], "most": prompts at once}"""
        categories = [{"name": name, "about": about} for name, about in CATEGORIES.items()]
        return {"text": SAFE_PROMPT, "categories": categories, "most": MOST_PROMPTS}

    def guardrails_start(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"job"} for {"model", "prompts" (one a line), "moderate", "longest" (tokens of a reply)}."""
        name = request.get("model")
        if name not in self._studio.shelf.names:
            raise WorkbenchError("There is no such model here", expected=" or ".join(self._studio.shelf.names))
        prompts, moderated, longest = read(request)
        self._studio.admission.check_reply(longest)

        def work(stop: threading.Event) -> Generator[Told, None, Any]:
            yield {"share": 0.0, "said": "loading the model"}
            model = self._studio.shelf.get(str(name))
            said = [with_safe_prompt(one) for one in prompts]
            check_lengths(self._studio.admission, [model], said, "workbench moderate")
            steps = guarded_steps(
                model, prompts, wb.Sampling(max_new_tokens=longest), moderated=moderated, stop=stop
            )  # fmt: skip
            done, partial, made = 0, None, code(str(name), prompts, longest, moderated)
            while True:
                try:
                    share, words, found = next(steps)
                except StopIteration as end:
                    return shown(end.value, made) if end.value.replies else None
                if len(found.replies) > done:
                    done, partial = len(found.replies), shown(found, made)
                yield {"share": share, "said": words, "partial": partial}

        return {"job": self._studio.jobs.start(str(request.get("tab", "")), work, "workbench moderate")}


def read(request: dict[str, Any]) -> tuple[list[str], bool, int]:
    """Prompts, whether to moderate, and the longest reply; PromptError for what cannot be run."""
    text, longest = request.get("prompts"), request.get("longest", 48)
    if not isinstance(text, str) or len(text) > MOST_CHARACTERS:
        raise PromptError("The prompts are too long", expected=f"at most {MOST_CHARACTERS} characters")
    prompts = [line.strip() for line in text.splitlines() if line.strip()]
    if not 1 <= len(prompts) <= MOST_PROMPTS:
        raise PromptError(f"There are {len(prompts)} prompts", expected=f"1 to {MOST_PROMPTS}, one a line")
    if isinstance(longest, bool) or not isinstance(longest, int) or not 1 <= longest <= MOST_NEW_TOKENS:
        raise PromptError(f"The longest reply is {str(longest)[:20]}", expected=f"1 to {MOST_NEW_TOKENS} tokens")
    return prompts, request.get("moderate") is not False, longest


def shown(found: Guarded, said: str) -> dict[str, Any]:
    """What the page draws: `Guarded.as_json`, the model's short name, and the code that gives the same."""
    return found.as_json() | {"title": title(found.model), "code": said}


def code(name: str, prompts: list[str], longest: int, moderated: bool) -> str:
    """The Python that gives the same."""
    listed = ", ".join(repr(one) for one in prompts)
    return (
        f"import workbench as wb\n\nmodel = wb.load({name!r})\n"
        f"found = wb.guarded(model, [{listed}], wb.Sampling(max_new_tokens={longest}), moderated={moderated})\n"
        "found.table()"
    )
