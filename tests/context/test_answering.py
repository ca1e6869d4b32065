"""Answers equal plain greedy generation and teacher-forced log-probabilities, however texts share their beginnings."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import workbench as wb
from workbench.context import answering
from workbench.context.answering import Reader, answer, answers, expected_ids
from workbench.context.item import Item
from workbench.context.tasks import TASKS
from workbench.errors import ContextLengthError
from workbench.generation.packed import forward_packed
from workbench.generation.prefill import forward_rows, new_cache


@pytest.fixture(scope="module", params=["twin-v0.1", "twin-v0.2"])
def twin(request: pytest.FixtureRequest) -> wb.Model:
    return wb.load(request.param)


@pytest.mark.parametrize(("name", "form"), [("needle", "chat"), ("lines", "chat"), ("needle", "plain")])
def test_answers_are_those_of_a_run_of_its_own(twin: wb.Model, name: str, form: str) -> None:
    reader = Reader(twin)
    places = [(560, 0.1)] * (name == "needle") + [(340, 1.0), (340, 0.3), (300, 0.9), (300, 0.0)]
    items = [TASKS[name]().make(twin.tokenizer, *place, 2, 1, form) for place in places]
    together = dict(answers(reader, items))
    assert sorted(together) == list(range(len(items)))
    assert sum(one.read for one in together.values()) == reader.read < sum(length for length, _ in places)
    for number, item in enumerate(items):
        found = together[number]
        run = twin.generate(item.prompt, wb.Sampling(max_new_tokens=item.budget), wb.Capture.nothing())
        steps = list(run)
        ended = steps[-1].token_id == 2
        assert (found.text, found.ended) == ("".join(step.text for step in steps).strip(), ended)
        assert found.tokens == len(steps) - ended
        ids = [*item.prompt.ids, *expected_ids(twin, item)]
        with torch.inference_mode():
            logits = twin.module(input_ids=torch.tensor([ids])).logits[0].float().log_softmax(-1)
        start = len(item.prompt.ids)
        wanted = sum(float(logits[i - 1, ids[i]]) for i in range(start, len(ids)))
        assert found.logprob == pytest.approx(wanted, rel=1e-3, abs=1e-3)


def test_replies_that_end_leave_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    twin = wb.load("twin-v0.1")  # it knows what stands in its window and makes up the rest
    items = [TASKS["needle"]().make(twin.tokenizer, 420, depth, case) for case in range(3) for depth in (1.0, 0.6, 0.0)]
    sizes = []
    feed_each = Reader.feed_each
    monkeypatch.setattr(Reader, "feed_each", lambda self, parts: sizes.append(len(parts)) or feed_each(self, parts))
    together = dict(answers(Reader(twin), items))
    assert sizes[0] == len(items)
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) > 2  # some end with the others still going on
    assert {one.ended for one in together.values()} == {True, False}
    for number, item in enumerate(items):
        alone = answer(Reader(twin), item)
        assert alone is not None
        assert replace(together[number], seconds=0, read=0, logprob=0, first_logprob=0) == replace(
            alone, seconds=0, read=0, logprob=0, first_logprob=0
        )
        assert together[number].logprob == pytest.approx(alone.logprob, rel=1e-4, abs=1e-4)


def test_no_more_wait_for_each_other_than_may(
    tiny_checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = wb.load(str(tiny_checkpoint()))
    items = [TASKS["needle"]().make(model.tokenizer, 200, depth) for depth in (1.0, 0.7, 0.4, 0.0)]
    came: list[int] = []

    def asked() -> Iterator[Item]:
        for number, item in enumerate(items):
            came.append(number)
            yield item

    def before_the_first() -> int:
        came.clear()
        next(iter(answers(Reader(model), asked())))
        return len(came)

    assert before_the_first() == 4
    for limit, value, most in (("TOGETHER", 3, 3), ("HELD", 1, 1), ("SOON", 0.0, 1)):
        with monkeypatch.context() as patch:
            patch.setattr(answering, limit, value)
            assert before_the_first() == most


@pytest.mark.parametrize("window", [None, 24])
def test_texts_fed_together_are_fed_alone(tiny_checkpoint: Callable[..., Path], window: int | None) -> None:
    module = wb.load(str(tiny_checkpoint(window=window))).module
    texts = [list(range(300, 300 + n)) for n in (50, 3, 24, 71)]
    feeds = [[[7, 8, 9], [5]], [[4], [6, 7]], [[11] * 30, [3]], [[12], [13]]]
    together, alone = ([new_cache(module) for _ in texts] for _ in range(2))
    for caches in (together, alone):
        for ids, cache in zip(texts, caches, strict=True):
            forward_rows(module, ids, cache, None, 1)
    for turn in range(2):
        parts = [(feed[turn], cache, len(feed[turn])) for feed, cache in zip(feeds, together, strict=True)]
        for found, feed, cache in zip(forward_packed(module, parts), feeds, alone, strict=True):
            torch.testing.assert_close(found, forward_rows(module, feed[turn], cache, None, len(feed[turn])))
    for one, other in zip(together, alone, strict=True):
        assert one.get_seq_length() == other.get_seq_length()
        for a, b in zip(one.layers, other.layers, strict=True):
            torch.testing.assert_close((a.keys, a.values), (b.keys, b.values))


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
