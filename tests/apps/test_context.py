"""What the Context length page refuses, keeps and shows: forms, folders, questions cut short, the recorded grid."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workbench as wb
from apps.studio.asked_grid import MOST_CASES, AskedGrid, planned, read
from apps.studio.folders import OWN, Folders
from apps.studio.grid_events import GridEvents
from apps.studio.grid_questions import questions
from apps.studio.grid_shown import shown
from apps.studio.heads_events import HeadsEvents
from apps.studio.loss_events import LossEvents
from apps.studio.named_models import Named, Offered
from apps.studio.pace import forecast
from apps.studio.reach_events import ReachEvents
from apps.studio.recorded_grid import MODELS, recorded_grid
from apps.studio.shelf import Shelf
from apps.studio.studio import Studio
from workbench.errors import WorkbenchError
from workbench.views.arrays import unpack_array
from workbench.views.questions import cut

FORM = {"models": ["a"], "tasks": ["needle"], "lengths": [128], "depths": [0.5], "cases": 1, "seed": 0, "form": "chat"}
OFFERED = [Named("a"), Named("a", {"window": None})]
TAB = "t" * 24


@pytest.mark.parametrize(
    "wrong",
    [
        {"models": []}, {"models": ["b"]}, {"models": "a"}, {"tasks": ["nothing"]}, {"tasks": ["own"]},
        {"tasks": ["own"], "own": "\ud800"}, {"lengths": []}, {"lengths": [128.5]}, {"lengths": [True]},
        {"lengths": list(range(1, 99))}, {"depths": [1.5]}, {"depths": ["deep"]}, {"cases": 0},
        {"cases": MOST_CASES + 1}, {"cases": "3"}, {"seed": -1}, {"form": "poem"}, {"haystack": 7},
        {"cases": 50, "lengths": list(range(100, 120)), "depths": [i / 20 for i in range(20)]},
    ],
)  # fmt: skip
def test_a_bad_form_is_a_sentence(wrong: dict[str, Any]) -> None:
    with pytest.raises(WorkbenchError, match=r"\."):
        read({**FORM, **wrong}, OFFERED)


def test_a_form_is_read_and_its_code_runs(shelf: Shelf, names: list[str], tmp_path: Path) -> None:
    offered = Offered(shelf).named()
    assert [one.name for one in offered[:2]] == names
    ids = [offered[0].id, next(one.id for one in offered if one.switches == {"window": None})]
    asked = read({**FORM, "models": ids, "tasks": ["needle", "common-words"], "lengths": [700]}, offered)
    models = [Offered(shelf).model(one) for one in asked.models]
    plan = wb.needle(models, asked.lengths, asked.depths, tasks=asked.tasks, cases=1).plan
    assert planned(asked) == plan.count == 4
    assert [model.name for model in models] == [one.name for one in asked.models]
    compile(asked.code, "code", "exec")


def test_folders_are_bounded_and_each_visitors_own() -> None:
    folders = Folders("test")
    first = folders.of("one", "0")
    first.mkdir(parents=True)
    assert folders.of("two", "0") != first
    for i in range(1, OWN + 1):
        folders.of("one", str(i))
    assert not first.exists()
    assert folders.known("one") == [str(i) for i in range(1, OWN + 1)]


def test_the_recorded_grid_is_what_the_twins_were_asked() -> None:
    recorded = recorded_grid()
    assert recorded is not None
    asked, grid, told = recorded
    assert asked.models == MODELS and planned(asked) == len(grid) == 1200
    assert "python -m apps.studio.recorded_grid" in told["said"]
    model = wb.load("twin-v0.2")
    for row in questions(grid, asked, None, model, "passkey", 384, 0.25):
        assert row["same"], "the item made again is the one that was recorded"
        assert set(row["answers"]) == {one.name for one in MODELS}
    found = shown(grid, asked, "recorded", 0.856)
    for name in ("twin-v0.1", "twin-v0.2"):
        view = found["views"]["needle"]["right"][name]
        cells = grid.cells.query("task == 'needle' and model == @name").pivot(index="depth", columns="length")
        np.testing.assert_allclose(unpack_array(view["grids"][0]["score"]), cells["right"].to_numpy(), atol=1e-6)
        np.testing.assert_allclose(unpack_array(view["grids"][0]["low"]), cells["low"].to_numpy(), atol=1e-6)
    again = model.generate(  # one answer as it is recorded
        asked.item(model.tokenizer, None, "needle", 256, 0.5, 3).prompt, wb.Sampling(max_new_tokens=32, temperature=0.0)
    )
    text = "".join(step.text for step in again).strip()
    row = grid.trials.query(
        "model == 'twin-v0.2' and task == 'needle' and length == 256 and depth == 0.5 and case == 3"
    )
    assert row["answer"].item() == text


def test_a_cut_prompt_keeps_ends_and_needles() -> None:
    asked = AskedGrid((Named("a"),), ("multi-value",), (1024,), (0.4,), 1)
    item = asked.item(wb.load("twin-v0.1").tokenizer, None, "multi-value", 1024, 0.4, 0)
    parts = cut(item)
    kept = [part["text"] for part in parts if part["kind"] != "cut"]
    left = sum(int(part["text"].replace(",", "")) for part in parts if part["kind"] == "cut")
    assert sum(map(len, kept)) + left == len(item.prompt.text) and left > 0
    assert item.prompt.text.startswith(parts[0]["text"]) and item.prompt.text.endswith(parts[-1]["text"])
    marked = "".join(part["text"] for part in parts if part["kind"] == "needle")
    assert all(reference in marked for reference in item.references)


def test_a_grid_is_measured_kept_and_gone_on_with(names: list[str]) -> None:
    studio = Studio.of(names)
    events = GridEvents(studio)
    form = {**FORM, "tab": TAB, "models": [names[0], names[1]], "lengths": [128, 160], "depths": [0.0, 1.0]}

    def ended(job: dict[str, Any]) -> dict[str, Any]:
        while (status := studio.jobs.status(TAB, job["job"]))["state"] in ("waiting", "running"):
            time.sleep(0.02)
        assert status["state"] == "done", status["error"]
        found: dict[str, Any] = status["result"]
        return found

    first = ended(events.grid_start(form))
    assert first["done"] == first["of"] == 8
    more = ended(events.grid_start({**form, "cases": 2}))
    assert more["study"] == first["study"] and more["done"] == 16
    asked, grid, _ = events._study({"tab": TAB, "study": more["study"]})
    assert asked.cases == 2 and len(grid) == 16
    assert set(grid.provenance["models"]) == set(names)
    with pytest.raises(WorkbenchError, match="no longer here"):
        events.grid_shown({"tab": "another" * 4, "study": more["study"]})
    with pytest.raises(WorkbenchError, match="not in the grid"):
        events.grid_questions({"tab": TAB, "study": more["study"], "task": "needle", "length": 129, "depth": 0})
    cost = forecast(wb.needle([studio.shelf.get(names[0])], [128, 160], [0.5], cases=2), threading.Event())
    assert (
        cost.trials == 4 and cost.seconds > 0 and cost.kv_bytes == 160 * studio.shelf.get(names[0]).kv_bytes_per_token
    )


def test_the_7b_pair_needs_no_weights(names: list[str]) -> None:
    found = ReachEvents(Studio.of(names)).reach_shown({"tokens": 4096, "pair": "7B"})
    assert [(one["theta"], one["slow"], one["pairs"]) for one in found["ropes"]] == [(1e4, 18, 64), (1e6, 33, 64)]
    first, second = found["models"]
    assert (first["reach"], first["field"][1], second["reach"]) == (131_041, 4096, None)
    far = ReachEvents(Studio.of(names)).reach_shown({"tokens": 32768, "pair": "7B"})
    assert [one["slow"] for one in far["ropes"]] == [4, 24]
    assert far["models"][0]["seen"] == [32768 - 4096, 32767]


def test_other_bad_requests_are_sentences(names: list[str]) -> None:
    studio = Studio.of(names)
    for call, request in (
        (LossEvents(studio).loss_start, {"models": []}),
        (LossEvents(studio).loss_start, {"models": [names[0]], "text": 3}),
        (LossEvents(studio).loss_induction, {"models": [names[0]], "periods": []}),
        (ReachEvents(studio).reach_shown, {"tokens": 1}),
        (ReachEvents(studio).reach_measure, {"model": names[0], "tokens": 64, "method": "guess"}),
        (HeadsEvents(studio).heads_start, {"model": names[0], "task": "needle", "lengths": [128], "cases": 2, "seed": 0,
                                           "least": 0, "silence": 1, "controls": 0}),
        (GridEvents(studio).grid_effective, {"study": "recorded", "threshold": 2}),
        (GridEvents(studio).grid_file, {"study": "recorded", "kind": "exe"}),
    ):  # fmt: skip
        with pytest.raises(WorkbenchError, match=r"\."):
            call(request)
