"""Comparison over texts against a plain loop over transformers' logits, and the coverage of its interval."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from tests.pages import data_of
from tests.reference import eager, eager_states
from workbench.comparison import comparing_texts
from workbench.comparison.effects import interval
from workbench.errors import ComparisonError, ContextLengthError

TEXTS = [
    "The boats went out and the boats came home.",
    {"id": "<b>hats", "text": "Tom has the hat. Anna has the key. Who has the hat? Tom has the hat. " * 3},
    {"id": "chat", "messages": [{"role": "user", "content": "Where is the sea?"}]},
]


@pytest.fixture(scope="module")
def found(models: list[wb.Model]) -> wb.TextComparison:
    return wb.compare_texts(*models, TEXTS, edges=[8, 32])


def test_every_number_is_that_of_a_plain_loop(
    found: wb.TextComparison, folders: list[Path], models: list[wb.Model]
) -> None:
    modules = [eager(folder) for folder in folders]
    prompts = [TEXTS[0], TEXTS[1]["text"], TEXTS[2]["messages"]]  # type: ignore[index]
    buckets: dict[str, list[float]] = {"to 8": [], "9 to 32": [], "past 32": []}
    differences = []
    for name, prompt in zip(["1", "<b>hats", "chat"], prompts, strict=True):
        ids = list(models[0].encode(prompt).ids)
        a, b = (eager_states(module, ids)["logits"].double().log_softmax(-1) for module in modules)
        chosen = [[float(logs[i, ids[i + 1]]) for i in range(len(ids) - 1)] for logs in (a, b)]
        kl = [((p.exp() * (p - q)).sum(-1))[:-1].numpy() for p, q in ((a, b), (b, a))]
        rows = found.tokens[found.tokens["text"] == name]
        assert rows["token_id"].tolist() == ids[1:] and rows["position"].tolist() == list(range(1, len(ids)))
        for column, expected in zip(("logprob_a", "logprob_b", "kl_ab", "kl_ba"), (*chosen, *kl), strict=True):
            np.testing.assert_allclose(rows[column], expected, rtol=2e-3, atol=2e-4)
        row = found.table().loc[name]
        assert row["tokens"] == len(ids) - 1
        assert row["loss_a"] == pytest.approx(-np.mean(chosen[0]), rel=1e-4)
        apart = np.array(chosen[0]) - np.array(chosen[1])
        assert row["difference"] == pytest.approx(apart.mean(), abs=1e-3)
        differences.append(apart.mean())
        read = np.arange(1, len(ids))
        for bucket, inside in zip(buckets, (read <= 8, (read > 8) & (read <= 32), read > 32), strict=True):
            if inside.any():
                buckets[bucket].append(float(apart[inside].mean()))
    assert found.together["difference"].estimate == pytest.approx(np.mean(differences), abs=1e-3)
    assert found.together["difference"].low == pytest.approx(interval(np.array(differences)).low, abs=2e-3)
    for bucket, values in buckets.items():
        assert found.positions.loc[bucket, "difference"] == pytest.approx(np.mean(values), abs=1e-3)
        assert found.positions.loc[bucket, "n"] == len(values)
    pooled = -found.tokens["logprob_a"].astype(float).mean()
    assert found.pooled["loss_a"] == pytest.approx(pooled)


def test_the_largest_differences_come_first_with_what_stood_before(found: wb.TextComparison) -> None:
    largest = found.largest(5)
    assert largest["difference"].abs().tolist() == sorted(found.tokens["difference"].abs(), reverse=True)[:5]
    first = largest.iloc[0]
    rows = found.tokens[found.tokens["text"] == first["text"]].reset_index(drop=True)
    place = rows.index[rows["position"] == first["position"]][0]
    before = "".join(rows["piece"][max(0, place - 10) : place]).replace("▁", " ").strip()
    assert first["before"] == before
    with pytest.raises(ComparisonError, match="count"):
        found.largest(0)


def test_it_is_shown_and_written_with_texts_escaped(found: wb.TextComparison, tmp_path: Path) -> None:
    page = found.to_html(tmp_path / "x.html").read_text()
    assert "<b>hats" not in page
    data = data_of(page)
    assert data["sentence"] == found.sentence
    assert [row[0] for row in data["tables"][0]["rows"]] == found.table().index.tolist()
    assert "<b>hats" not in found._repr_mimebundle_()["text/html"] and "\n" not in repr(found)
    frame = pd.read_csv(found.to_csv(tmp_path / "x.csv")).set_index("text")
    np.testing.assert_allclose(frame["loss_b"], found.table()["loss_b"])
    assert len(pd.read_csv(found.to_csv(tmp_path / "t.csv", tokens=True))) == len(found.tokens)
    drawn = json.loads(found.figure().to_json())
    assert drawn["data"][0]["y"] == ["1", "<b>hats", "chat"]
    json.dumps(found.as_json(), allow_nan=False)
    assert found.provenance["a"]["weights"] != found.provenance["b"]["weights"]


def test_a_model_and_itself_differ_in_nothing(models: list[wb.Model]) -> None:
    found = wb.compare_texts(models[0], models[0].switched(window=30), TEXTS[0])
    assert found.finished and not found.tokens["difference"].any() and not found.tokens["kl_ab"].any()
    assert "one text tells no interval" in found.sentence
    same = wb.compare_texts(models[0], models[0], TEXTS)
    assert "cannot be told from chance" in same.sentence


def test_a_stop_keeps_whole_texts(models: list[wb.Model]) -> None:
    stop, steps = threading.Event(), []
    run = comparing_texts(*models, TEXTS, stop=stop)
    while True:
        try:
            steps.append(next(run))
        except StopIteration as end:
            found = end.value
            break
        stop.set()
    assert len(steps) == 1 and 0 < steps[0].share < 1
    assert not found.finished and len(found.table()) == 1 and found.sentence.startswith("Unfinished: 1 of 3")


def test_bad_texts_are_named(models: list[wb.Model]) -> None:
    with pytest.raises(ContextLengthError, match=r"text long"):
        wb.compare_texts(*models, [{"id": "long", "text": "hat " * 3000}])
    with pytest.raises(ComparisonError, match="edges"):
        wb.compare_texts(*models, TEXTS, edges=[0])
    with pytest.raises(ComparisonError, match="int"):
        wb.compare_texts(models[0], 3, TEXTS)  # type: ignore[arg-type]


@pytest.mark.parametrize("n", [4, 12])
def test_the_interval_covers_what_it_says(n: int) -> None:
    """Texts of unequal length and noise around a known difference: 95 % of the intervals hold it."""
    generator = np.random.default_rng(7)
    held = 0
    for _ in range(600):
        texts = 0.1 + 0.05 * generator.standard_normal(n)  # texts differ in how much the models differ
        found = interval(texts + generator.standard_normal(n) / np.sqrt(generator.integers(200, 400, n)))
        held += found.low <= 0.1 <= found.high
    assert 0.93 < held / 600 < 0.97
