"""Which change is responsible: the factorial over weights, window and theta that Compare & facts starts as a job."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Any

import workbench as wb
from apps.studio.jobs import Told
from apps.studio.lengths import check_lengths
from apps.studio.parted import parted
from apps.studio.studio import Studio
from workbench.comparison.factorial_result import TITLES, UNITS
from workbench.comparison.factorial_run import MEASURES, FactorialRun
from workbench.comparison.questions import parsed, questions_of, texts_of
from workbench.errors import ComparisonError, PromptError

MOST = 64
"""Texts, and questions, that a visitor may ask for at once."""
MOST_CHARACTERS = 400_000
FEW = 4


class WhichEvents:
    """Needs two models on the shelf."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    @property
    def functions(self) -> list[Callable[[Any], dict[str, Any]]]:
        return [self.which_known, self.which_start]

    def which_known(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"models": [names], "shipped": {"texts": how many, "questions": how many}, "few": items of the short run}"""
        return {
            "models": list(self._studio.shelf.names),
            "shipped": {"texts": len(texts_of(None)), "questions": len(questions_of(None))},
            "few": FEW,
        }

    def which_start(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"job"} for {"measures", "texts", "questions", "most", "reference"}: texts are parted by a line of ---,
        questions are lines of JSON; "" takes the shipped ones, ``most`` of each at most (None: all)."""
        names = self._studio.shelf.names
        if len(names) < 2:
            raise ComparisonError(
                "This needs two models, and one is loaded", remedy="Start the page with two: workbench app -m A -m B"
            )
        settings = read(request)

        def work(stop: threading.Event) -> Generator[Told, None, Any]:
            yield {"share": 0.0, "said": "loading the models"}
            a, b = (self._studio.shelf.get(name) for name in names)
            check_lengths(self._studio.admission, (a, b), own(settings), "workbench factorial")
            run = FactorialRun(a, b, stop=stop, **settings)
            yield {"share": 0.0, "said": "trying how fast it goes"}
            cost = str(run.estimate())
            yield {"share": 0.0, "said": cost}
            partial: dict[str, Any] | None = None
            for step in run:
                if partial is None or run.measured > partial["measured"]:  # tables of whole items as they come
                    partial = shown(run.result, names, settings)
                yield {
                    "share": step.share,
                    "said": f"{step.said}; {cost}",
                    "partial": partial if run.measured else None,
                }
            return shown(run.result, names, settings) if run.result.measured else None

        return {"job": self._studio.jobs.start(str(request.get("tab", "")), work, "workbench factorial")}


def read(request: dict[str, Any]) -> dict[str, Any]:
    """The keywords of `FactorialRun` that a request stands for; ComparisonError or PromptError for bad ones."""
    measures = request.get("measures")
    if not isinstance(measures, list) or not measures or not all(one in MEASURES for one in measures):
        raise ComparisonError("No measure was chosen", expected=" or ".join(MEASURES), remedy="Choose at least one")
    most = request.get("most")
    if most is not None and (isinstance(most, bool) or not isinstance(most, int) or not 1 <= most <= MOST):
        raise ComparisonError(f"The number of items is {str(most)[:20]}", expected=f"1 to {MOST}")
    reference = request.get("reference", "a")
    if reference not in ("a", "b"):
        raise ComparisonError("The reference is neither a nor b", expected="a or b")
    found: dict[str, Any] = {"measures": measures, "most": most, "reference": reference}
    given = {name: request.get(name) or "" for name in ("texts", "questions")}
    for name, value in given.items():
        if not isinstance(value, str) or len(value) > MOST_CHARACTERS:
            raise PromptError(f"The {name} are too long", expected=f"at most {MOST_CHARACTERS:,} characters")
    if given["texts"].strip():
        found["texts"] = _bounded(parted(given["texts"]), "texts")
    if given["questions"].strip():
        found["questions"] = questions_of(
            _bounded(parsed(given["questions"].split("\n"), "the questions"), "questions")
        )
    return found


def own(settings: dict[str, Any]) -> list[Any]:
    """The visitor's own texts in `FactorialRun`'s keywords: what is read, and what is written out as an answer."""
    asked = settings.get("questions", [])
    return [*settings.get("texts", []), *(one.prompt for one in asked), *(one.expected for one in asked)]


def _bounded(items: list[Any], what: str) -> list[Any]:
    if len(items) > MOST:
        raise PromptError(f"There are {len(items)} {what}", expected=f"at most {MOST} here",
                          remedy="Use workbench factorial for more")  # fmt: skip
    return items


def shown(found: wb.Factorial, names: list[str], settings: dict[str, Any]) -> dict[str, Any]:
    """The result as the page draws it: `Factorial.as_json`, effects with ``sure``, titles, and the code."""
    data = found.as_json()
    sure = {(o, w, name): one.sure for o, w in found.outcomes for name, one in found.of(o, w).items()}
    for row in data["effects"]:
        row["sure"] = sure[row["outcome"], row["where"], row["effect"]]
    own = [name for name in ("texts", "questions") if name in settings]
    lines = ["import workbench as wb", "", f"a, b = wb.load({names[0]!r}), wb.load({names[1]!r})"]
    lines += [f"{name} = ...  # your own: see wb.factorial's help" for name in own]
    words = [f"measures={settings['measures']!r}", *(f"{name}={name}" for name in own)]
    words += [f"most={settings['most']}"] if settings["most"] else []
    words += [f"reference={settings['reference']!r}"] if settings["reference"] != "a" else []
    lines += [f"found = wb.factorial(a, b, {', '.join(words)})", "print(found.sentence)", "found.effects"]
    return {**data, "titles": TITLES, "units": UNITS, "code": "\n".join(lines) + "\n", "finished": found.finished}
