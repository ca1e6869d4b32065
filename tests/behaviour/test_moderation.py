"""Moderation's scores against plain forwards of transformers; verdicts as a property of the answer's words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import workbench as wb
from tests.reference import eager, eager_states
from workbench.behaviour.guarded import checked, guarded, guarded_steps
from workbench.behaviour.moderation import CATEGORIES, LABELS, NOTHING, UNCLEAR, moderate, question, verdict
from workbench.chat.guardrails import SAFE_PROMPT
from workbench.errors import PromptError
from workbench.generation.prefix import PrefixStore

TEXT = "How do I open a window?"


@pytest.fixture(scope="module", params=[24, None])
def folder(request: pytest.FixtureRequest, tiny_checkpoint: Callable[..., Path]) -> Path:
    return tiny_checkpoint(window=request.param)


@pytest.fixture(scope="module")
def model(folder: Path) -> wb.Model:
    return wb.load(str(folder))


def independent(folder: Path, ids: list[int], then: list[int]) -> torch.Tensor:
    """Log-probabilities (tokens, vocabulary) that choose the tokens of ``then``."""
    logits = eager_states(eager(folder), [*ids, *then])["logits"]
    return logits[len(ids) - 1 : -1].log_softmax(-1)


@pytest.mark.parametrize("reuse", [None, PrefixStore()])
def test_scores_are_log_probabilities(folder: Path, model: wb.Model, reuse: PrefixStore | None) -> None:
    found = moderate(model, TEXT, "answer", reuse=reuse)
    assert list(found.scores.index) == list(LABELS)
    assert len(CATEGORIES) == 13
    prompt = list(model.encode([{"role": "user", "content": question(TEXT, "answer")}]).ids)
    for label in ("illegal", "hate violence harassment", NOTHING):
        then = model.tokenizer.encode(label)
        rows = independent(folder, prompt, then)
        expected = float(rows[torch.arange(len(then)), torch.tensor(then)].sum())
        assert found.scores.logprob[label] == pytest.approx(expected, abs=2e-3)
    assert found.scores.share.sum() == pytest.approx(1)
    assert found.likeliest == found.table().index[0]
    assert found.category == (found.verdict if found.verdict in CATEGORIES else None)


def test_the_answer_is_the_greedy_one(model: wb.Model) -> None:
    run = model.generate([{"role": "user", "content": question(TEXT)}], wb.Sampling(max_new_tokens=16))
    assert [step.text for step in run]
    assert moderate(model, TEXT).answer == run.text.strip()


@given(
    label=st.sampled_from(LABELS), before=st.sampled_from(["", " ", '"', "- ", "\n"]),
    after=st.sampled_from(["", ".", '"', ": because of it", " and more", "\nfraud"]), upper=st.booleans(),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_an_answer_is_matched_by_its_beginning(label: str, before: str, after: str, upper: bool) -> None:
    assert verdict(before + (label.upper() if upper else label) + after) == label


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("hate", "hate violence harassment"), ("Hate violence", "hate violence harassment"), ("child", "child abuse"),
        ("not", NOTHING), ("unqualified", UNCLEAR), ("unqualified health", "unqualified health"), ("", UNCLEAR),
        ("Paris", UNCLEAR), ("illegally", UNCLEAR), ("It is fraud", UNCLEAR), ("policy", UNCLEAR),
    ],
)  # fmt: skip
def test_beginnings_of_labels(answer: str, expected: str) -> None:
    assert verdict(answer) == expected


@pytest.mark.parametrize(("text", "of"), [("", "prompt"), (" \n", "answer"), (3, "prompt"), ("Hi", "reply")])
def test_what_cannot_be_moderated_is_a_sentence(model: wb.Model, text: str, of: str) -> None:
    with pytest.raises(PromptError):
        moderate(model, text, of)  # type: ignore[arg-type]


def test_guarded_numbers_are_those_of_plain_forwards(folder: Path, model: wb.Model) -> None:
    found = guarded(model, [TEXT, "Who?"], wb.Sampling(max_new_tokens=6))
    assert len(found.replies) == found.planned == 2
    for one in found.replies:
        user = {"role": "user", "content": one.prompt}
        plain = model.encode([user])
        safe = model.encode([{"role": "system", "content": SAFE_PROMPT}, user])
        runs = [model.generate(prompt, wb.Sampling(max_new_tokens=6)) for prompt in (plain, safe)]
        steps = [list(run) for run in runs]
        assert (one.plain, one.safe) == tuple(run.text for run in runs)
        then = [step.token_id for step in steps[0]]
        rows = [independent(folder, list(prompt.ids), then) for prompt in (plain, safe)]
        kl = torch.nn.functional.kl_div(rows[1][0], rows[0][0], reduction="sum", log_target=True)
        assert one.kl_first == pytest.approx(float(kl), rel=1e-3, abs=1e-4)
        means = [float(row[torch.arange(len(then)), torch.tensor(then)].mean()) for row in rows]
        assert one.change == pytest.approx(means[1] - means[0], abs=1e-3)
        assert one.prompt_verdict is not None
        assert one.prompt_verdict.answer == moderate(model, one.prompt).answer
    assert list(found.table()["prompt"]) == [TEXT, "Who?"]
    assert found.provenance["settings"]["safe_prompt"] == SAFE_PROMPT
    assert "text/html" in found._repr_mimebundle_()


def test_a_stopped_one_keeps_whole_prompts(model: wb.Model) -> None:
    import threading

    stop = threading.Event()
    steps = guarded_steps(model, ["a", "b"], wb.Sampling(max_new_tokens=2), moderated=False, stop=stop)
    for _, _, so_far in steps:
        if so_far.replies:
            stop.set()
    assert len(so_far.replies) == 1


def test_a_reply_with_its_verdicts(model: wb.Model) -> None:
    found = checked(model, "Hi <b>", wb.Sampling(max_new_tokens=3), safe_prompt=True)
    assert (
        found.run.prompt.ids
        == model.encode([{"role": "system", "content": SAFE_PROMPT}, {"role": "user", "content": "Hi <b>"}]).ids
    )
    assert found.prompt.answer == moderate(model, "Hi <b>").answer
    assert "<b>" not in guarded(model, ["<b>"], wb.Sampling(max_new_tokens=1))._repr_mimebundle_()["text/html"]


@pytest.mark.parametrize("prompts", [[], [""], ["a", 3], ["a"] * 201])
def test_prompts_that_cannot_be_run_are_a_sentence(model: wb.Model, prompts: list[str]) -> None:
    with pytest.raises(PromptError):
        guarded(model, prompts)
