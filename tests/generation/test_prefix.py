"""Reading only what is new gives what reading everything gives: tokens, probabilities and captures."""

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
from workbench.errors import SamplingError
from workbench.inspection.inspection import Inspection
from workbench.model import Model

WINDOWS = (None, 12, 40, 2000)
CAPTURES = {
    "states": wb.Capture(
        wb.AttentionCapture(rows=None, pool=16, maximum=True, states=True), wb.LensCapture(positions="all", top_k=3)
    ),
    "long": wb.Capture(wb.AttentionCapture(rows="last", pool=6), wb.LensCapture(blocks=4, per_block=2)),
    "heads": wb.Capture(
        wb.AttentionCapture(layers=[1], heads=[0, 3], rows="generated", pool=0, sink_tokens=2), lens=None,
        attribution=wb.AttributionCapture(),
    ),
    "places": wb.Capture(
        wb.AttentionCapture(rows=[0, 3], pool=8, statistics=False), wb.LensCapture(positions=[1, 2], layers=[0, 2])
    ),
    "cache": wb.Capture(attention=None, lens=None),
    "nothing": wb.Capture.nothing(),
}  # fmt: skip


@pytest.fixture(scope="module")
def folders(tiny_checkpoint: Callable[..., Path]) -> dict[int | None, Path]:
    return {window: tiny_checkpoint(layers=2, heads=4, kv_heads=2, window=window) for window in WINDOWS}


@pytest.fixture(scope="module")
def models(folders: dict[int | None, Path]) -> dict[int | None, Model]:
    return {window: wb.load(str(folder)) for window, folder in folders.items()}


@pytest.fixture(scope="module")
def references(folders: dict[int | None, Path]) -> dict[int | None, MistralForCausalLM]:
    return {window: eager(folder) for window, folder in folders.items()}


def reply(model: Model, ids: list[int], new: int, capture: wb.Capture, store: wb.PrefixStore, **more: Any) -> wb.Run:
    run = model.generate(prompt_of(model, ids), wb.Sampling(max_new_tokens=new), capture, reuse=store, **more)
    for _ in run:
        pass
    return run


TOLERANCES = {"lens": 2e-3, "attribution": 2e-3, "kv_cache": 1e-4, "steps": 2e-3, "attention": 1e-4}
"""What another division into chunks may change by part; of attention summed over a text, by its tokens too."""


def assert_same_arrays(one: Inspection, other: Inspection) -> None:
    """Every array of the two files, but for the clock."""
    assert set(one.arrays) == set(other.arrays)
    for name, values in other.arrays.items():
        if name == "steps.seconds":
            continue
        found = one.arrays[name]
        assert found.shape == values.shape, name
        if name.rsplit(".", 1)[-1] in ("rank", "target_rank"):  # rounding turns over what lies close together
            np.testing.assert_allclose(found, values, rtol=1e-2, atol=1, err_msg=name)
        elif name.rsplit(".", 1)[-1] == "top_ids":
            assert (found != values).mean() < 0.02, name
        elif values.dtype.kind in "iu":
            np.testing.assert_array_equal(found, values, err_msg=name)
        else:
            tolerance = TOLERANCES[name.split(".")[0]]
            np.testing.assert_allclose(found, values, atol=tolerance, rtol=1e-4, err_msg=name)
    assert one.record.attention == other.record.attention
    assert one.record.lens == other.record.lens


moves = st.lists(
    st.tuples(
        st.sampled_from(["on", "on", "edit", "again", "begin"]),
        st.integers(1, 30),  # new tokens of the question
        st.integers(1, 10),  # of the reply
        st.floats(0, 1),  # where an edit is made
    ),
    min_size=2,
    max_size=5,
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(12, 60, [("on", 1, 9, 0.0), ("on", 20, 5, 0.0), ("edit", 8, 4, 0.7)], "states", 7)
@example(40, 30, [("on", 1, 10, 0.0), ("again", 1, 6, 0.0), ("begin", 9, 8, 0.0)], "heads", 16)
@example(None, 20, [("edit", 5, 3, 0.9), ("begin", 4, 6, 0.0), ("on", 12, 3, 0.0)], "places", 2048)
@example(2000, 50, [("on", 1, 4, 0.0), ("edit", 30, 4, 0.2), ("again", 1, 9, 0.0)], "cache", 16)
@example(12, 70, [("begin", 6, 7, 0.0), ("on", 9, 3, 0.0), ("on", 1, 5, 0.0)], "long", 2048)
@example(None, 15, [("again", 1, 5, 0.0), ("on", 7, 5, 0.0)], "nothing", 7)
@given(
    window=st.sampled_from(WINDOWS), first=st.integers(1, 70), moves=moves, name=st.sampled_from(sorted(CAPTURES)),
    chunk=st.sampled_from([7, 16, 2048]),
)  # fmt: skip
def test_any_conversation_reads_the_same(
    models: dict[int | None, Model], window: int | None, first: int, moves: list[Any], name: str, chunk: int
) -> None:
    """Questions that follow, edits at random places, the same question again, given beginnings: after each, the run
    that reuses equals the run that reads all."""
    model, store, capture = models[window], wb.PrefixStore(), CAPTURES[name]
    if name == "places":
        first = max(first, 4)
    ids = random_ids(first, seed=first)
    said = ids
    for count, (move, asked, new, share) in enumerate(moves):
        begin: list[int] = []
        if move == "on":
            ids = [*said, *random_ids(asked + 1, seed=100 * count + asked)[1:]] if count else ids
        elif move == "edit":
            at = min(len(said) - 1, max(1, round(share * len(said))))
            ids = [*said[:at], 300 + count, *said[at + 1 : at + 1 + asked]]
            ids = ids if len(ids) > 4 else [*ids, *[301] * 4]
        elif move == "begin":
            begin = [400 + count] * min(asked, new)
        runs = []
        for one in (store, wb.PrefixStore()):
            run = model.generate(
                prompt_of(model, ids), wb.Sampling(max_new_tokens=new), capture, reuse=one, begin=begin
            )  # fmt: skip
            run._decoding.chunk = chunk
            for _ in run:
                pass
            runs.append(run)
        shared, alone = runs
        assert alone.reused_tokens == 0
        assert shared.inspection.provenance["settings"]["reused_tokens"] == shared.reused_tokens < len(ids)
        assert (shared.text, shared.finish_reason) == (alone.text, alone.finish_reason)
        assert_same_arrays(shared.inspection, alone.inspection)
        said = shared.inspection.ids.tolist()


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("name", ["states", "long", "cache"])
def test_a_second_turn_reads_only_what_is_new(
    models: dict[int | None, Model], references: dict[int | None, MistralForCausalLM], window: int | None, name: str
) -> None:
    model, store, capture = models[window], wb.PrefixStore(), CAPTURES[name]
    ids = random_ids(50, seed=1)
    one = reply(model, ids, 9, capture, store)
    assert one.reused_tokens == 0
    more = [*one.inspection.ids.tolist(), 2, *random_ids(20, seed=2)[1:]]
    two = reply(model, more, 9, capture, store)
    assert two.reused_tokens == 58, "all but the reply's last token, which nothing has read"
    with torch.no_grad():
        logprobs = references[window](torch.tensor([two.inspection.ids.tolist()])).logits[0].float().log_softmax(-1)
    for step in two.steps:
        assert step.logprob == pytest.approx(logprobs[step.position - 1, step.token_id].item(), abs=1e-3)
    again = reply(model, more, 9, capture, store)
    assert again.reused_tokens == len(more) - 1
    other = reply(model, [*ids[:-1], 777], 9, capture, store)
    full = window in (None, 2000) and name == "cache"
    assert other.reused_tokens == (49 if full else 0), "a full cache is cut, and nothing else"


def test_reading_again_is_seen_by_the_model(models: dict[int | None, Model]) -> None:
    """Not one token is fed twice: the forward is counted."""
    model, store, fed = models[12], wb.PrefixStore(), []
    hook = model.module.model.embed_tokens.register_forward_hook(lambda module, args, out: fed.append(args[0].numel()))
    try:
        one = reply(model, random_ids(60, seed=1), 5, CAPTURES["states"], store)
        assert sum(fed) == 60 + 4
        fed.clear()
        more = [*one.inspection.ids.tolist(), *random_ids(11, seed=2)[1:]]
        reply(model, more, 5, CAPTURES["states"], store)
        assert sum(fed) == len(more) - 64 + 4
    finally:
        hook.remove()


def test_a_capture_that_wants_more_reads_again(models: dict[int | None, Model]) -> None:
    model, store, ids = models[12], wb.PrefixStore(), random_ids(40, seed=1)
    assert reply(model, ids, 3, CAPTURES["cache"], store).reused_tokens == 0
    assert reply(model, ids, 3, CAPTURES["nothing"], store).reused_tokens == 39
    assert reply(model, ids, 3, CAPTURES["long"], store).reused_tokens == 0
    assert reply(model, ids, 3, CAPTURES["states"], store).reused_tokens == 0
    lighter = wb.Capture(wb.AttentionCapture(rows="last", pool=16, maximum=True), wb.LensCapture(top_k=3))
    assert reply(model, ids, 3, lighter, store).reused_tokens == 39
    rows = wb.Capture(wb.AttentionCapture(rows="all", pool=16, maximum=True, states=True), lens=None)
    assert reply(model, ids, 3, rows, store).reused_tokens == 0


@pytest.mark.parametrize("how", ["stop", "close", "left"])
def test_a_reply_that_was_ended_is_gone_on_from(models: dict[int | None, Model], how: str) -> None:
    model, store, stop = models[12], wb.PrefixStore(), threading.Event()
    ids = random_ids(40, seed=1)
    run = model.generate(prompt_of(model, ids), wb.Sampling(max_new_tokens=30), CAPTURES["states"], stop, reuse=store)
    for step in run:
        if step.index == 6:
            if how == "stop":
                stop.set()
            else:
                break
    if how != "stop":
        run.close()
    more = [*run.inspection.ids.tolist(), *random_ids(9, seed=3)[1:]]
    two = reply(model, more, 30, CAPTURES["states"], store)
    assert two.reused_tokens == 46
    assert_same_arrays(two.inspection, reply(model, more, 30, CAPTURES["states"], wb.PrefixStore()).inspection)


def test_other_weights_and_switches_share_nothing(
    models: dict[int | None, Model], tiny_checkpoint: Callable[..., Path]
) -> None:
    store, ids = wb.PrefixStore(), random_ids(30, seed=1)
    full = models[None]
    assert reply(full, ids, 3, CAPTURES["cache"], store).reused_tokens == 0
    others = [
        models[12], full.switched(window=5), full.switched(theta=1e6),
        wb.load(str(tiny_checkpoint(layers=2, heads=4, kv_heads=2, seed=1))),
    ]  # fmt: skip
    for other in others:
        run = reply(other, ids, 3, CAPTURES["cache"], store)
        assert run.reused_tokens == 0
        assert_same_arrays(run.inspection, reply(other, ids, 3, CAPTURES["cache"], wb.PrefixStore()).inspection)
    assert reply(full.switched(window=5), ids, 3, CAPTURES["cache"], store).reused_tokens == 29, "the same switches"
    assert reply(full, ids, 3, CAPTURES["cache"], store).reused_tokens == 29


def test_memory_is_bounded_and_shared(models: dict[int | None, Model]) -> None:
    model, capture = models[None], CAPTURES["nothing"]
    store = wb.PrefixStore()
    ids = random_ids(400, seed=1)
    one = reply(model, ids, 3, capture, store)
    per_token = model.kv_bytes_per_token
    assert len(store) == 2
    assert store.nbytes == pytest.approx(402 * per_token, rel=0.02), "the prompt's cache is a part of the reply's"
    reply(model, [*one.inspection.ids.tolist(), *random_ids(100, seed=2)], 3, capture, store)
    assert store.nbytes < 520 * per_token
    small = wb.PrefixStore(most_bytes=300 * per_token)
    for count in range(1, 6):
        reply(model, random_ids(90, seed=count), 3, capture, small)
        assert small.nbytes <= small.most_bytes
    assert reply(model, random_ids(90, seed=5), 3, capture, small).reused_tokens == 89
    assert reply(model, random_ids(90, seed=1), 3, capture, small).reused_tokens < 3, "the oldest went"
    reply(model, random_ids(400, seed=9), 3, capture, small)
    assert small.nbytes <= small.most_bytes
    store.clear()
    assert (len(store), store.nbytes) == (0, 0)


def test_a_store_keeps_no_model_alive(tiny_checkpoint: Callable[..., Path]) -> None:
    import gc
    import weakref

    store = wb.PrefixStore()
    model = wb.load(str(tiny_checkpoint(layers=2, heads=4, kv_heads=2, window=12)))
    reply(model, random_ids(30, seed=1), 3, CAPTURES["states"], store)
    alive = weakref.ref(model.module)
    del model
    gc.collect()
    assert alive() is None


def test_threads_share_a_store(models: dict[int | None, Model]) -> None:
    """Two conversations of one model and one of another at once: each gets its own numbers."""
    store, capture, failures = wb.PrefixStore(), CAPTURES["states"], []

    def talk(model: Model, seed: int) -> None:
        try:
            ids = random_ids(30, seed=seed)
            for turn in range(4):
                run = reply(model, ids, 6, capture, store)
                assert run.reused_tokens >= 30 * (turn > 0)
                assert_same_arrays(run.inspection, reply(model, ids, 6, capture, wb.PrefixStore()).inspection)
                ids = [*run.inspection.ids.tolist(), *random_ids(8, seed=seed + turn)[1:]]
        except BaseException as error:
            failures.append(error)

    talks = [(models[12], 1), (models[12], 2), (models[None], 1)]
    threads = [threading.Thread(target=talk, args=one) for one in talks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_plain_generation_is_the_same(models: dict[int | None, Model]) -> None:
    """A store changes the size of blocks and how the prompt is cut into chunks; nothing else."""
    model, capture = models[40], wb.Capture(wb.AttentionCapture(rows="all", states=True), wb.LensCapture("all"))
    ids = random_ids(60, seed=4)
    plain = model.generate(prompt_of(model, ids), wb.Sampling(max_new_tokens=9, temperature=0.8, seed=2), capture)
    stored = model.generate(
        prompt_of(model, ids), wb.Sampling(max_new_tokens=9, temperature=0.8, seed=2), capture, reuse=wb.PrefixStore()
    )
    for run in (plain, stored):
        list(run)
    one, other = stored.inspection, plain.inspection
    assert one.ids.tolist() == other.ids.tolist()
    np.testing.assert_allclose(one.attention.rows, other.attention.rows, atol=2e-5)
    np.testing.assert_allclose(one.attention.map, other.attention.map, atol=2e-5)
    np.testing.assert_allclose(one.lens.entropy, other.lens.entropy, atol=2e-3)
    np.testing.assert_array_equal(one.kv_cache.growth_logical, other.kv_cache.growth_logical)


def test_a_store_is_a_store(models: dict[int | None, Model]) -> None:
    with pytest.raises(SamplingError, match="reuse is a dict; expected a PrefixStore"):
        models[None].generate("Hello", reuse={})  # type: ignore[arg-type]
