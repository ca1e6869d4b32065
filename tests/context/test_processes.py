"""A study by several real processes: equal to one process, whole again after one is killed; nobody waits for ever."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workbench as wb
from tests.forked import Forked
from tests.ports import free_port
from workbench.context.grid import Grid
from workbench.context.plan import Group, Plan
from workbench.context.processes import Processes, together
from workbench.context.shares import shares
from workbench.context.store import read_trials
from workbench.context.study import RetrievalStudy, needle
from workbench.context.tasks import task

SIZES = {"lengths": (120, 160), "depths": (0.0, 1.0), "cases": 3}


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Callable[..., Path]) -> wb.Model:
    return wb.load(str(tiny_checkpoint()))


def started(model: wb.Model, folder: Path, *more: str) -> list[Forked]:
    """Two processes as a launcher starts them, which go on by themselves when the other dies."""
    words = ["needle", "--model", model.name, "--lengths", "120,160", "--depths", "0,1", "--cases", "3", *more]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    return [
        Forked(
            [*words, "--out", folder / "study"], folder / str(rank),
            shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]  # fmt: skip


def finished(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sort_values("key").drop(columns=["seconds", "created", "read"]).reset_index(drop=True)


@pytest.fixture(scope="module")
def alone(model: wb.Model) -> pd.DataFrame:
    """What one process finds."""
    study = needle([model], **SIZES)
    list(study)
    return finished(study.grid.trials)


def test_two_processes_find_what_one_does(model: wb.Model, alone: pd.DataFrame, tmp_path: Path) -> None:
    processes, study = started(model, tmp_path), tmp_path / "study"
    codes = [process.wait() for process in processes]
    assert codes == [0, 0], [process.said + process.complaint for process in processes]
    assert "effective length" in processes[0].said
    assert processes[1].said == ""
    assert len({path.name.split("-")[-3] for path in study.glob("part-*.parquet")}) == 2  # both did a share
    assert not list(study.glob("sign-*"))
    pd.testing.assert_frame_equal(finished(Grid.open(study).trials), alone, check_dtype=False, atol=1e-3)


def test_one_is_killed_and_the_first_completes(model: wb.Model, alone: pd.DataFrame, tmp_path: Path) -> None:
    first, second = started(model, tmp_path, "--patience", "2")
    while not list((tmp_path / "study").glob("sign-*-1.json")):
        assert first.running() and second.running()
        time.sleep(0.01)
    second.send(signal.SIGKILL)
    assert first.wait() == 0, first.said + first.complaint
    assert second.wait() == -signal.SIGKILL
    pd.testing.assert_frame_equal(finished(Grid.open(tmp_path / "study").trials), alone, check_dtype=False, atol=1e-3)


def test_the_first_is_gone_and_a_rerun_does_the_rest(model: wb.Model, alone: pd.DataFrame, tmp_path: Path) -> None:
    def made(share: tuple[int, int]) -> RetrievalStudy:
        return needle([model], **SIZES, folder=tmp_path, share=share)

    second = list(together(made, Processes(1, 2, "a"), tmp_path))  # comes to its end without the first
    assert len(second) == len(read_trials(tmp_path)) == made((1, 2)).count
    again = [told for told in needle([model], **SIZES, folder=tmp_path) if told.answer]
    assert len(again) == 12 - len(second)
    pd.testing.assert_frame_equal(finished(Grid.open(tmp_path).trials), alone, check_dtype=False, atol=1e-3)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 9), st.integers(1, 5), st.lists(st.integers(100, 2000), min_size=1, max_size=6, unique=True),
       st.integers(1, 6))  # fmt: skip
def test_shares_hold_every_trial_once_and_are_alike(
    model: wb.Model, count: int, cases: int, lengths: list[int], depths: int
) -> None:
    plan = Plan((model,), (task("needle"),), tuple(lengths), tuple(i / depths for i in range(depths)), cases)

    def named(groups: list[Group]) -> list[tuple[int, int, float]]:
        return [(group.case, *place) for group in groups for place in group.places]

    whole = named(plan.groups())
    dealt = shares(plan.groups(), count)
    order = {one: i for i, one in enumerate(whole)}
    assert sorted(one for share in dealt for one in named(share)) == sorted(whole)
    for share in dealt:
        places = [order[one] for one in named(share)]
        assert places == sorted(places)
    work = [sum(group.work for group in share) for share in dealt]
    largest = max(group.work for share in dealt for group in share)
    assert max(work) <= sum(work) / count + largest


def test_the_last_process_has_no_less_than_half(model: wb.Model) -> None:
    plan = Plan((model,), (task("needle"),), (500, 1000, 2000), (0.0, 0.5, 1.0), 2)
    work = [sum(group.work for group in share) for share in shares(plan.groups(), 4)]
    assert min(work) > max(work) / 2
