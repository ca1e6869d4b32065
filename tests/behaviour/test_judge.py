"""The judge's numbers against plain forwards of transformers; verdicts, resuming."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import workbench as wb
from tests.reference import eager, eager_states
from workbench.behaviour.judge import FILE, GRADES, Verdicts, grade, grade_question, judge_suite, pair_question
from workbench.behaviour.run import run_suite
from workbench.behaviour.votes import pairs
from workbench.cli import app

SUITE = [
    {"prompt": "Name a colour.", "id": "1", "category": "c", "reference": "red"},
    {"turns": ["Hi", "And?"], "id": "2", "category": "d"},
]


@pytest.fixture(scope="module")
def checkpoint(tiny_checkpoint: Callable[..., Path]) -> Path:
    return tiny_checkpoint(window=24)


@pytest.fixture(scope="module")
def judge(checkpoint: Path) -> wb.Model:
    return wb.load(str(checkpoint))


@pytest.fixture
def folder(tiny_checkpoint: Callable[..., Path], judge: wb.Model, tmp_path: Path) -> Path:
    other = wb.load(str(tiny_checkpoint(seed=1)))
    list(run_suite([judge, other], SUITE, tmp_path / "a", sampling=wb.Sampling(max_new_tokens=6)))
    return tmp_path / "a"


def chance(checkpoint: Path, judge: wb.Model, question: str, then: list[int]) -> float:
    ids = list(judge.encode([{"role": "user", "content": question}]).ids)
    rows = eager_states(eager(checkpoint), [*ids, *then])["logits"][len(ids) - 1 : -1].log_softmax(-1).double()
    return float(rows[torch.arange(len(then)), torch.tensor(then)].sum().exp())


def test_verdicts_are_the_probabilities_of_the_letters_in_both_orders(
    checkpoint: Path, judge: wb.Model, folder: Path
) -> None:
    steps = list(judge_suite(judge, folder))
    assert (steps[-1].done, steps[-1].of) == (4, 4)  # two pairs, two answers with a reference
    (found,) = Verdicts.read(folder)
    assert found.weights == judge.weights_hash
    letters = {name: judge.tokenizer.encode(name) for name in "AB"}
    kept, _ = pairs(wb.Answers.read(folder))
    for pair in kept:
        one, other = pair.answers
        row = next(row for row in found.rows if row["kind"] == "pair" and row["item"] == pair.item.id)
        shares = []
        for first, second, mine in ((one, other, "A"), (other, one, "B")):
            p = {name: chance(checkpoint, judge, pair_question(pair.item, first, second), ids)
                 for name, ids in letters.items()}  # fmt: skip
            shares.append(p[mine] / (p["A"] + p["B"]))
        assert row["shares"] == pytest.approx(shares, rel=5e-3)
        agreed = "first" if min(shares) > 0.5 else "second" if max(shares) < 0.5 else "tie"
        assert row["verdict"] == agreed
        assert row["confidence"] == pytest.approx(max(0, abs(sum(shares) / 2 - 0.5)) + 0.5
                                                  if agreed != "tie" else sum(shares) / 2, rel=5e-3)  # fmt: skip
    assert found.agreed == sum(row.get("verdict") in ("first", "second") for row in found.rows)
    assert found.position.n == 2 * len(kept)


def test_a_grade_is_expected_over_the_numbers(checkpoint: Path, judge: wb.Model, folder: Path) -> None:
    answers = wb.Answers.read(folder)
    item, said = answers.suite.items[0], ["red or blue"]
    expected, shares, mass = grade(judge, grade_question(item, said))
    question = grade_question(item, said)
    p = [chance(checkpoint, judge, question, judge.tokenizer.encode(text)) for text in GRADES]
    p[0] -= p[9]  # in v1 "10" begins with the tokens of "1"
    assert judge.tokenizer.encode("10")[:2] == judge.tokenizer.encode("1")
    assert mass == pytest.approx(sum(p), rel=5e-3)
    assert shares == pytest.approx([one / sum(p) for one in p], rel=1e-2, abs=1e-6)
    assert expected == pytest.approx(sum(k * one for k, one in enumerate(p, 1)) / sum(p), rel=5e-3)


def test_judging_goes_on_where_it_was(judge: wb.Model, folder: Path, checkpoint: Path) -> None:
    steps = judge_suite(judge, folder)
    next(steps)
    next(steps)
    steps.close()
    before = (folder / FILE).read_text()
    assert before.count("\n") == 1
    assert [step.done for step in judge_suite(judge, folder)] == [1, 2, 3, 4]
    whole = (folder / FILE).read_text()
    assert whole.startswith(before)
    result = CliRunner().invoke(app, ["suite", "judge", str(folder), "--judge", str(checkpoint)])
    assert result.exit_code == 0, result.output
    assert "4 of 4 verdicts" in result.output
    assert (folder / FILE).read_text() == whole  # nothing is judged twice
