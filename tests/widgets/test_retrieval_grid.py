"""The retrieval grid as the kernel knows it: a study that runs, cells, questions, mechanisms, and what is saved."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from workbench.context.tasks import TASKS
from workbench.errors import WorkbenchError
from workbench.views.arrays import unpack_array
from workbench.widgets import RetrievalGrid


@pytest.fixture(scope="module")
def models(tiny_checkpoint: Callable[..., Path]) -> list[wb.Model]:
    return [wb.load(str(tiny_checkpoint(window=24))), wb.load(str(tiny_checkpoint(seed=1)))]


@pytest.fixture(scope="module")
def done(models: list[wb.Model]) -> Iterator[tuple[RetrievalGrid, list[Any]]]:
    """A grid whose study has run in its worker thread, and what it sent meanwhile."""
    shown = RetrievalGrid(wb.needle(models, lengths=[128, 160], depths=[0, 1], cases=1))
    sent: list[Any] = []
    shown.send = lambda content, buffers=None: sent.append(content)  # type: ignore[method-assign]
    assert (unpack_array(shown.picture()["payload"]["grids"][0]["n"]) == 0).all(), "every cell, none of them tried"
    shown.run()
    shown.wait()
    yield shown, sent
    shown.close()


def test_it_fills_while_the_study_runs(done: tuple[RetrievalGrid, list[Any]], models: list[wb.Model]) -> None:
    shown, sent = done
    assert not shown.busy
    assert shown.note == ""
    assert shown.progress["done"] == shown.progress["of"] == 8
    assert [message["grid"] for message in sent][-1] == "grown"
    payload = sent[-1]["payload"]
    json.dumps(sent, allow_nan=False)
    assert payload["lengths"] == [128, 160]
    assert payload["depths"] == [0, 1]
    for model, grid in zip(models, payload["grids"], strict=True):
        cells = shown.grid.cells
        mine = cells[cells["model"] == model.name].sort_values(["depth", "length"])
        assert unpack_array(grid["score"]).ravel().tolist() == pytest.approx(mine["right"].tolist())
        assert (unpack_array(grid["n"]) == 1).all()
    shown.measure = "logprob"
    mean = shown.grid.cells.query("model == @models[0].name").sort_values(["depth", "length"])["logprob"]
    drawn = unpack_array(shown.picture()["payload"]["grids"][0]["score"])
    assert drawn.ravel().tolist() == pytest.approx(mean.tolist(), rel=1e-6)
    shown.measure = "right"


def test_a_cell_opens_on_its_questions_and_on_why(
    done: tuple[RetrievalGrid, list[Any]], models: list[wb.Model]
) -> None:
    shown, sent = done
    seen: list[Any] = []
    shown.observe(lambda change: seen.append(change["new"]), "selection")
    shown.set_state({"selection": {"task": "needle", "length": 160, "depth": 1, "model": models[1].name}})
    assert seen == [shown.selection] == [{"task": "needle", "length": 160, "depth": 1.0, "model": models[1].name}]
    (one,) = shown.questions()
    assert set(one["answers"]) == {model.name for model in models}
    assert [part["kind"] for part in one["parts"]].count("needle") == 1
    assert one["references"][0] in "".join(part["text"] for part in one["parts"] if part["kind"] == "needle")
    row = shown.grid.trials.query("length == 160 and depth == 1").iloc[0]
    assert one["item"] == row["item"]
    found = shown.explain()
    assert found.model == models[1].name
    assert found.item.key == one["item"]
    place = {"task": "needle", "length": 160, "depth": 1}
    answer = shown.answer({"kind": "questions", **place})
    json.dumps(answer, allow_nan=False)
    assert [(known["case"], known["model"]) for known in answer["known"]] == [(0, models[1].name)]
    # The page's "Why?" is answered by a message when it is worked out.
    told = threading.Event()
    send = shown.send
    shown.send = lambda content, buffers=None: (send(content), told.set())  # type: ignore[method-assign,func-returns-value]
    assert shown.answer({"kind": "why", **place, "case": 0, "model": models[0].name}) == {}
    assert told.wait(60)
    assert sent[-1]["found"]["said"].startswith(models[0].name.rsplit("/", 1)[-1])
    told.clear()
    shown.answer({"kind": "why", **place, "case": 7, "model": models[0].name})
    assert told.wait(60)
    assert "Question 7 was not asked" in sent[-1]["error"]
    shown.selection = {}


@pytest.mark.parametrize(
    "wanted",
    [{"length": 1}, {"length": 128, "depth": 0.4}, {"length": 128, "depth": 0, "task": "x"},
     {"length": 128, "depth": 0, "model": "x"}, {"depth": [1]}],
)  # fmt: skip
def test_a_cell_that_does_not_exist_changes_nothing(done: tuple[RetrievalGrid, list[Any]], wanted: Any) -> None:
    shown, _ = done
    with pytest.raises(WorkbenchError, match=r"grid has no|not in the grid"):
        shown.selection = wanted
    assert shown.selection == {}
    with pytest.raises(WorkbenchError, match="No cell is open"):
        shown.questions()
    with pytest.raises(WorkbenchError, match="no task"):
        shown.task = "x"
    with pytest.raises(WorkbenchError, match="one or two"):
        shown.models_shown = ["x"]


def test_a_result_needs_a_model_only_for_its_questions(
    done: tuple[RetrievalGrid, list[Any]], models: list[wb.Model]
) -> None:
    whole, _ = done
    shown = RetrievalGrid(whole.grid)
    assert shown.picture()["payload"]["lengths"] == [128, 160]
    cell = {"length": 128, "depth": 0}
    with pytest.raises(WorkbenchError, match=r"models=\[wb\.load"):
        shown.questions(cell)
    with pytest.raises(WorkbenchError, match="nothing is left to run"):
        shown.run()
    assert RetrievalGrid(whole.grid, models=models[0]).questions(cell) == whole.questions(cell)
    with pytest.raises(WorkbenchError, match="a study of wb"):
        RetrievalGrid("folder")  # type: ignore[arg-type]


def test_tasks_of_one_name_are_told_apart(models: list[wb.Model], tmp_path: Path) -> None:
    """In one folder, and in one study: each opens on its own questions."""
    asked = {"lengths": [128], "depths": [0], "cases": 1, "folder": tmp_path}
    for haystack in ("drawn", "noise"):
        study = wb.needle(models[0], haystack=haystack, **asked)
        list(study)
    names = ["needle [drawn]", "needle [noise]"]
    shown = RetrievalGrid(wb.Grid.open(tmp_path), models=models[0])
    assert sorted(one["name"] for one in shown.tasks) == names
    assert {one["title"] for one in shown.tasks} == {
        f"{TASKS['needle'].title} [drawn]",
        f"{TASKS['needle'].title} [noise]",
    }
    questions = {name: shown.questions({"task": name, "length": 128, "depth": 0}) for name in names}
    assert ["The grass is green" in str(one["parts"]) for (one,) in questions.values()] == [False, True]
    # The study that asked the second alone keeps its plain name, and shows nothing of the first.
    later = RetrievalGrid(study)
    assert [one["name"] for one in later.tasks] == ["needle"]
    assert later.questions({"task": "needle", "length": 128, "depth": 0}) == questions["needle [noise]"]
    assert unpack_array(later.picture()["payload"]["grids"][0]["n"]).tolist() == [[1]]
    both = RetrievalGrid(wb.needle(models[0], tasks=[TASKS["needle"](), TASKS["needle"]("noise")], **asked))
    assert [one["name"] for one in both.tasks] == names
    for name in names:
        assert both.questions({"task": name, "length": 128, "depth": 0}) == questions[name]


def test_stopped_and_gone_on_with_by_hand(models: list[wb.Model]) -> None:
    shown = RetrievalGrid(wb.needle(models[0], lengths=[128], depths=[0, 1], cases=2))
    for told in shown:
        if told.done == 1:
            shown.stop()
    assert shown.progress["done"] < 4
    shown.run()
    assert len(shown.wait()) == 4
    assert shown.progress["done"] == 4


def test_a_notebook_saves_a_few_kilobytes(done: tuple[RetrievalGrid, list[Any]]) -> None:
    shown, _ = done
    assert len(json.dumps(shown.get_state(), default=str)) < 20_000
    data, _ = shown._repr_mimebundle_()
    assert "Grid(8 trials" in data["text/html"]
    assert "JupyterLab" in data["text/plain"]
