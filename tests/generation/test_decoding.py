"""The decoding loop gives the tokens of ``model.generate``; cached, chunked and sliding all mean the same."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import DynamicCache, MistralForCausalLM

import workbench as wb
from tests.prompts import prompt_of
from tests.reference import eager, random_ids
from workbench.errors import ContextLengthError, SamplingError
from workbench.generation.prefill import new_cache, prefill
from workbench.model import Model

SETTINGS = [
    {"temperature": 0.0},
    {"temperature": 0.0, "repetition_penalty": 1.3},
    {"temperature": 0.7, "seed": 3},
    {"temperature": 1.4, "top_p": 0.8, "seed": 4},
    {"temperature": 1.0, "top_k": 20, "seed": 5},
    {"temperature": 1.1, "min_p": 0.1, "top_p": 0.9, "top_k": 50, "repetition_penalty": 1.1, "seed": 6},
]


@pytest.fixture(scope="module", params=[None, 20], ids=["full", "window 20"])
def both(request: pytest.FixtureRequest, tiny_checkpoint: Callable[..., Path]) -> tuple[Model, MistralForCausalLM]:
    folder = tiny_checkpoint(layers=2, heads=4, kv_heads=2, window=request.param)
    return wb.load(str(folder)), eager(folder)


def generated(module: MistralForCausalLM, ids: list[int], new: int, settings: dict[str, float]) -> list[int]:
    """transformers' own generate with the same settings, each filter stated."""
    options = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0, "seed": 0} | settings
    torch.manual_seed(int(options.pop("seed")))
    sample = options["temperature"] > 0
    if not sample:
        options = {"repetition_penalty": options["repetition_penalty"]}
    found = module.generate(
        torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), max_new_tokens=new, do_sample=sample,
        pad_token_id=2, **options,
    )  # fmt: skip
    return found[0, len(ids) :].tolist()


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: ",".join(f"{k}={v}" for k, v in s.items()))
def test_tokens_equal_generate(both: tuple[Model, MistralForCausalLM], settings: dict[str, float]) -> None:
    model, reference = both
    ids = random_ids(37, seed=7)
    run = model.generate(prompt_of(model, ids), wb.Sampling(max_new_tokens=30, **settings))  # type: ignore[arg-type]
    tokens = [step.token_id for step in run]
    assert tokens == generated(reference, ids, 30, settings)
    assert run.inspection.ids.tolist() == ids + tokens
    assert run.finish_reason in ("length", "eos")


def test_steps_carry_the_models_own_distribution(both: tuple[Model, MistralForCausalLM]) -> None:
    model, reference = both
    ids = random_ids(25, seed=8)
    steps = list(model.generate(prompt_of(model, ids), wb.Sampling(max_new_tokens=8, temperature=1.3, seed=1)))
    whole = torch.tensor([ids + [step.token_id for step in steps]])
    with torch.no_grad():
        logprobs = reference(whole).logits[0].float().log_softmax(-1)
    for step in steps:
        row = logprobs[step.position - 1]
        assert step.logprob == pytest.approx(row[step.token_id].item(), abs=1e-3)
        assert step.entropy == pytest.approx(-(row.exp() * row).sum().item(), abs=1e-3)
        assert step.rank == pytest.approx(int((row > row[step.token_id]).sum()) + 1, abs=1)
        assert [p for _, _, p in step.top] == pytest.approx(row.topk(5).values.tolist(), abs=1e-3)


@pytest.mark.parametrize("chunk", [1, 7, 16, 64])
def test_chunked_prefill_equals_whole(both: tuple[Model, MistralForCausalLM], chunk: int) -> None:
    model, reference = both
    ids = random_ids(60, seed=9)
    with torch.no_grad():
        expected = reference(torch.tensor([ids])).logits[0, -1]
    cache = new_cache(model.module)
    logits = prefill(model.module, ids, cache, chunk=chunk)
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)
    stored = cache.layers[0].keys.shape[2]
    assert stored == (60 if model.window is None else model.window - 1)


def test_rolling_cache_equals_a_cache_that_keeps_all(tiny_checkpoint: Callable[..., Path]) -> None:
    model = wb.load(str(tiny_checkpoint(layers=2, heads=4, kv_heads=2, window=20)))
    ids = random_ids(90, seed=10)
    rolling, whole = new_cache(model.module), DynamicCache()
    for start in range(0, 90, 9):
        a = prefill(model.module, ids[start : start + 9], rolling)
        b = prefill(model.module, ids[start : start + 9], whole)
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
    assert whole.layers[0].keys.shape[2] == 90


def test_capture_while_decoding_equals_capture_in_one_forward(both: tuple[Model, MistralForCausalLM]) -> None:
    """More new tokens than the window and than one batch of steps, so the cache has rolled and batches were merged."""
    model, _ = both
    ids = random_ids(21, seed=11)
    capture = wb.Capture(
        wb.AttentionCapture(rows="all", pool=10, states=True, sink_tokens=2, recent=5),
        wb.LensCapture(positions="all", top_k=3),
    )
    run = model.generate(prompt_of(model, ids), wb.Sampling(max_new_tokens=79), capture)
    for _ in run:
        pass
    found = run.inspection
    assert len(found.ids) == 100
    again = model.inspect(prompt_of(model, found.ids[:-1].tolist()), capture)
    assert found.attention is not None
    assert again.attention is not None
    np.testing.assert_allclose(found.attention.rows.values, again.attention.rows.values, atol=2e-5)
    np.testing.assert_allclose(found.attention.map.values, again.attention.map.values, atol=2e-5)
    for name in found.attention.statistics:
        np.testing.assert_allclose(found.attention.statistics[name], again.attention.statistics[name], atol=3e-4)
    np.testing.assert_allclose(found.attention.row(60, 1), again.attention.row(60, 1), atol=2e-5)
    np.testing.assert_allclose(found.attention.column(12, 0), again.attention.column(12, 0), atol=2e-5)
    for name in ("entropy", "kl", "top_logprob"):
        np.testing.assert_allclose(found.lens[name], again.lens[name], atol=2e-3)
    assert found.lens.target_id.values.tolist() == found.ids[1:].tolist()
    np.testing.assert_allclose(found.kv_cache.key_norm, again.kv_cache.key_norm, atol=1e-4)


def test_kv_cache_tells_what_is_stored(both: tuple[Model, MistralForCausalLM]) -> None:
    model, _ = both
    found = model.inspect(prompt_of(model, random_ids(50, seed=12))).kv_cache
    stored = 50 if model.window is None else model.window - 1
    assert found.physical_length.values.tolist() == [stored] * 2
    assert found.logical_length.values.tolist() == [50] * 2
    assert found.evicted.values.tolist() == [50 - stored] * 2
    assert found.capacity.values.tolist() == [-1 if model.window is None else model.window - 1] * 2
    assert found.bytes.values.tolist() == [2 * 2 * 16 * 4 * stored] * 2
    assert np.isnan(found.key_norm).sum() == 2 * 2 * (50 - stored)
    assert (found.value_norm.values[..., -stored:] > 0).all()


def test_stop_event_ends_the_run_and_keeps_what_is_there(both: tuple[Model, MistralForCausalLM]) -> None:
    model, _ = both
    stop = threading.Event()
    run = model.generate(prompt_of(model, random_ids(30, seed=13)), wb.Sampling(max_new_tokens=500), stop=stop)
    for step in run:
        if step.index == 4:
            stop.set()
    assert run.finish_reason == "stopped"
    assert len(run.inspection.steps) == 5
    early = model.generate(prompt_of(model, random_ids(30, seed=13)), stop=stop)
    assert list(early) == []
    assert early.finish_reason == "stopped"
    closed = model.generate(prompt_of(model, random_ids(30, seed=13)))
    next(closed)
    closed.close()
    assert len(closed.inspection.steps) == 1


def test_stop_string(both: tuple[Model, MistralForCausalLM]) -> None:
    model, _ = both
    prompt = prompt_of(model, random_ids(30, seed=14))
    text = "".join(step.text for step in model.generate(prompt, wb.Sampling(max_new_tokens=12)))
    run = model.generate(prompt, wb.Sampling(max_new_tokens=12, stop=(text[3:6],)))
    for _ in run:
        pass
    assert run.finish_reason == "stop string"
    assert text[3:6] in run.text
    assert text.startswith(run.text)


def test_threads_share_a_model_without_seeing_each_other(both: tuple[Model, MistralForCausalLM]) -> None:
    model, _ = both
    prompts = [prompt_of(model, random_ids(20 + i, seed=i)) for i in range(4)]
    alone = [model.generate(prompt, wb.Sampling(max_new_tokens=12)) for prompt in prompts]
    for run in alone:
        list(run)
    together = [model.generate(prompt, wb.Sampling(max_new_tokens=12)) for prompt in prompts]
    threads = [threading.Thread(target=lambda run=run: list(run)) for run in together]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(alone, together, strict=True):
        assert one.inspection.ids.tolist() == other.inspection.ids.tolist()
        np.testing.assert_array_equal(
            one.inspection.attention.rows.values.shape, other.inspection.attention.rows.values.shape
        )
        np.testing.assert_allclose(
            one.inspection.attention.rows.values, other.inspection.attention.rows.values, atol=1e-5
        )


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"temperature": -1}, "temperature"), ({"temperature": float("nan")}, "temperature"), ({"top_p": 0}, "top_p"),
        ({"top_p": 1.2}, "top_p"), ({"top_k": -1}, "top_k"), ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"max_new_tokens": 2.5}, "max_new_tokens"), ({"min_p": 2}, "min_p"), ({"seed": -1}, "seed"),
        ({"repetition_penalty": 0}, "repetition_penalty"), ({"stop": ("",)}, "stop"),
        ({"temperature": "hot"}, "temperature"),
    ],
)  # fmt: skip
def test_impossible_sampling_is_one_sentence(settings: dict[str, object], word: str) -> None:
    with pytest.raises(SamplingError, match=word) as caught:
        wb.Sampling(**settings)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_context_is_a_limit(tiny_checkpoint: Callable[..., Path]) -> None:
    model = wb.load(str(tiny_checkpoint(context=64)))
    with pytest.raises(ContextLengthError, match="64 tokens"):
        model.generate(prompt_of(model, random_ids(64, seed=1)))
    with pytest.raises(ContextLengthError, match="65 tokens"):
        model.inspect(prompt_of(model, random_ids(65, seed=1)))
    run = model.generate(prompt_of(model, random_ids(60, seed=1)), wb.Sampling(max_new_tokens=50))
    assert len(list(run)) == 4
    assert run.finish_reason == "length"


def test_text_of_a_chat_reply_stands_alone_and_of_a_text_goes_on(both: tuple[Model, MistralForCausalLM]) -> None:
    """The reply of a chat is decoded as its own text; a continuation keeps the space before its first word."""
    model, _ = both
    for prompt in ([{"role": "user", "content": "Hello"}], "Hello"):
        encoded = model.encode(prompt)
        run = model.generate(encoded, wb.Sampling(max_new_tokens=20, temperature=2.0, seed=2))
        new = [step.token_id for step in run]
        words = new[:-1] if run.finish_reason == "eos" else new
        whole = model.tokenizer.decode([*encoded.ids, *words]).removeprefix(model.tokenizer.decode(encoded.ids))
        expected = whole if isinstance(prompt, str) else model.tokenizer.decode(words)
        assert run.text == expected == "".join(run.inspection.record.step_texts)


def test_a_step_shows_what_was_captured_where_it_was_chosen(both: tuple[Model, MistralForCausalLM]) -> None:
    """Asked at once or at the end, it is the same row and lens as the inspection's; asking disturbs nothing."""
    model, _ = both
    prompt = prompt_of(model, random_ids(18, seed=15))
    run = model.generate(prompt, wb.Sampling(max_new_tokens=40))
    early = {step.index: step.captured for step in run if step.index % 7 == 0}
    undisturbed = model.generate(prompt, wb.Sampling(max_new_tokens=40))
    steps = list(undisturbed)
    for found in (run.inspection, undisturbed.inspection):
        for index, captured in early.items():
            at = steps[index].position - 1
            row = found.attention.rows.sel(query=at).values[..., : at + 1]
            np.testing.assert_allclose(captured.attention, row, atol=1e-5)
            np.testing.assert_allclose(captured.lens["entropy"], found.lens.entropy.sel(position=at), atol=1e-3)
            assert captured.lens["target_rank"][-1] == pytest.approx(steps[index].rank, rel=2e-3, abs=2)
            np.testing.assert_allclose(steps[index].captured.attention, row, atol=1e-5)
    assert next(iter(model.generate(prompt, capture=wb.Capture.nothing()))).captured.attention is None
