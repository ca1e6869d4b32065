"""Retrieval studies: resumed after a kill, shared by processes, stopped, refused; their statistics by hand."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workbench as wb
from tests.forked import forking
from workbench.cache_lab.policies import policy
from workbench.cache_lab.reading import readers
from workbench.context.answering import Reader, answer
from workbench.context.grid import Grid
from workbench.context.store import TrialStore, read_trials
from workbench.context.study import needle
from workbench.context.task import Task
from workbench.context.tasks import TASKS
from workbench.errors import FileFormatError, WorkbenchError
from workbench.statistics import sign_test, wilson

SIZES = {"lengths": (120, 200), "depths": (0.0, 1.0), "cases": 2}


@pytest.fixture(scope="module")
def models(tiny_checkpoint: Callable[..., Path]) -> list[wb.Model]:
    """Two models of random weights; the first has a window of 24 tokens."""
    return [wb.load(str(tiny_checkpoint(window=24))), wb.load(str(tiny_checkpoint(seed=1)))]


def finished(frame: pd.DataFrame) -> pd.DataFrame:
    """What a trial found, without when and how fast."""
    return frame.sort_values("key").drop(columns=["seconds", "created", "read"]).reset_index(drop=True)


def test_a_study_asks_everything_once(models: list[wb.Model], tmp_path: Path) -> None:
    study = needle(models, **SIZES, folder=tmp_path)
    told = list(study)
    assert [p.done for p in told] == list(range(1, 17))
    assert (told[-1].of, told[-1].seconds_left) == (16, pytest.approx(0, abs=1e-6))
    grid = study.grid
    assert len(grid) == 16
    assert set(grid.cells["n"]) == {2}
    one = grid.trials.iloc[3]
    model = next(model for model in models if model.name == one["model"])
    item = TASKS["needle"]().make(model.tokenizer, one["length"], one["depth"], one["case"])
    alone = answer(Reader(model), item)
    assert alone is not None
    assert (one["item"], one["answer"]) == (item.key, alone.text)
    assert one["logprob"] == pytest.approx(alone.logprob, abs=1e-3)
    again = needle(models, **SIZES, folder=tmp_path)
    assert [p.answer for p in again] == [None] * 16
    more = needle(models, (120, 200, 240), (0.0, 1.0), cases=2, folder=tmp_path)
    assert sum(p.answer is not None for p in more) == 8
    memory = needle(models, **SIZES)
    list(memory)
    pd.testing.assert_frame_equal(finished(memory.grid.trials), finished(grid.trials), check_dtype=False, atol=1e-3)


def test_nothing_is_drafted_where_nothing_is_missing(
    models: list[wb.Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = tmp_path / "tale.txt"
    text.write_text("The old man went down to the sea. " * 80)
    asked: dict[str, Any] = {"tasks": ["needle", "lines"], "haystack": str(text), "folder": tmp_path / "study"}
    places = {"lengths": (300, 400), "depths": (0.0, 1.0), "cases": 1}
    list(needle(models, **places, **asked))
    made = []
    make = Task.make
    monkeypatch.setattr(Task, "make", lambda self, *of, **more: made.append(of[1:3]) or make(self, *of, **more))
    told = list(needle(models, **places, **asked))
    assert ([p.answer for p in told], made) == ([None] * len(told), [])
    list(needle(models, **places | {"lengths": (300, 350, 400)}, **asked))
    assert {length for length, _ in made} == {350}
    made.clear()
    text.write_text("The young man went down to the sea. " * 80)  # another haystack: other questions
    assert sum(p.answer is not None for p in needle(models, **places, **asked)) == 4 * len(models)  # not the lines
    whole = read_trials(tmp_path / "study")
    older = tmp_path / "older"  # begun before recipes were written down
    TrialStore(older, {"kind": "retrieval", "format": 1, "seed": 0, "form": "chat"})
    whole.drop(columns="recipe").to_parquet(older / "part-0.parquet")
    again = list(needle(models, **places, **asked | {"folder": older}))
    assert [p.answer for p in again] == [None] * len(told)


def test_shares_of_several_processes_are_the_whole(models: list[wb.Model], tmp_path: Path) -> None:
    whole = needle(models, **SIZES)
    list(whole)
    for rank in range(2):
        list(needle(models, **SIZES, folder=tmp_path, share=(rank, 2)))
    pd.testing.assert_frame_equal(
        finished(Grid.open(tmp_path).trials), finished(whole.grid.trials), check_dtype=False, atol=1e-3
    )


def test_stopped_it_keeps_what_is_done(models: list[wb.Model], tmp_path: Path) -> None:
    stop = threading.Event()
    study = needle(models, **SIZES, folder=tmp_path, stop=stop)
    for told in study:
        if told.done == 3:
            stop.set()
    assert len(study.grid) == 3
    assert sum(p.answer is not None for p in needle(models, **SIZES, folder=tmp_path)) == 13


MANY = {"lengths": (120, 200), "depths": (0.0, 0.5, 1.0), "cases": 8}


def killed(model: str, folder: Path) -> None:
    """A study in a process of its own, which is killed after its eighth answer."""
    for told in needle([wb.load(model)], **MANY, folder=folder):
        if told.done == 8:
            os.kill(os.getpid(), signal.SIGKILL)


def test_killed_in_the_middle_nothing_is_lost_or_done_twice(models: list[wb.Model], tmp_path: Path) -> None:
    folder = tmp_path / "study"
    process = forking().Process(target=killed, args=(models[0].name, folder), daemon=True)
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    journal = next(folder.glob("part-*.jsonl"), None)
    if journal is not None:  # what a kill in the middle of a line leaves
        with open(journal, "a") as file:
            file.write('{"key": "half')
    kept = read_trials(folder)
    assert 8 <= len(kept) < 48
    rest = [p for p in needle(models[:1], **MANY, folder=folder) if p.answer]
    assert len(rest) == 48 - len(kept)
    assert len(Grid.open(folder)) == 48


def test_a_store_refuses_in_a_sentence(models: list[wb.Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    list(needle(models[:1], (120,), (0.5,), cases=1, folder=tmp_path))
    with pytest.raises(FileFormatError, match="with seed 0, not 1"):
        needle(models[:1], (120,), (0.5,), cases=1, seed=1, folder=tmp_path)
    with pytest.raises(FileFormatError, match="no study"):
        Grid.open(tmp_path / "nowhere")
    (tmp_path / "part-x.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(FileFormatError, match=r"part-x\.parquet is damaged"):
        Grid.open(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(FileFormatError, match="cannot be written"):
        TrialStore(tmp_path / "file" / "study", {})
    store = TrialStore(tmp_path / "full", {})
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(FileFormatError, match="Make room"):
        store.add({"key": "a"})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"lengths": (120, 10**6)}, "at most"),
        ({"lengths": ()}, "no lengths"),
        ({"cases": 0}, "0 cases"),
        ({"depths": (2.0,)}, "out of range"),
        ({"tasks": "nothing"}, "no task 'nothing'"),
        ({"haystack": "nowhere.txt"}, "cannot be read"),
    ],
)
def test_what_cannot_be_asked(models: list[wb.Model], given: dict, said: str) -> None:
    with pytest.raises(WorkbenchError, match=said):
        list(needle(models, **{**SIZES, **given}))
    with pytest.raises(WorkbenchError, match="one name"):
        needle([models[0], models[0]], **SIZES)


def synthetic(rights: dict[tuple[str, int], list[int]]) -> Grid:
    """A grid of made-up answers by model and length."""
    rows = [
        {"key": f"{model}{length}{i}", "item": f"{length}/{i}", "model": model, "task": "needle", "length": length,
         "depth": 0.5, "right": bool(right), "share": right, "logprob": -1.0 - right, "expected_tokens": 2,
         "seconds": 1}
        for (model, length), answers in rights.items()
        for i, right in enumerate(answers)
    ]  # fmt: skip
    return Grid(pd.DataFrame(rows))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=30))
def test_cells_and_pairs_are_what_counting_says(answers: list[tuple[bool, bool]]) -> None:
    first, second = [int(a) for a, _ in answers], [int(b) for _, b in answers]
    grid = synthetic({("a", 100): first, ("b", 100): second})
    assert grid.caution == ""
    shared = Grid(grid.trials.assign(haystack="noise", task="passkey"))
    assert "passkey repeat one noise" in shared.caution and shared.caution[:-1] in shared.tables()[0][0]
    cell = grid.cells.set_index("model").loc["a"]
    assert (cell["n"], cell["right"]) == (len(first), pytest.approx(np.mean(first)))
    assert (cell["low"], cell["high"]) == wilson(sum(first), len(first))
    assert cell["logprob"] == pytest.approx((-1 - np.mean(first)) / 2)
    pair = grid.paired("a", "b").iloc[0]
    table = pd.crosstab(first, second).reindex([0, 1]).reindex(columns=[0, 1]).fillna(0)
    assert (pair["neither"], pair["only_b"], pair["only_a"], pair["both"]) == tuple(table.to_numpy().ravel())
    assert pair["p"] == sign_test(pair["only_b"], pair["only_a"])


def test_the_effective_length_is_the_last_of_those_that_hold() -> None:
    grid = synthetic({("a", 100): [1] * 40, ("a", 200): [1] * 36 + [0] * 4, ("a", 300): [0] * 40, ("a", 400): [1] * 40})
    found = grid.effective_length(0.856).iloc[0]
    assert (found["effective_length"], found["sure"], found["longest"]) == (200, 100, 400)
    assert grid.effective_length(1.0).iloc[0]["effective_length"] == 100
    with pytest.raises(WorkbenchError, match="threshold"):
        grid.effective_length(0)
    with pytest.raises(WorkbenchError, match="no item in common"):
        grid.paired("a", "b")


def test_what_is_exported_can_be_read(models: list[wb.Model], tmp_path: Path) -> None:
    study = needle(models[:1], (120,), (0.0, 1.0), cases=1, tasks=["needle"])
    list(study)
    lines = [json.loads(line) for line in study.grid.save_jsonl(tmp_path / "g.jsonl").read_text().splitlines()]
    assert lines[0]["provenance"]["models"][models[0].name]["weights"] == models[0].weights_hash
    assert {line["item"] for line in lines[1:]} == set(study.grid.trials["item"])
    assert pd.read_csv(study.grid.save_csv(tmp_path / "g.csv"))["n"].tolist() == [1, 1]
    assert "2 trials" in study.grid._repr_mimebundle_()["text/html"]
    assert len(study.grid.figure().data) == 1


def test_the_pace_tells_the_time_left(models: list[wb.Model]) -> None:
    began = time.perf_counter()
    left = [p.seconds_left for p in needle(models, **SIZES)]
    assert all(one is not None and one >= 0 for one in left)
    assert left[0] is not None
    assert left[0] < 100 * (time.perf_counter() - began)


def test_cache_policies_are_a_dimension_of_the_grid(models: list[wb.Model], tmp_path: Path) -> None:
    policies = [policy(said) for said in ("full", "rolling=4000", "sinks=2+20", "snapkv=50%")]
    study = needle(models[1], (120, 200), (0.0, 1.0), cases=1, folder=tmp_path, caches=readers(policies))
    list(study)
    name = models[1].name
    assert set(study.grid.trials["model"]) == {name, *(f"{name} [{one}]" for one in policies[1:])}
    assert set(study.grid.trials["cache"]) == {str(one) for one in policies}
    plain = needle(models[1], (120, 200), (0.0, 1.0), cases=1)
    list(plain)
    full = study.grid.trials[study.grid.trials["cache"] == "full"]
    assert set(full["key"]) == set(plain.grid.trials["key"])
    wide = study.grid.paired(name, f"{name} [rolling=4000]")
    assert wide["logprob_difference"].abs().max() < 1e-3  # it keeps everything
    small = study.grid.paired(name, f"{name} [sinks=2+20]")
    assert small["logprob_difference"].abs().max() > 1e-2
    again = needle(models[1], (120, 200), (0.0, 1.0), cases=1, folder=tmp_path, caches=readers(policies))
    assert [told.answer for told in again] == [None] * 16


def test_what_a_journal_holds_is_read_again(tmp_path: Path) -> None:
    store = TrialStore(tmp_path, {})
    for i, answer_text in enumerate(["one\u2028two", "three\u2029", "\u0085", "a\r\nb"]):
        store.add({"key": str(i), "answer": answer_text})
    assert store.known() == {"0", "1", "2", "3"}
    store.seal()
    assert read_trials(tmp_path)["answer"].tolist() == ["one\u2028two", "three\u2029", "\u0085", "a\r\nb"]


def test_the_same_question_twice_is_one_trial(models: list[wb.Model]) -> None:
    study = needle(models[:1], (160, 160), (0.5, 0.5), cases=1)
    assert [told.answer is None for told in study] == [False, True, True, True]
    assert len(study.grid) == 1
