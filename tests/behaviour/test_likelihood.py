"""What benchmarks ask, against plain transformers; lm-eval itself where it is installed."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import workbench as wb
from tests.reference import eager, eager_states
from workbench.behaviour import likelihood
from workbench.behaviour.harness import evaluate, sampling_of
from workbench.errors import WorkbenchError

INSTALLED = importlib.util.find_spec("lm_eval") is not None
TEXT = "The window is open and the cat sits in it, as cats do."


@pytest.fixture(scope="module", params=[None, 8])
def checkpoint(request: pytest.FixtureRequest, tiny_checkpoint: Callable[..., Path]) -> Path:
    return tiny_checkpoint(window=request.param, context=32)


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> wb.Model:
    return wb.load(str(checkpoint))


def independent(checkpoint: Path, read: list[int], then: list[int]) -> tuple[float, bool]:
    rows = eager_states(eager(checkpoint), read)["logits"][-len(then) :]
    chosen = rows.log_softmax(-1)[torch.arange(len(then)), torch.tensor(then)]
    return float(chosen.sum()), rows.argmax(-1).tolist() == then


@pytest.mark.parametrize(
    ("context", "then"), [("The cat", " sits"), ("The cat ", "sits"), ("", "The cat"), (TEXT * 3, " x")]
)
def test_a_continuation_is_scored_as_by_transformers(
    checkpoint: Path, model: wb.Model, context: str, then: str
) -> None:  # fmt: skip
    before, after = likelihood.split(model, context, then)
    assert before + after == [1, *model.tokenizer.encode(context + then)]
    read = (before + after)[-33:][:-1]
    found = likelihood.continuation(model, before, after)
    assert found[0] == pytest.approx(independent(checkpoint, read, after)[0], abs=2e-3)
    assert found[1] == independent(checkpoint, read, after)[1]


def test_the_greedy_continuation_is_known_as_such(model: wb.Model) -> None:
    before = likelihood.text_ids(model, "The cat")
    run = model.generate("The cat", wb.Sampling(max_new_tokens=4))
    ids = [step.token_id for step in run]
    assert likelihood.continuation(model, before, ids)[1]
    assert not likelihood.continuation(model, before, [*ids[:-1], (ids[-1] + 1) % 32000])[1]


def test_a_long_text_is_scored_in_windows(checkpoint: Path, model: wb.Model) -> None:
    ids = model.tokenizer.encode(TEXT * 5)
    assert len(ids) > 2 * 32
    total, done = 0.0, 0
    while done < len(ids):  # each window ends 32 further, and reads the 32 ids before its last
        end = min(done + 32, len(ids))
        read = [1, *ids[: end - 1]] if done == 0 else ids[end - 33 : end - 1]
        total += independent(checkpoint, read, ids[done:end])[0]
        done = end
    assert likelihood.text_likelihood(model, TEXT * 5) == pytest.approx(total, rel=1e-4)


@given(st.integers(0, 40), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_every_id_is_predicted_once_behind_what_fits(count: int, longest: int) -> None:
    ids = list(range(count))
    found = list(likelihood.windows(ids, -1, longest))
    assert [one for _, then in found for one in then] == ids
    for before, then in found:
        assert len(before) + len(then) - 1 <= longest
        assert before == [-1, *ids][then[0] + 1 - len(before) : then[0] + 1]


def test_a_reply_is_greedy_and_ends_before_the_mark(checkpoint: Path, model: wb.Model) -> None:
    ids = likelihood.text_ids(model, "The cat")
    made = eager(checkpoint).generate(torch.tensor([ids]), max_new_tokens=8, do_sample=False)[0].tolist()
    text = model.tokenizer.decode(made)[len("The cat") :]
    whole = likelihood.reply(model, ids, wb.Sampling(8))
    assert whole.strip() == text.strip()
    mark = whole[3:6]
    assert likelihood.reply(model, ids, sampling_of({"until": [mark], "max_gen_toks": 8})) == whole[: whole.find(mark)]


def test_a_task_that_asks_for_what_is_not_there_is_told() -> None:
    with pytest.raises(WorkbenchError, match="num_beams = 4"):
        sampling_of({"num_beams": 4})
    assert sampling_of({"do_sample": False, "temperature": 0.7, "until": "\n"}) == wb.Sampling(256, stop=("\n",))
    assert sampling_of({"do_sample": True, "temperature": 0.7, "top_p": 0.5}).top_p == 0.5


@pytest.mark.skipif(INSTALLED, reason="lm-eval is installed")
def test_without_lm_eval_a_sentence_says_how_to_get_it(model: wb.Model) -> None:
    with pytest.raises(WorkbenchError, match=r"mistral-workbench\[evaluation\]"):
        evaluate(model, "arc_easy")


@pytest.mark.skipif(not INSTALLED, reason='lm-eval is not installed: pip install "mistral-workbench[evaluation]"')
@pytest.mark.parametrize("chat", [False, True])
def test_lm_eval_runs_a_task_of_a_local_file(
    model: wb.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chat: bool
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    docs = [{"q": "Cats say", "a": ["meow", "moo"], "right": 0}, {"q": "Cows say", "a": ["meow", "moo"], "right": 1}]
    data = tmp_path / "docs.jsonl"
    data.write_text("".join(json.dumps(one) + "\n" for one in docs))
    task = tmp_path / "says.yaml"
    task.write_text(
        f"task: says\ndataset_path: json\ndataset_kwargs:\n  data_files: {{test: {data}}}\ntest_split: test\n"
        'output_type: multiple_choice\ndoc_to_text: "{{q}}"\ndoc_to_choice: "{{a}}"\ndoc_to_target: right\n'
        "metric_list:\n  - metric: acc\n"
    )
    found = evaluate(model, task, chat=chat)
    right = 0
    for one in docs:
        scores = []
        for answer in one["a"]:
            if chat:
                ids = list(model.encode([{"role": "user", "content": str(one["q"])}]).ids)
                parts = ids, model.tokenizer.encode(answer)
            else:
                parts = likelihood.split(model, str(one["q"]), f" {answer}")
            scores.append(likelihood.continuation(model, *parts)[0])
        right += scores.index(max(scores)) == one["right"]
    assert found.table().loc[("says", "acc", "none"), "value"] == right / 2
    assert found.rows[0]["n"] == 2
