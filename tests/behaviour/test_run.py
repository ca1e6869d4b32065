"""Suites through small models: stopped anywhere, gone on with; what comes out is what they say by themselves."""

from __future__ import annotations

import csv
import json
import threading
from collections import Counter
from collections.abc import Callable
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workbench as wb
from workbench.behaviour.answers import paired_interval
from workbench.behaviour.run import key
from workbench.behaviour.store import read_rows
from workbench.chat.guardrails import SAFE_PROMPT
from workbench.errors import WorkbenchError

ITEMS = [
    {"id": "one", "prompt": "Hello", "category": "short", "format": {"words": 1}},
    {"id": "two", "turns": ["Name a colour.", "=And another?"], "category": "turns", "format": {"words": 500}},
    {"id": "three", "prompt": "What <b>is</b> it?", "system": "Be brief.", "category": "short"},
    {"id": "long", "prompt": "word " * 600, "contains": "x"},
]
SAMPLING = wb.Sampling(max_new_tokens=6)


@pytest.fixture(scope="module")
def models(tiny_checkpoint: Callable[..., Path]) -> list[wb.Model]:
    return [wb.load(str(tiny_checkpoint(seed=seed, context=512))) for seed in (0, 1)]


@pytest.fixture(scope="module")
def answered(models: list[wb.Model], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All items through both models, in one go."""
    folder = tmp_path_factory.mktemp("suite") / "answers"
    steps = list(wb.run_suite(models, ITEMS, folder, sampling=SAMPLING, batch=2))
    assert (steps[-1].done, steps[-1].of, steps[-1].already, steps[-1].share) == (8, 8, 0, 1.0)
    assert sum(step.kept for step in steps) == 8
    order = [(step.item, step.model) for step in steps if step.kept]
    a, b = (model.name for model in models)
    assert order[:4] == [("one", a), ("two", a), ("one", b), ("two", b)], (
        "a batch goes through one model, then the next"
    )
    return folder


def said(folder: Path) -> dict[str, list[str]]:
    return {row["key"]: row["answers"] for row in read_rows(folder)}


def model_says(model: wb.Model, messages: list[dict[str, str]]) -> Any:
    """A finished run of the messages by themselves."""
    run = model.generate(messages, SAMPLING, wb.Capture.nothing())
    for _ in run:
        pass
    return run


def test_the_answers_are_the_models_own(answered: Path, models: list[wb.Model]) -> None:
    for row in read_rows(answered):
        item = next(one for one in ITEMS if one["id"] == row["item"])
        if item["id"] == "long":
            assert (row["answers"], row["finish"]) == ([""], ["error"])
            assert "at most" in row["error"]
            continue
        model = next(one for one in models if one.name == row["model"])
        messages = [{"role": "system", "content": item["system"]}] if "system" in item else []
        for turn, answer in zip(item.get("turns") or [item["prompt"]], row["answers"], strict=True):
            messages.append({"role": "user", "content": turn})
            run = model_says(model, messages)
            assert answer == run.text.strip()
            messages.append({"role": "assistant", "content": answer})
        if "turns" in item:
            assert row["reused_tokens"][1] > 0, "the second turn does not read the first again"


def test_stopped_and_gone_on_with(answered: Path, models: list[wb.Model], tmp_path: Path) -> None:
    stop = threading.Event()
    for wanted in (2, 6):
        stop.clear()
        for step in wb.run_suite(models, ITEMS, tmp_path, sampling=SAMPLING, stop=stop):
            if step.done == wanted and not step.kept:
                stop.set()  # in the middle of the next item
        assert len(read_rows(tmp_path)) == wanted
    steps = wb.run_suite(models, ITEMS, tmp_path, sampling=SAMPLING)
    first = next(steps)
    assert first.already == 6
    steps.close()  # as a page that goes away does
    victim = next(tmp_path.glob("answers-*.jsonl"))
    victim.write_bytes(victim.read_bytes()[:-5])  # as kill -9 would leave it
    last = list(wb.run_suite(models, ITEMS, tmp_path, sampling=SAMPLING))[-1]
    assert (last.done, last.already) == (8, 5)
    assert said(tmp_path) == said(answered)
    keys = [json.loads(line)["key"] for one in tmp_path.glob("answers-*") for line in one.read_text().splitlines()]
    assert Counter(keys) == Counter(said(answered).keys())
    (nothing,) = wb.run_suite(models, ITEMS, tmp_path, sampling=SAMPLING)
    assert (nothing.done, nothing.already) == (8, 8)


def test_with_the_safe_prompt(answered: Path, models: list[wb.Model], tmp_path: Path) -> None:
    """The published text stands before an item's own system text, in all turns; folder, sentence and repr say so."""
    asked = {"sampling": SAMPLING, "items": ["two", "three"]}
    list(wb.run_suite(models[0], ITEMS, tmp_path, safe_prompt=True, **asked))
    rows = {row["item"]: row for row in read_rows(tmp_path)}
    for item, turns, system in (("two", ITEMS[1]["turns"], ""), ("three", [ITEMS[2]["prompt"]], "Be brief.")):
        messages = [{"role": "system", "content": f"{SAFE_PROMPT}\n\n{system}" if system else SAFE_PROMPT}]
        for turn, answer, length in zip(turns, rows[item]["answers"], rows[item]["prompt_tokens"], strict=True):
            messages.append({"role": "user", "content": turn})
            run = model_says(models[0], messages)
            assert (answer, length) == (run.text.strip(), len(run.prompt.ids))
            messages.append({"role": "assistant", "content": answer})
    found, plain = wb.Answers.read(tmp_path), wb.Answers.read(answered)
    assert (found.safe_prompt, found.provenance["safe_prompt"], plain.safe_prompt) == (True, True, False)
    assert found.sentence.startswith("With the safe prompt, ")
    assert "safe prompt" in repr(found)
    assert "safe prompt" not in repr(plain) + plain.sentence
    with pytest.raises(WorkbenchError, match="safe_prompt true, not false"):
        wb.run_suite(models[0], ITEMS, tmp_path, **asked)


def test_a_key_names_all_that_decides_an_answer(models: list[wb.Model]) -> None:
    item = wb.read_suite("twins").items[0]
    base = {"sampling": vars(SAMPLING), "system": "", "safe_prompt": False}
    others = [
        key(item, models[0], base, 0),
        key(item, models[1], base, 0),
        key(item, models[0].switched(window=7), base, 0),
        key(item, models[0], base, 1),
        key(item, models[0], base | {"system": "Be kind."}, 0),
        key(item, models[0], base | {"safe_prompt": True}, 0),
        key(item, models[0], base | {"sampling": vars(wb.Sampling(max_new_tokens=7))}, 0),
        key(wb.read_suite("twins").items[1], models[0], base, 0),
    ]
    assert len(set(others)) == len(others)
    assert others[0] == key(item, models[0], dict(base), 0)


def test_tables_scores_and_files(answered: Path, models: list[wb.Model], tmp_path: Path) -> None:
    found = wb.Answers.read(answered)
    a, b = (model.name for model in models)
    assert found.complete
    table = found.table()
    assert list(table["turn"]) == [1, 1, 2, 1, 1]
    by_hand = {
        model: [len(table[model][0].split()) == 1, 1 <= len(table[model][2].split()) <= 500, False] for model in (a, b)
    }
    scores = found.scores()
    for model in (a, b):
        row = scores.loc[(model, "all")]
        assert (row["passed"], row["n"]) == (sum(by_hand[model]), 3), "three has no check, long failed"
        # Wilson's bounds are where the score test gives z = 1.96
        for bound in (row["low"], row["high"]):
            if 0 < bound < 1:
                z = abs(row["share"] - bound) / (bound * (1 - bound) / row["n"]) ** 0.5
                assert z == pytest.approx(1.959964, abs=1e-5)
    pair = found.difference()
    only = sum(x and not y for x, y in zip(by_hand[a], by_hand[b], strict=True))
    assert (pair.n, pair.only_first) == (3, only)
    assert pair.difference == pytest.approx((sum(by_hand[b]) - sum(by_hand[a])) / 3)
    found.to_csv(tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[2]["prompt"] == "'=And another?"
    found.to_jsonl(tmp_path / "a.jsonl")
    assert [json.loads(line)["item"] for line in (tmp_path / "a.jsonl").read_text().splitlines()] == [
        one["id"] for one in ITEMS
    ]
    shown = found._repr_mimebundle_()
    assert found.sentence in shown["text/plain"]
    assert "<b>" not in shown["text/html"]
    assert set(found.provenance["models"]) == {a, b}
    assert found.provenance["models"][a]["weights"] == models[0].weights_hash


def test_the_interval_of_a_paired_difference() -> None:
    only_first, only_second, neither, both = 3, 9, 6, 12
    values = [-1] * only_first + [1] * only_second + [0] * (neither + both)
    # half an observation more in each of the four cells
    weights = np.array([1.0] * len(values) + [0.5] * 4)
    values = np.array([*values, -1, 1, 0, 0])
    mean = (weights * values).sum() / weights.sum()
    half = 1.959964 * np.sqrt((weights * (values - mean) ** 2).sum() / weights.sum() ** 2)
    assert paired_interval(only_first, only_second, 30) == pytest.approx((mean - half, mean + half), abs=1e-6)
    assert paired_interval(0, 0, 0) == (-1.0, 1.0)


def test_mcnemar(tmp_path: Path) -> None:
    rows = [
        {"key": f"{m}{i}", "item": str(i), "model": m, "answers": ["yes" if right else "no"]}
        for m, marks in (("a", "1100000000"), ("b", "1011111110"))
        for i, right in enumerate(map(int, marks), 1)
    ]
    suite = wb.Suite("s", tuple(_item(i) for i in range(1, 11)))
    pair = wb.Answers(suite, ("a", "b"), tuple(rows)).difference()
    assert (pair.both, pair.only_first, pair.only_second, pair.neither) == (1, 1, 7, 1)
    assert pair.p == pytest.approx(2 * sum(comb(8, k) for k in range(2)) / 2**8)


def _item(number: int) -> object:
    from workbench.behaviour.suite import suite_of

    return suite_of([{"id": str(number), "prompt": "?", "exact": "yes"}]).items[0]


def test_mistakes_are_sentences(models: list[wb.Model], tmp_path: Path) -> None:
    for words in (
        {"models": []}, {"models": [models[0], models[0]]}, {"batch": 0}, {"samples": 2}, {"items": ["nobody"]},
    ):  # fmt: skip
        with pytest.raises(WorkbenchError) as raised:
            wb.run_suite(**{"models": models, "suite": ITEMS, "folder": tmp_path / "x", **words})
        assert str(raised.value).endswith(".")
    assert not (tmp_path / "x").exists()


def test_questions_of_mt_bench(models: list[wb.Model], tmp_path: Path) -> None:
    for above in Path(__file__).resolve().parents:
        path = above / "shared" / "data" / "mt_bench_question.jsonl"
        if path.is_file():
            break
    else:
        pytest.skip("mt_bench_question.jsonl is not in the shared test data beside this repository")
    suite = wb.read_suite(path)
    assert (len(suite), {len(item.turns) for item in suite.items}) == (80, {2})
    few = [item.id for item in suite.items[:3]]
    for stop_at in (2, None):
        for step in wb.run_suite(models, suite, tmp_path, sampling=wb.Sampling(max_new_tokens=3), items=few):
            if step.done == stop_at:
                break
    rows = read_rows(tmp_path)
    assert Counter((row["item"], row["model"]) for row in rows) == {(i, m.name): 1 for i in few for m in models}
