"""A study of caches: loss, KL and retrieval against plain forwards; what it counts, stops and refuses."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import workbench as wb
from tests.prompts import prompt_of
from tests.reference import random_ids
from workbench.cli import app
from workbench.context.answering import Reader, answer
from workbench.context.tasks import TASKS
from workbench.errors import CacheError, ContextLengthError

POLICIES = ["sinks=4+30", "received=30%", "snapkv=60", "norm=40", "4bit=16", "rolling=999"]
FOLLOW = 20


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Callable[..., Path]) -> wb.Model:
    return wb.load(str(tiny_checkpoint(kv_heads=2, window=96)))


@pytest.fixture(scope="module")
def items(model: wb.Model) -> list[object]:
    return [TASKS["needle"]().make(model.tokenizer, 140 + 40 * case, 0.5, case) for case in range(2)]


@pytest.fixture(scope="module")
def found(model: wb.Model, items: list[object]) -> wb.CacheFindings:
    texts = [prompt_of(model, random_ids(180, seed)) for seed in (1, 2)]
    study = wb.cache_study(model, POLICIES, texts=texts, items=items, length=150, follow=FOLLOW)
    told = list(study)
    assert [one.done for one in told] == list(range(1, study.count + 1)) == list(range(1, 4 * 7 + 1))
    assert told[-1].seconds_left == 0
    return study.result


def test_loss_and_kl_are_those_of_plain_forwards(model: wb.Model, found: wb.CacheFindings) -> None:
    """``rolling`` over a window is another model: the same weights under that window."""
    study = wb.cache_study(
        model, ["rolling=40"], texts=[prompt_of(model, random_ids(180, 1))], length=150, follow=FOLLOW
    )
    list(study)
    ids = random_ids(180, 1)[: 150 + FOLLOW + 1]
    with torch.inference_mode():
        full, narrow = (
            one.module(input_ids=torch.tensor([ids])).logits[0, 150:-1].log_softmax(-1)
            for one in (model, model.switched(window=40))
        )
    rows = study.result.texts.set_index("policy")
    wanted = torch.tensor(ids[151:])[:, None]
    for name, logprobs in (("full", full), ("rolling=40", narrow)):
        assert rows.loc[name, "loss"] == pytest.approx(-float(logprobs.gather(1, wanted).mean()), abs=1e-4)
        assert rows.loc[name, "kl"] == pytest.approx(float((full.exp() * (full - logprobs)).sum(-1).mean()), abs=1e-4)
    assert rows.loc["rolling=40", "kl"] > 0.01
    assert rows.loc["full", "loss"] == found.texts.set_index(["policy", "prompt"]).loc[("full", "text 1"), "loss"]


def test_questions_are_answered_as_by_the_plain_reader(
    model: wb.Model, items: list[object], found: wb.CacheFindings
) -> None:
    rows = found.questions.set_index(["policy", "prompt"])
    for number, item in enumerate(items, 1):
        plain = answer(Reader(model), item)  # type: ignore[arg-type]
        assert plain is not None
        for name in ("full", "rolling=999"):
            row = rows.loc[(name, f"question {number}")]
            assert row["answer"] == plain.text
            assert row["right"] == plain.score.right
            assert row["logprob"] == pytest.approx(plain.logprob, abs=1e-3)
    assert rows.loc[("sinks=4+30", "question 1"), "logprob"] != rows.loc[("full", "question 1"), "logprob"]


def test_the_table_sums_up_what_was_stored(model: wb.Model, found: wb.CacheFindings) -> None:
    table = found.table
    assert list(table.index) == ["full", *POLICIES]
    assert (table["bytes"] == table["predicted"]).all()
    assert table.loc["rolling=999", "of_full"] == 1
    assert table.loc["rolling=999", ["loss_more", "kl"]].abs().max() < 1e-4
    assert table.loc["full", "tokens"] == 95  # what a window of 96 leaves
    assert (table["questions"] == 2).all()
    assert (table["texts"] == 2).all()
    rest = table.drop(["full", "rolling=999"])
    assert (rest["of_full"] < 1).all()
    assert (rest["kl"] > 1e-5).all()
    assert "snapkv=60" in found._repr_mimebundle_()["text/html"]
    assert found.provenance["weights"] == model.weights_hash


def test_which_tokens_were_kept_is_told_by_layer_and_head(model: wb.Model, found: wb.CacheFindings) -> None:
    kept = found.which("snapkv=60", "text 1")
    assert [one.shape for one in kept.positions] == [(model.kv_heads, 60)] * model.layers
    assert kept.heads(0).sum() == 60 * model.kv_heads
    assert (kept.heads(1)[-32:] == model.kv_heads).all()
    assert found.which("sinks=4+30", "text 1").positions[0][1].tolist() == list(range(121, 150))  # the window took them
    assert set(found.prompts) == {"text 1", "question 1"}
    assert len(found.prompts["question 1"].pieces) == found.which("full", "question 1").length
    with pytest.raises(CacheError, match="expected full and text 1"):
        found.which("nothing")


def test_policies_do_not_disturb_each_other(model: wb.Model, items: list[object], found: wb.CacheFindings) -> None:
    texts = [prompt_of(model, random_ids(180, seed)) for seed in (1, 2)]
    study = wb.cache_study(model, POLICIES[::-1], texts=texts, items=items, length=150, follow=FOLLOW)
    list(study)
    again = study.result.table.loc[found.table.index]
    pd.testing.assert_frame_equal(again, found.table)


def test_a_stopped_study_keeps_what_is_done(model: wb.Model, items: list[object]) -> None:
    stop = threading.Event()
    study = wb.cache_study(model, POLICIES, texts=[prompt_of(model, random_ids(150, 1))], items=items, stop=stop)
    for told in study:
        if told.done == 3:
            stop.set()
    assert len(study.result.texts) == 3
    assert study.result.questions.empty
    assert list(study.result.table.index) == ["full", *POLICIES[:2]]
    assert np.isnan(study.result.table["right"]).all()


def test_what_cannot_be_is_a_sentence(model: wb.Model, items: list[object]) -> None:
    text = prompt_of(model, random_ids(100, 1))
    for words, error, said in (
        ({}, CacheError, "no text and no question"),
        ({"texts": [text], "follow": 0}, CacheError, "1 to"),
        ({"texts": [text], "length": 90}, ContextLengthError, "Text 1 has 100 tokens; expected at least 219"),
        ({"texts": [text]}, ContextLengthError, "longer text"),
        ({"texts": [prompt_of(model, [1] * 2200)], "length": 2040}, ContextLengthError, "at most 2048"),
        ({"items": ["what?"]}, CacheError, "Question 1 is a str"),
    ):
        with pytest.raises(error, match=said):
            wb.cache_study(model, ["norm=10"], **words)
    with pytest.raises(CacheError, match="no cache policy"):
        wb.cache_study(model, ["h2o=3"], texts=[text])


def test_the_command(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    folder, text = tiny_checkpoint(kv_heads=2), tmp_path / "text.txt"
    text.write_text("The old dog sat near the tree. " * 60)
    csv, kept = tmp_path / "cache.csv", tmp_path / "kept.json"
    words = ["cache", folder, "-p", "snapkv=40", "-p", "4bit=32", "--text", text, "--length", 200, "--cases", 2]
    words += ["--follow", 16, "--csv", csv, "--kept", kept]
    ended = CliRunner().invoke(app, [str(word) for word in words])
    assert ended.exit_code == 0, ended.output
    assert "agree" in ended.output
    table = pd.read_csv(csv, index_col="policy")
    assert list(table.index) == ["full", "snapkv=40", "4bit=32"]
    assert table.loc["snapkv=40", "tokens"] == 40
    data = json.loads(kept.read_text())
    assert {(one["policy"], one["prompt"]) for one in data["kept"]} >= {("snapkv=40", "text 1"), ("full", "question 1")}
    listed = CliRunner().invoke(app, ["cache", "--policies"]).output
    assert "sinks=4+252" in listed
    assert "quanto=4" in listed
    bad = CliRunner().invoke(app, ["cache", str(folder), "-p", "snapkv=0"])
    assert bad.exit_code == 2
