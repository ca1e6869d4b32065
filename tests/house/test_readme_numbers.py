"""What the README says of the twins holds on a few of the very items that its commands run over all of them."""

from __future__ import annotations

import json
from itertools import islice

import pytest

import workbench as wb
from workbench.comparison.outcomes import answer
from workbench.comparison.questions import questions_of
from workbench.facts.prompt_costs import conversations_of
from workbench.models.registry import assets_folder


@pytest.fixture(scope="module")
def twins() -> tuple[wb.Model, wb.Model]:
    return wb.load("twin-v0.1"), wb.load("twin-v0.2")


def test_window_and_theta_together_are_responsible(twins: tuple[wb.Model, wb.Model]) -> None:
    a, b = twins
    path = assets_folder() / "prompts" / "factorial-questions.jsonl"
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    far = [line for line in lines if line["tokens"] > 512]
    assert len(far) == 14
    asked = questions_of(far[::5])
    right = {}
    for name, model in {
        "a": a, "b": b, "both": a.switched(window=None, theta=1e6), "window": a.switched(window=None),
        "theta": a.switched(theta=1e6),
    }.items():  # fmt: skip
        found = [answer(model, question) for question in asked]
        right[name] = sum(one is not None and one.right for one in found)
    assert right["a"] == 0
    assert right["b"] == len(asked)
    assert right["both"] >= len(asked) - 1
    assert max(right["window"], right["theta"]) <= 1


def test_what_templates_cost(twins: tuple[wb.Model, wb.Model]) -> None:
    conversations = [{"id": name, "messages": [one.as_dict() for one in messages]}
                     for name, messages in islice(conversations_of(None), 0, 48, 8)]  # fmt: skip
    run = wb.prompt_costs(twins[0], conversations)
    for _ in run:
        pass
    table = run.result.table()
    for form in "AB":
        assert table.loc[(form, "answers"), "nats"] < -60
        assert abs(table.loc[(form, "reply"), "nats"]) < 0.1
    assert abs(table.loc[("C", "answers"), "nats"]) < 1
