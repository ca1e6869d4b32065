"""Every part of a Comparison against plain computation on the two runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import workbench as wb
from tests.comparison.conftest import FULL, QUESTION, answered
from tests.reference import eager, eager_states, random_ids
from workbench.comparison import settling
from workbench.comparison.both import _fixed_text
from workbench.errors import CaptureError, ComparisonError, PromptError


def test_identical_models_differ_in_nothing(models: list[wb.Model]) -> None:
    found = wb.compare(models[0], models[0], QUESTION, sampling=wb.Sampling(max_new_tokens=6), capture=FULL)
    assert found.alignment.same
    assert found.parting.kind == "same" and found.parting.sentence.startswith("The answers are the same, 6 tokens")
    assert not found.attention.map().values.any() and not found.attention.row(4, 1).values.any()
    assert not found.attention.statistics().xs("difference", axis=1, level=1).to_numpy().any()
    assert not np.nan_to_num(found.lens.difference.values).any()
    assert (found.lens.settled_a == found.lens.settled_b).all()
    assert not found.kv_cache.xs("difference", axis=1, level=1).to_numpy().any()
    assert not found.table["kl_ab"].dropna().any() and found.table["kl_ab"].notna().sum() == 6


def test_the_table_holds_every_token_once(models: list[wb.Model], runs: list[wb.Inspection]) -> None:
    found = wb.Comparison.of(*runs)
    for side, run in zip("ab", runs, strict=True):
        places = found.table[f"position_{side}"].dropna().astype(int).tolist()
        assert places == list(range(len(run.ids)))
    row = found.table.set_index("position_a").loc[runs[0].prompt_length]
    assert row["logprob_a"] == pytest.approx(runs[0].steps["logprob"][0], abs=1e-4)
    assert row["alike"] and row["reply"]
    assert found.table["kl_ab"].isna().all(), "nothing was measured"
    assert "not measured" in repr(found) and "\n" not in repr(found)
    assert found.provenance["a"] == runs[0].provenance and found.provenance["measured"] is False


def test_kl_of_the_table_is_that_of_whole_distributions(folders: list[Path], models: list[wb.Model]) -> None:
    found = wb.compare(*models, QUESTION, sampling=wb.Sampling(max_new_tokens=6), capture=wb.Capture.nothing())
    ids = found.a.ids.tolist()
    a, b = (eager_states(eager(folder), ids)["logits"].double().log_softmax(-1) for folder in folders)
    for i in range(found.a.prompt_length, len(ids)):
        row = found.table.set_index("position_a").loc[i]
        assert row["kl_ab"] == pytest.approx(float((a[i - 1].exp() * (a[i - 1] - b[i - 1])).sum()), rel=1e-3)
        assert row["kl_ba"] == pytest.approx(float((b[i - 1].exp() * (b[i - 1] - a[i - 1])).sum()), rel=1e-3)
    assert found.table["kl_ab"][: found.a.prompt_length].isna().all()
    assert "mean KL" in repr(found)
    assert found.parting.sentence in found._repr_mimebundle_()["text/html"].replace("&#x27;", "'")


def test_fixed_text_is_read_by_both(models: list[wb.Model]) -> None:
    ids = np.array(random_ids(20, 4))
    found = wb.compare(*models, ids)
    assert found.alignment.same and found.parting.kind == "read" and len(found.a.steps) == 0
    assert found.table["kl_ab"].notna().sum() == 19, "the first token is given; the last position predicts none of them"
    assert "both read the same 20 tokens" in found.parting.sentence
    also = wb.compare(*models, QUESTION, generate=False, exact=None)
    assert len(also.a.steps) == 0 and also.measured is None


def test_attention_differences_are_those_of_the_eager_maps(folders: list[Path], runs: list[wb.Inspection]) -> None:
    found = wb.Comparison.of(*runs)
    common = found.alignment.common
    ids = runs[0].ids.tolist()[:common]
    a, b = (eager_states(eager(folder), ids)["attention"].numpy() for folder in folders)
    assert found.attention.length == common
    np.testing.assert_allclose(found.attention.map().values, b - a, atol=2e-5)
    np.testing.assert_allclose(found.attention.row(common - 1, 1).values, (b - a)[1, :, -1], atol=2e-5)
    table = found.attention.statistics()
    back = np.arange(common)[:, None] - np.arange(common)
    means = [(one * back).sum(-1).mean(-1) for one in (a, b)]
    np.testing.assert_allclose(table[("distance", "difference")], (means[1] - means[0]).reshape(-1), rtol=1e-3)
    with pytest.raises(ComparisonError, match="differ before"):
        found.attention.row(common, 0)


@pytest.mark.parametrize(("pools", "block"), [((8, 5), 35), ((16, 5), 21), ((40, 40), 1)])
def test_maps_of_different_grids_meet_on_a_common_one(
    models: list[wb.Model], pools: tuple[int, int], block: int
) -> None:
    ids = random_ids(35, 7)
    exact = [_read(model, ids, 64).attention.map.values for model in models]  # type: ignore[union-attr]
    runs = [_read(model, ids, pool) for model, pool in zip(models, pools, strict=True)]
    found = wb.Comparison.of(*runs)
    assert found.attention.block == block and found.attention.length == 35
    difference = exact[1] - exact[0]
    at = np.arange(0, 35, block)
    sums = np.add.reduceat(np.add.reduceat(difference, at, axis=2), at, axis=3)
    sizes = np.minimum(at + block, 35) - at
    np.testing.assert_allclose(found.attention.map().values, sums / sizes[:, None], atol=1e-5)


def test_only_whole_blocks_of_the_common_text_are_compared(models: list[wb.Model]) -> None:
    first, second = random_ids(40, 7), random_ids(40, 7)
    second[33:] = random_ids(8, 9)[1:]
    runs = [_read(model, ids, 10) for model, ids in zip(models, (first, second), strict=True)]
    found = wb.Comparison.of(*runs)
    assert (found.alignment.common, found.attention.block, found.attention.length) == (33, 4, 32)
    whole = wb.Comparison.of(_read(models[0], first[:32], 8), _read(models[1], first[:32], 8))
    np.testing.assert_allclose(found.attention.map().values, whole.attention.map().values, atol=1e-5)


def test_the_lens_follows_the_same_token_in_both(runs: list[wb.Inspection]) -> None:
    found = wb.Comparison.of(*runs)
    lens = found.lens
    assert lens.alike.values[: found.alignment.common - 1].all()
    for place in range(lens.sizes["place"]):
        at = [int(lens[f"position_{side}"][place]) for side in "ab"]
        for side, run, position in zip("ab", runs, at, strict=True):
            own = run.lens.sel(position=position)  # type: ignore[union-attr]
            assert run.tokens[position + 1] == str(lens.token[place].values)
            np.testing.assert_array_equal(lens[f"rank_{side}"][:, place], own.target_rank)
            np.testing.assert_array_equal(lens[f"logprob_{side}"][:, place], own.target_logprob)
    for run in runs:
        assert run.lens is not None
        settled = settling(run.lens)
        best = run.lens.top_id.isel(rank=0).values
        for i, layer in enumerate(settled.values):
            at = run.lens.layer.values.tolist().index(layer)
            assert (best[at:, i] == best[-1, i]).all()
            assert at == 0 or best[at - 1, i] != best[-1, i]


def test_cache_bytes_side_by_side(runs: list[wb.Inspection]) -> None:
    table = wb.Comparison.of(*runs).kv_cache
    window = int(runs[0].model["window"])
    assert table[("physical_length", "a")].tolist() == [window - 1] * 2
    assert table[("bytes", "difference")].tolist() == [
        int(runs[1].kv_cache.bytes[i] - runs[0].kv_cache.bytes[i])
        for i in range(2)  # type: ignore[union-attr]
    ]
    assert (table[("evicted", "b")] == 0).all() and (table[("evicted", "a")] > 0).all()


def test_models_of_different_shapes_are_compared_as_far_as_can_be(
    models: list[wb.Model], tiny_checkpoint: Callable[..., Path]
) -> None:
    deeper = wb.load(str(tiny_checkpoint(layers=3, heads=2, hidden=32)))
    found = wb.compare(models[0], deeper, QUESTION, sampling=wb.Sampling(max_new_tokens=4), capture=FULL)
    assert found.table["kl_ab"].notna().any()
    assert found.kv_cache[("bytes", "a")].isna().tolist() == [False, False, True]
    for part in (lambda: found.attention.map(), lambda: found.attention.statistics(), lambda: found.lens):
        with pytest.raises(ComparisonError, match="2 layers"):
            part()


def test_what_cannot_be_compared_is_refused(models: list[wb.Model], runs: list[wb.Inspection]) -> None:
    bare = answered(models[1], 2, wb.Capture.nothing())
    found = wb.Comparison.of(runs[0], bare)
    for part in (lambda: found.attention.map(), lambda: found.lens, lambda: found.kv_cache):
        with pytest.raises(CaptureError, match="in both runs"):
            part()
    with pytest.raises(ComparisonError, match="two inspections"):
        wb.Comparison.of(runs[0], "x")  # type: ignore[arg-type]
    with pytest.raises(ComparisonError, match='"reply", "all"'):
        wb.compare(*models, QUESTION, exact="some")  # type: ignore[arg-type]
    with pytest.raises(ComparisonError, match="two models"):
        wb.compare(models[0], "twin-v0.2", QUESTION)  # type: ignore[arg-type]
    with pytest.raises(PromptError, match="no token 99999"):
        wb.compare(*models, [1, 99999])
    with pytest.raises(PromptError, match="mixes"):
        wb.compare(*models, [1, "two"])
    with pytest.raises(CaptureError, match="Layer 9"):
        wb.Comparison.of(*runs).attention.row(3, 9)


def _read(model: wb.Model, ids: list[int], pool: int) -> wb.Inspection:
    attention = wb.AttentionCapture(rows=None, pool=pool)
    return wb.compare(model, model, ids, capture=wb.Capture(attention, lens=None), exact=None).a


def test_a_pair_behind_different_words_is_not_alike(models: list[wb.Model]) -> None:
    first = list(range(300, 320))
    second = [*first[:6], 400, *first[6:]]
    found = wb.Comparison.of(*(_read(model, ids, 8) for model, ids in zip(models, (first, second), strict=True)))
    table = found.table.dropna(subset=["position_a", "position_b"])
    assert (table["alike"] == (table["position_a"] == table["position_b"])).all() and not table["alike"].all()
    every = wb.Capture(lens=wb.LensCapture(positions="all"))
    prompts = [_fixed_text(model, ids) for model, ids in zip(models, (first, second), strict=True)]
    runs = [model.inspect(prompt, every) for model, prompt in zip(models, prompts, strict=True)]
    lens = wb.Comparison.of(*runs).lens
    assert (lens.alike == (lens.position_a == lens.position_b)).all() and not lens.alike.all()
