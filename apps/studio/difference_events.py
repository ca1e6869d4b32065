"""Differences: what changed between the two models on the shelf, and how likely both find the visitor's texts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Any

import workbench as wb
from apps.studio.jobs import Told
from apps.studio.lengths import check_lengths
from apps.studio.parted import joined, parted
from apps.studio.studio import Studio
from workbench.comparison import changing, comparing_texts
from workbench.comparison.questions import texts_of
from workbench.errors import ComparisonError, PromptError
from workbench.models.registry import resolve

MOST = 64
"""Texts that a visitor may compare at once."""
MOST_CHARACTERS = 400_000
FEW, LONG = 6, 2000
"""Texts that are filled in, and about their characters."""


class DifferenceEvents:
    """Needs two models on the shelf."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    @property
    def functions(self) -> list[Callable[[Any], dict[str, Any]]]:
        return [self.differences_known, self.differences_changes, self.differences_texts]

    def differences_known(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"models": [names], "small": every tensor is compared at once, "texts": what the form begins with}"""
        names = list(self._studio.shelf.names)
        small = all(resolve(name).kind == "twin" for name in names)
        return {"models": names, "small": small, "texts": joined(suggested())}

    def differences_changes(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"job"} for {"weights": whether every tensor is compared}: `Changes.as_json` and the code."""
        names, weights = self._names(), bool(request.get("weights"))
        code = f"found = wb.changes(a, b{'' if weights else ', weights=False'})\nfound.sentences, found.weights"

        def work(stop: threading.Event) -> Generator[Told, None, Any]:
            yield {"share": 0.0, "said": "loading the models"}
            a, b = (self._studio.shelf.get(name) for name in names)
            stated = wb.changes(a, b, weights=False)
            yield {"share": 0.0, "said": "", "partial": _shown(stated, names, code)}
            found = stated
            if weights:
                steps = changing(a, b, stop=stop)
                while True:
                    try:
                        step = next(steps)
                    except StopIteration as end:
                        found = end.value
                        break
                    yield {"share": step.share, "said": step.said, "partial": None}
            return _shown(found, names, code)

        return {"job": self._studio.jobs.start(str(request.get("tab", "")), work, "workbench compare")}

    def differences_texts(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"job"} for {"texts": parted by lines of ---}: `TextComparison.as_json` and the code."""
        names, texts = self._names(), texts_of_form(request.get("texts"))
        code = "texts = [...]  # yours\nfound = wb.compare_texts(a, b, texts)\nprint(found.sentence)\nfound.table()"

        def work(stop: threading.Event) -> Generator[Told, None, Any]:
            yield {"share": 0.0, "said": "loading the models"}
            a, b = (self._studio.shelf.get(name) for name in names)
            check_lengths(self._studio.admission, (a, b), texts, "workbench compare --text")
            steps = comparing_texts(a, b, texts, stop=stop)
            while True:
                try:
                    step = next(steps)
                except StopIteration as end:
                    found: wb.TextComparison = end.value
                    return _shown(found, names, code) if len(found.tokens) else None
                yield {"share": step.share, "said": step.said}

        return {"job": self._studio.jobs.start(str(request.get("tab", "")), work, "workbench compare")}

    def _names(self) -> list[str]:
        names = list(self._studio.shelf.names)
        if len(names) < 2:
            raise ComparisonError(
                "This needs two models, and one is loaded", remedy="Start the page with two: workbench app -m A -m B"
            )
        return names


def texts_of_form(value: Any) -> list[str]:
    """The texts of the form. Raises PromptError."""
    if not isinstance(value, str) or len(value) > MOST_CHARACTERS:
        raise PromptError("The texts are too long", expected=f"at most {MOST_CHARACTERS:,} characters")
    texts = parted(value)
    if not texts:
        raise PromptError("There is no text", expected="some text; a line of --- parts several")
    if len(texts) > MOST:
        raise PromptError(
            f"There are {len(texts)} texts", expected=f"at most {MOST} here", remedy="Use workbench compare --text"
        )
    return texts


def suggested() -> list[str]:
    """The beginnings of the shipped texts, cut at the end of a sentence: long enough to pass a twin's window."""
    found = []
    for one in texts_of(None)[:FEW]:
        text = " ".join(str(one.prompt[0]["content"]).split())
        found.append(text[: text.rfind(". ", 0, LONG) + 1] if len(text) > LONG else text)
    return found


def _shown(found: wb.Changes | wb.TextComparison, names: list[str], code: str) -> dict[str, Any]:
    begin = f"import workbench as wb\n\na, b = wb.load({names[0]!r}), wb.load({names[1]!r})\n"
    return {**found.as_json(), "code": f"{begin}{code}\n"}
