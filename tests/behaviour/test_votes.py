"""Votes: shares and intervals against formulas of their own, orders, resuming, hostile texts."""

from __future__ import annotations

import json
from math import comb, isnan, sqrt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from workbench.behaviour.answers import Answers
from workbench.behaviour.preference import Outcome, position, sentence, tallies
from workbench.behaviour.store import AnswerStore
from workbench.behaviour.suite import suite_of
from workbench.behaviour.votes import FILE, Poll, Votes, swaps
from workbench.cli import app
from workbench.errors import WorkbenchError

HOSTILE = "[red]<img src=x onerror=alert(1)>\x1b[2J\u202e</s>"


def folder_of(path: Path, items: int = 6, same: int = 0) -> Path:
    """Answers of "one" and "other" to ``items`` items in two categories, the last ``same`` of them alike."""
    rows = [{"prompt": f"Question {i}?", "id": str(i), "category": "even" if i % 2 == 0 else "odd"}
            for i in range(items)]  # fmt: skip
    store = AnswerStore(path, suite_of(rows), {"samples": 1})
    for model in ("one", "other"):
        store.join(model, {"identity": {"weights": model}})
        for i in range(items):
            text = "alike" if i >= items - same else f"{model} says {HOSTILE} {i}"
            store.add(model, {"key": f"{model}{i}", "item": str(i), "model": model, "sample": 0, "answers": [text]})
    return path


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0]), max_size=12))
@settings(max_examples=30, deadline=None)
def test_numbers_are_those_of_the_formulas(values: list[float]) -> None:
    one, other = tallies(("a", "b"), [Outcome(str(i), "", value) for i, value in enumerate(values)])
    wins, losses, n = values.count(1.0), values.count(0.0), len(values)
    assert (one.items, one.wins, one.ties, one.losses) == (n, wins, values.count(0.5), losses)
    assert (other.wins, other.losses) == (losses, wins)
    if n:
        assert one.win_rate == pytest.approx((wins + values.count(0.5) / 2) / n)
        assert one.win_rate + other.win_rate == pytest.approx(1)
        assert sentence([one, other]).startswith(f"a against b: {wins} won")
    if n > 1:  # resampled item by item, with the generator that is stated
        generator = np.random.default_rng(0)
        means = np.sort(np.array(values)[generator.integers(0, n, (2000, n))].mean(1))
        assert means[40] <= one.low + 1e-9
        assert one.low <= means[60] + 1e-9
        assert means[1940] - 1e-9 <= one.high <= means[1960] + 1e-9
    else:
        assert isnan(one.low)
    if (m := wins + losses) > 0:
        z, p = 1.959963984540054, wins / m
        # the roots of (p - x)^2 = z^2 x (1 - x) / m
        a, b, c = 1 + z * z / m, -(2 * p + z * z / m), p * p
        assert one.decided_low == pytest.approx((-b - sqrt(max(0, b * b - 4 * a * c))) / (2 * a), abs=1e-7)
        assert one.decided_high == pytest.approx((-b + sqrt(max(0, b * b - 4 * a * c))) / (2 * a), abs=1e-7)
        tail = sum(comb(m, k) for k in range(m + 1) if abs(k - m / 2) >= abs(wins - m / 2)) / 2**m
        assert one.p == pytest.approx(tail)


def test_an_item_counts_once_however_many_votes() -> None:
    outcomes = [Outcome("1", "c", 1.0)] * 5 + [Outcome("2", "c", 0.0), Outcome("3", "c", 1.0), Outcome("3", "c", 0.0)]
    one = tallies(("a", "b"), outcomes)[0]
    assert (one.votes, one.items, one.wins, one.ties, one.losses, one.win_rate) == (8, 3, 1, 1, 1, 0.5)


@pytest.mark.parametrize("items", [6, 7])
def test_orders_are_drawn_balanced_and_the_same_for_a_seed(tmp_path: Path, items: int) -> None:
    answers = Answers.read(folder_of(tmp_path / "a", items))
    drawn = [tuple(swaps(answers, seed).values()) for seed in range(8)]
    assert all(sum(one) == items // 2 for one in drawn)
    assert len(set(drawn)) > 3
    assert drawn[3] == tuple(swaps(answers, 3).values())
    for ballot in Poll(tmp_path / "a", seed=3).ballots:
        assert ballot.left[0].startswith(ballot.shown[0] + " ")
        assert ballot.right[0].startswith(ballot.shown[1] + " ")


def test_votes_are_kept_resumed_and_replaced(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "a", 6, same=2)
    poll = Poll(folder, voter="Ada", seed=1)
    assert (len(poll.ballots), poll.same) == (4, 2)
    for ballot in poll.open()[:3]:  # the first model is better wherever it stands
        poll.vote(ballot, "left" if ballot.shown[0] == "one" else "right")
    with (folder / FILE).open("a") as file:
        file.write('{"item": "3", "vote"')  # cut off by a kill
    again = Poll(folder, voter="Ada", seed=2)  # another order: the votes are read as they are shown now
    assert [one.pair.item.id for one in again.open()] == ["3"]
    for ballot in again.ballots[:3]:
        assert ballot.shown[("left", "right").index(again.votes()[ballot.pair.place])] == "one"
    again.vote(again.ballots[0], "both bad")
    again.vote(again.ballots[3], "right" if again.ballots[3].shown[0] == "one" else "left")
    found = Votes.read(folder)
    assert (found.tallies[0].wins, found.tallies[0].ties, found.tallies[0].losses) == (2, 1, 1)
    assert {word: n for word, n in found.ties.items() if n} == {"both bad": 1}
    assert Votes.read(folder, ["other", "one"]).tallies[0].wins == 1
    assert Votes.read(folder, voter="Bob").tallies[0].items == 0
    by_category = found.table()
    assert by_category.loc[("one", "odd"), "losses"] == 1
    assert by_category.loc[("one", "even"), "ties"] == 1
    left = sum(row["vote"] == "left" for row in found.rows)
    assert found.position == position(left, 3)
    json.dumps(found.as_json(), allow_nan=False)
    with pytest.raises(WorkbenchError, match="left, right, both good"):
        poll.vote(poll.ballots[0], "first")


def test_mistakes_are_sentences(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "a")
    for wrong in (["one"], ["one", "nobody"], ["one", "one"]):
        with pytest.raises(WorkbenchError):
            Poll(folder, wrong)
    with pytest.raises(WorkbenchError, match="no name"):
        Poll(folder, voter=" ")
    with pytest.raises(WorkbenchError):
        Poll(tmp_path)


def test_the_terminal_asks_blindly_through_a_pipe(tmp_path: Path) -> None:
    folder, csv = folder_of(tmp_path / "a", 4), tmp_path / "votes.csv"
    first = CliRunner().invoke(app, ["suite", "vote", str(folder)], input="what\n1\ns\nq\n")
    assert first.exit_code == 0, first.output
    assert "1 of 4 pairs" in first.output
    asked = first.output.split("pairs are voted on")[0]
    assert "\x1b" not in asked
    assert "[red]<img src=x onerror=alert(1)>" in asked
    for word in ("against", "win rate", "won"):  # names stay hidden until somebody asks
        assert word not in first.output
    assert len(Poll(folder).votes()) == 1
    second = CliRunner().invoke(app, ["suite", "vote", str(folder), "--result"], input="0\n2\n")  # ends with the pipe
    assert "3 of 4 pairs" in second.output
    assert "Neither was better: 1 both bad." in second.output
    shown = CliRunner().invoke(app, ["suite", "votes", str(folder), "--csv", str(csv)], env={"COLUMNS": "200"})
    assert shown.exit_code == 0, shown.output
    assert Votes.read(folder).sentence[:60] in shown.output
    assert csv.read_text().startswith("model,category,items")
