"""What Which change refuses, in sentences."""

from __future__ import annotations

from typing import Any

import pytest

from apps.studio.studio import Studio
from apps.studio.which_events import MOST, WhichEvents, read
from workbench.errors import WorkbenchError


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"measures": ["accuracy"]},
        {"measures": ["loss"], "most": 0},
        {"measures": ["loss"], "most": MOST + 1},
        {"measures": ["loss"], "most": True},
        {"measures": ["loss"], "reference": "c"},
        {"measures": ["loss"], "texts": ["no", "text"]},
        {"measures": ["loss"], "texts": "a\n---\n" * (MOST + 1)},
        {"measures": ["retrieval"], "questions": "not json"},
        {"measures": ["retrieval"], "questions": '{"prompt": "Who?"}'},
        {"measures": ["retrieval"], "questions": '{"prompt": {"a": 1}, "answer": "Tom"}'},
    ],
)
def test_a_bad_request_is_a_sentence(request_: dict[str, Any]) -> None:
    with pytest.raises(WorkbenchError, match=r"\."):
        read(request_)


def test_texts_are_parted_and_questions_read() -> None:
    found = read({"measures": ["loss", "retrieval"], "texts": "one\n---\ntwo\nlines\n---\n",
                  "questions": '{"prompt": "Who?", "answer": "Tom"}\n\n'})  # fmt: skip
    assert found["texts"] == ["one", "two\nlines"] and found["questions"][0].answers == ("Tom",)


def test_one_model_is_told_that_it_needs_two() -> None:
    with pytest.raises(WorkbenchError, match="needs two models"):
        WhichEvents(Studio.of(["twin-v0.1"])).which_start({"measures": ["loss"]})
