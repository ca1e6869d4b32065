"""Answers equal plain greedy generation and teacher-forced log-probabilities, however texts share their beginnings."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import workbench as wb
from workbench.context.answering import Reader, answer, expected_ids
from workbench.context.tasks import TASKS
from workbench.errors import ContextLengthError


@pytest.fixture(scope="module", params=["twin-v0.1", "twin-v0.2"])
def twin(request: pytest.FixtureRequest) -> wb.Model:
    return wb.load(request.param)


@pytest.mark.parametrize(("name", "form"), [("needle", "chat"), ("lines", "chat"), ("needle", "plain")])
def test_answers_are_those_of_a_run_of_its_own(twin: wb.Model, name: str, form: str) -> None:
    reader = Reader(twin)
    for length, depth in ((420, 1.0), (420, 0.3), (300, 0.9), (300, 0.0)):
        item = TASKS[name]().make(twin.tokenizer, length, depth, 2, 1, form)
        found = answer(reader, item)
        assert found is not None
        run = twin.generate(item.prompt, wb.Sampling(max_new_tokens=item.budget), wb.Capture.nothing())
        steps = list(run)
        assert found.text == "".join(step.text for step in steps).strip()
        ids = [*item.prompt.ids, *expected_ids(twin, item)]
        with torch.inference_mode():
            logits = twin.module(input_ids=torch.tensor([ids])).logits[0].float().log_softmax(-1)
        start = len(item.prompt.ids)
        wanted = sum(float(logits[i - 1, ids[i]]) for i in range(start, len(ids)))
        assert found.logprob == pytest.approx(wanted, rel=1e-3, abs=1e-3)
    assert reader.read < 2 * 420 + 2 * 300


def test_expected_answers_are_written_as_the_model_would(twin: wb.Model) -> None:
    for name, made in TASKS.items():
        item = made().make(twin.tokenizer, 900, 0.5)
        chat = [{"role": role, "content": text} for role, text in item.prompt.source or ()]
        whole = twin.encode([*chat, {"role": "assistant", "content": item.expected}])
        assert whole.ids == (*item.prompt.ids, *expected_ids(twin, item), 2)
        assert len(expected_ids(twin, item)) < item.budget, name


def test_too_long_and_stopped(tiny_checkpoint: Callable[..., Path]) -> None:
    model = wb.load(str(tiny_checkpoint()))
    item = TASKS["needle"]().make(model.tokenizer, model.context + 1)
    with pytest.raises(ContextLengthError, match="at most"):
        answer(Reader(model), item)
    stop = threading.Event()
    stop.set()
    assert answer(Reader(model), TASKS["needle"]().make(model.tokenizer, 200), stop) is None
