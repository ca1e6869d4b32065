"""What a public name is given first may be anything: None, no text, a number, an empty list. It is a sentence then."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from workbench.context.tasks import TASKS
from workbench.errors import WorkbenchError

WRONG = (None, "", 3, [])
# The constructors of results, which no user calls, are not among them.
READERS = sorted(
    f"{name}.{reader}" for name in wb.__all__ for reader in ("open", "read", "load", "of", "from_json")
    if inspect.isclass(found := getattr(wb, name)) and inspect.ismethod(getattr(found, reader, None))
)  # fmt: skip
FUNCTIONS = sorted(name for name in wb.__all__ if not inspect.isclass(getattr(wb, name)))


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Callable[..., Path]) -> wb.Model:
    return wb.load(str(tiny_checkpoint()))


@pytest.fixture
def rest(model: wb.Model, tmp_path: Path) -> dict[str, Any]:
    """A right value for each further argument that a function must be given."""
    item = TASKS["needle"]().make(model.tokenizer, 160)
    return {
        "model_b": model.switched(window=8), "b": model.switched(window=8), "prompt": "Hi", "prompts": ["Hi"],
        "texts": ["Some text to read."], "text": "Hi", "item": item, "items": [item], "ids": [1, 2, 3],
        "periods": [4], "heads": [(0, 0)], "folder": tmp_path, "suite": [{"prompt": "Hi"}], "tasks": "arc_easy",
        "conversation": "Hi", "messages": "Hi",
    }  # fmt: skip


def given(function: Callable[..., Any], first: Any, rest: dict[str, Any]) -> Any:
    """What it gives for ``first`` and right values behind it; a generator is begun."""
    _, *others = inspect.signature(function).parameters.values()
    must = [one for one in others if one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD]
    found = function(first, **{one.name: rest[one.name] for one in must})
    return next(found, None) if isinstance(found, Iterator) else found


@pytest.mark.parametrize("name", [*FUNCTIONS, *READERS, "Conversation", "Model", "Poll"])
def test_a_wrong_first_argument_is_a_sentence(name: str, rest: dict[str, Any]) -> None:
    home, _, method = name.partition(".")
    function = getattr(getattr(wb, home), method) if method else getattr(wb, home)
    told = []
    for first in WRONG:
        try:
            given(function, first, rest)
        except WorkbenchError as error:
            told.append(str(error))
    assert len(told) >= 3, f"only {told}"  # what is fine for one (an empty conversation) is wrong for the others
    assert all(one.endswith(".") and "\n" not in one and 10 < len(one) < 400 for one in told)


def test_a_result_says_what_it_cannot_do(model: wb.Model) -> None:
    found = wb.compare(model, model.switched(window=8), "Hi there", sampling=wb.Sampling(max_new_tokens=2))
    for result in (found, found.a, wb.memory("v0.2")):
        for wrong in (None, 3, "", []):
            for write in (result.to_html, result.save):
                with pytest.raises(WorkbenchError, match="names no file; expected the path of a file"):
                    write(wrong)
    with pytest.raises(WorkbenchError, match=r"no figure of 'x'; expected \"tokens\"\. Ask one of the two runs"):
        found.figure("x")
