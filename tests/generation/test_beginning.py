"""A reply that begins with given tokens: the same reply as the one that came to them by itself, or a sentence."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from transformers import MistralForCausalLM

import workbench as wb
from tests.prompts import prompt_of
from tests.reference import eager, random_ids
from workbench.errors import ContextLengthError, FileFormatError, SamplingError
from workbench.inspection.inspection import Inspection
from workbench.inspection.storage import KEY
from workbench.model import Model

CAPTURE = wb.Capture(
    wb.AttentionCapture(rows="all", pool=12, maximum=True, states=True, sink_tokens=2, recent=5),
    wb.LensCapture(positions="all", top_k=3, blocks=5),
    attribution=wb.AttributionCapture(),
)
WINDOWS = (None, 20)


@pytest.fixture(scope="module")
def folders(tiny_checkpoint: Callable[..., Path]) -> dict[int | None, Path]:
    return {window: tiny_checkpoint(layers=2, heads=4, kv_heads=2, window=window) for window in WINDOWS}


@pytest.fixture(scope="module")
def models(folders: dict[int | None, Path]) -> dict[int | None, Model]:
    return {window: wb.load(str(folder)) for window, folder in folders.items()}


@pytest.fixture(scope="module")
def references(folders: dict[int | None, Path]) -> dict[int | None, MistralForCausalLM]:
    return {window: eager(folder) for window, folder in folders.items()}


def finished(run: wb.Run) -> Inspection:
    for _ in run:
        pass
    return run.inspection


def assert_same_numbers(one: Inspection, other: Inspection) -> None:
    """Equal ids and ranks, and all numbers to what another order of the same additions leaves."""
    assert one.ids.tolist() == other.ids.tolist()
    assert one.attention is not None
    assert other.attention is not None
    for name in ("rows", "map", "max_map"):
        np.testing.assert_allclose(getattr(one.attention, name), getattr(other.attention, name), atol=2e-5)
    for name in other.attention.statistics:
        np.testing.assert_allclose(one.attention.statistics[name], other.attention.statistics[name], atol=3e-4)
    for name in ("entropy", "kl", "top_logprob"):
        np.testing.assert_allclose(one.lens[name], other.lens[name], atol=2e-3)
    np.testing.assert_array_equal(one.lens.target_id, other.lens.target_id)
    np.testing.assert_array_equal(one.lens_blocks["count"], other.lens_blocks["count"])
    np.testing.assert_allclose(one.lens_blocks.entropy, other.lens_blocks.entropy, atol=2e-3)
    np.testing.assert_allclose(one.attribution.logit, other.attribution.logit, atol=2e-3)
    np.testing.assert_allclose(one.kv_cache.key_norm, other.kv_cache.key_norm, atol=1e-4)
    np.testing.assert_array_equal(one.kv_cache.physical_length, other.kv_cache.physical_length)
    for name in ("logprob", "entropy"):
        np.testing.assert_allclose(one.steps[name], other.steps[name], atol=2e-3)
    # Logits that are equal but for rounding change places: rarely, and by little.
    np.testing.assert_allclose(one.steps["rank"], other.steps["rank"], rtol=2e-3, atol=2)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    window=st.sampled_from(WINDOWS),
    prompt=st.integers(1, 40),
    new=st.integers(2, 90),
    share=st.floats(0, 1),
    how=st.sampled_from([{}, {"temperature": 0.9, "seed": 3}, {"temperature": 1.3, "top_p": 0.8, "seed": 4,
                                                               "repetition_penalty": 1.2}]),
)  # fmt: skip
@example(None, 30, 80, 0.9, {})
@example(20, 25, 75, 1.0, {"temperature": 0.9, "seed": 3})
def test_what_the_model_would_have_written_changes_nothing(
    models: dict[int | None, Model], window: int | None, prompt: int, new: int, share: float, how: dict[str, Any]
) -> None:
    """Greedy and sampled, whatever part of the reply is given, also beyond the tokens that are read at once."""
    model, ids = models[window], prompt_of(models[window], random_ids(prompt, seed=prompt))
    sampling = wb.Sampling(max_new_tokens=new, **how)
    free = model.generate(ids, sampling, CAPTURE)
    alone = finished(free)
    written = alone.ids[prompt:].tolist()
    if free.finish_reason == "eos":
        written.pop()
    begin = written[: round(share * len(written))]
    run = model.generate(ids, sampling, CAPTURE, begin=begin)
    found = finished(run)
    assert (run.text, run.finish_reason) == (free.text, free.finish_reason)
    assert [step.text for step in run.steps] == [step.text for step in free.steps]
    assert [step.given for step in run.steps] == [i < len(begin) for i in range(len(free.steps))]
    assert_same_numbers(found, alone)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("count", [1, 2, 65, 130])
def test_any_tokens_may_be_given(
    models: dict[int | None, Model], references: dict[int | None, MistralForCausalLM], window: int | None, count: int
) -> None:
    """The rest is what transformers' generate writes behind them, their numbers are those of its own forward."""
    model, reference = models[window], references[window]
    ids, begin = random_ids(30, seed=1), random_ids(count + 1, seed=2)[1:]
    run = model.generate(prompt_of(model, ids), wb.Sampling(max_new_tokens=count + 20), begin=begin)
    found = finished(run)
    assert found.ids[30 : 30 + count].tolist() == begin
    with torch.no_grad():
        expected = reference.generate(
            torch.tensor([ids + begin]), attention_mask=torch.ones(1, 30 + count), max_new_tokens=20, do_sample=False,
            pad_token_id=2,
        )  # fmt: skip
        logprobs = reference(expected).logits[0].float().log_softmax(-1)
    assert found.ids.tolist() == expected[0].tolist()
    for step in run.steps:
        row = logprobs[step.position - 1]
        assert step.logprob == pytest.approx(row[step.token_id].item(), abs=1e-3)
        assert step.entropy == pytest.approx(-(row.exp() * row).sum().item(), abs=1e-3)
        assert [p for _, _, p in step.top] == pytest.approx(row.topk(5).values.tolist(), abs=1e-3)
        assert step.captured.lens["target_rank"][-1] == pytest.approx(step.rank, rel=2e-3, abs=2)
    assert run.text == model.tokenizer.decode([*ids, *found.ids[30:]]).removeprefix(model.tokenizer.decode(ids))


@pytest.mark.parametrize("plain", [False, True], ids=["chat", "text"])
def test_text_is_that_of_the_ids_across_the_seam(models: dict[int | None, Model], plain: bool) -> None:
    """Begun in the middle of a character, and with a word whose first space a chat drops and a text keeps."""
    model = models[None]
    prompt = model.encode("Hello" if plain else [{"role": "user", "content": "Hello"}])
    whole = model.tokenizer.encode("naïve 🦊 ☃")
    for count in range(1, len(whole) + 1):
        run = model.generate(prompt, wb.Sampling(max_new_tokens=count + 6), wb.Capture.nothing(), begin=whole[:count])
        words = [step.token_id for step in run]
        words = words[:-1] if run.finish_reason == "eos" else words
        behind = model.tokenizer.decode([*prompt.ids, *words]).removeprefix(model.tokenizer.decode(prompt.ids))
        assert run.text == (behind if plain else model.tokenizer.decode(words)) == run.inspection.reply


def test_the_inspection_says_what_was_given(models: dict[int | None, Model], tmp_path: Path) -> None:
    model = models[None]
    run = model.generate(prompt_of(model, random_ids(9, seed=1)), wb.Sampling(max_new_tokens=5), begin=[500, 501])
    found = finished(run)
    again = wb.open(found.save(tmp_path / "x.inspection"))
    for one in (found, again):
        assert one.given == slice(9, 11)
        assert one.steps["given"].tolist() == [True, True, False, False, False]
        assert one.provenance["settings"]["given"] == 2
        assert "9 + 5 tokens (2 given)" in repr(one)
    other = finished(model.generate(prompt_of(model, random_ids(9, seed=1)), wb.Sampling(max_new_tokens=5)))
    assert not other.steps["given"].any()
    assert other.provenance["settings"]["given"] == 0
    _tamper(tmp_path / "x.inspection", '"given":2,"pieces"', '"given":9,"pieces"')
    with pytest.raises(FileFormatError, match="9 tokens were given for a reply of 5"):
        wb.open(tmp_path / "x.inspection")


def _tamper(path: Path, old: str, new: str) -> None:
    content = path.read_bytes()
    old, new = (text.replace('"', '\\"') for text in (old, new))
    assert len(old) == len(new)
    assert content.count(old.encode()) == 1, KEY
    path.write_bytes(content.replace(old.encode(), new.encode()))


def test_a_reply_may_be_given_whole(models: dict[int | None, Model]) -> None:
    model = models[20]
    begin = random_ids(71, seed=5)[1:]
    run = model.generate(prompt_of(model, random_ids(9, seed=1)), wb.Sampling(max_new_tokens=70), CAPTURE, begin=begin)
    found = finished(run)
    assert run.finish_reason == "length"
    assert found.ids[9:].tolist() == begin
    assert run.tokens_per_second == 0
    asked = wb.Capture(CAPTURE.attention, CAPTURE.lens)
    read = model.inspect(prompt_of(model, found.ids[:-1].tolist()), asked)
    np.testing.assert_allclose(found.attention.map, read.attention.map, atol=2e-5)


@pytest.mark.parametrize("how", ["stop", "close"])
@pytest.mark.parametrize("after", [1, 2, 64, 65, 66, 100])
def test_ended_among_the_given_tokens(models: dict[int | None, Model], how: str, after: int, tmp_path: Path) -> None:
    """What is there is a whole: every token that the cache has read has its step, and its numbers are right."""
    model, begin, stop = models[20], random_ids(101, seed=5)[1:], threading.Event()
    ids = random_ids(9, seed=1)
    run = model.generate(prompt_of(model, ids), wb.Sampling(max_new_tokens=120), CAPTURE, stop=stop, begin=begin)
    for step in run:
        if step.index + 1 == after:
            if how == "close":
                run.close()
                break
            stop.set()
    found = run.inspection
    assert run.finish_reason == "stopped"
    assert after <= len(run.steps) <= 100
    assert found.ids.tolist() == ids + begin[: len(run.steps)]
    assert run.text == found.reply
    again = wb.open(found.save(tmp_path / "x.inspection"))
    if len(run.steps) > 1:
        asked = wb.Sampling(max_new_tokens=len(run.steps))
        whole = finished(model.generate(prompt_of(model, ids), asked, CAPTURE, begin=begin[: len(run.steps)]))
        np.testing.assert_allclose(again.attention.rows.values, whole.attention.rows.values, atol=2e-5)
        np.testing.assert_allclose(again.lens.entropy, whole.lens.entropy, atol=2e-3)


@pytest.mark.parametrize(
    ("begin", "options", "words"),
    [
        ([500, 2], {}, "a token that ends a reply"),
        ("Hello", {}, "begin is a str"),
        (500, {}, "begin is a int"),
        (np.ones((2, 2), int), {}, "begin is a ndarray"),
        ([500, 32000], {}, "32000; expected a token id of 0 to 31999"),
        ([-1], {}, "begin[0] is -1"),
        ([True], {}, "begin[0] is True"),
        ([1.5], {}, "begin[0] is 1.5"),
        ([500] * 5, {"max_new_tokens": 4}, "at most 4"),
        ([28748, 28747], {"stop": (":",)}, "the stop string ':'"),
    ],
)
def test_impossible_beginnings_are_one_sentence(
    models: dict[int | None, Model], begin: Any, options: dict[str, Any], words: str
) -> None:
    model = models[None]
    with pytest.raises(SamplingError) as caught:
        model.generate(prompt_of(model, [1, 500]), wb.Sampling(**options), begin=begin)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_numbers_of_other_libraries_are_ids(models: dict[int | None, Model]) -> None:
    model, prompt = models[None], prompt_of(models[None], [1, 500])
    replies = [
        [step.token_id for step in model.generate(prompt, wb.Sampling(max_new_tokens=6), begin=begin)]
        for begin in ([700, 800], (700, 800), np.array([700, 800]), torch.tensor([700, 800]), iter([700, 800]))
    ]
    assert replies[0][:2] == [700, 800]
    assert all(reply == replies[0] for reply in replies)
    assert [len(list(model.generate(prompt, wb.Sampling(max_new_tokens=3), begin=none))) for none in ([], None)] == [
        3
    ] * 2


def test_context_is_a_limit(tiny_checkpoint: Callable[..., Path]) -> None:
    model = wb.load(str(tiny_checkpoint(context=64)))
    prompt = prompt_of(model, random_ids(60, seed=1))
    with pytest.raises(ContextLengthError, match="60 tokens and the reply is to begin with 5"):
        model.generate(prompt, begin=[500] * 5)
    run = model.generate(prompt, begin=[500] * 3)
    assert [step.given for step in run] == [True] * 3 + [False]
    assert run.finish_reason == "length"
