"""What a study will cost, held against what it reads and computes; questions recomputed by plain transformers."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

import workbench as wb
from workbench.cli import app
from workbench.context.answering import Reader, answer
from workbench.context.export import save_items
from workbench.context.forecast import forecast
from workbench.context.reading import flop
from workbench.context.study import needle
from workbench.context.tasks import TASKS
from workbench.errors import ContextLengthError
from workbench.models.shape import ModelShape

PAGE = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Callable[..., Path]) -> wb.Model:
    return wb.load(str(tiny_checkpoint()))


@pytest.mark.parametrize("name", ["needle", "key-value", "common-words"])
def test_as_much_is_read_as_was_said(model: wb.Model, name: str) -> None:
    lengths, depths = (1200, 800, 600), (0.0, 0.5, 1.0)
    study = needle([model], lengths, depths, tasks=name, cases=1)
    list(study)
    trials = study.grid.trials
    said = forecast(ModelShape.of(model), lengths, depths, [TASKS[name]()], 1)
    assert said.trials == len(trials) == study.count
    written = trials["tokens"].sum()  # an answer that departs is read once more, token by token
    assert said.tokens == pytest.approx(trials["read"].sum() - written, rel=0.15)
    assert said.whole == pytest.approx(trials["prompt_tokens"].sum(), rel=0.05)


def test_operations_are_those_that_torch_counts(model: wb.Model) -> None:
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        model.module.set_attn_implementation("eager")
        try:
            model.module(input_ids=torch.arange(300, 500)[None], logits_to_keep=1)
        finally:
            model.module._workbench_bridge = False  # installed anew by the next forward
    shape = ModelShape.of(model)
    square = 4 * shape.layers * shape.heads * shape.head_dim * (200 * 200 - 200 * 201 // 2)  # eager computes it whole
    assert flop(shape, 0, 200) + square == pytest.approx(counted.get_total_flops(), rel=1e-3)
    assert flop(shape, 0, 120) + flop(shape, 120, 200) - 2 * shape.embedding == flop(shape, 0, 200)


def test_the_table_of_the_page_is_what_the_command_prints() -> None:
    (line,) = re.findall(r"^workbench (needle --estimate --model.*)$", PAGE, flags=re.MULTILINE)
    printed = CliRunner().invoke(app, shlex.split(line), env={"COLUMNS": "140"})
    assert printed.exit_code == 0, printed.output
    lines = [one.strip() for one in printed.output.splitlines() if one.strip()]
    assert len([one for one in lines if one.startswith("|")]) >= 10
    for one in lines:
        assert one in PAGE


def test_the_estimate_of_a_model_that_is_here(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    words = ["needle", "--estimate", "-m", str(tiny_checkpoint()), "--lengths", "120,160", "--depths", "2", "--cases"]
    done = CliRunner().invoke(app, [*words, "2", "--csv", str(tmp_path / "cost.csv")], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    row = pd.read_csv(tmp_path / "cost.csv").iloc[0]
    assert row["trials"] == 8
    assert row["here, hours"] > 0
    for more, said in (("2 --utilisation 2", "share of the peak"), ("0 --task nothing", "Invalid value")):
        assert CliRunner().invoke(app, [*words, *more.split()]).exit_code == 2, said
    with pytest.raises(ContextLengthError, match="at most"):
        forecast(ModelShape.of("v0.2"), (65536,), (0.5,), [TASKS["needle"]()], 1)


def test_a_line_is_recomputed_from_its_ids_alone(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    folder = tiny_checkpoint(window=24)
    model = wb.load(str(folder))
    study = needle([model, model.switched(window=None)], (120,), (0.0, 1.0), cases=1)
    lines = [json.loads(line) for line in save_items(study.plan, tmp_path / "items.jsonl").read_text().splitlines()]
    assert len(lines) == 2  # one a question, for both models
    assert [one["weights"] for one in lines[0]["models"]] == [model.weights_hash] * 2
    assert [one["config"]["sliding_window"] for one in lines[0]["models"]] == [24, None]
    assert lines[0]["versions"]["transformers"]
    plain = AutoModelForCausalLM.from_pretrained(folder)
    for line, trial in zip(lines, study.plan.groups()[0].trials(), strict=True):
        found = answer(Reader(model), trial.item)
        assert found is not None
        ids, expected = torch.tensor([line["ids"]]), line["expected_ids"]
        assert len(line["ids"]) + line["budget"] == line["length"]
        with torch.no_grad():
            logits = plain(torch.cat([ids, torch.tensor([expected])], 1)).logits[0].float().log_softmax(-1)
        places = range(len(line["ids"]) - 1, len(line["ids"]) - 1 + len(expected))
        assert sum(float(logits[p, e]) for p, e in zip(places, expected, strict=True)) == pytest.approx(
            found.logprob, abs=1e-2
        )
        text = plain.generate(ids, max_new_tokens=line["budget"], do_sample=False)[0, ids.shape[1] :]
        assert model.tokenizer.decode(text.tolist()).strip() == found.text
        (start, stop), *_ = line["needles"]
        assert line["references"][0] in model.tokenizer.decode(line["ids"][start:stop])
