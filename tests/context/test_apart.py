"""One shared folder, one name for several things: precisions, haystacks and files of one's own stay apart."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import workbench as wb
from workbench.context.apart import told_apart
from workbench.context.grid import Grid
from workbench.context.store import TrialStore, read_trials
from workbench.context.study import needle
from workbench.errors import PromptError, WorkbenchError


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Callable[..., Path]) -> wb.Model:
    return wb.load(str(tiny_checkpoint()))


def asked(folder: Path, *models: wb.Model, length: int = 120, **more: object) -> Grid:
    study = needle(list(models), (length,), (0.5,), cases=2, folder=folder, **more)  # type: ignore[arg-type]
    list(study)
    return study.grid


def own(path: Path, fact: str, expected: str | None = None) -> Path:
    line = {"needle": fact, "question": "Who?", "answer": "Ann"} | ({"expected": expected} if expected else {})
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(line) + "\n")
    return path


def test_two_precisions_of_one_model_are_two_models(
    model: wb.Model, tiny_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    other = wb.load(str(tiny_checkpoint()), dtype="bfloat16")
    assert other.name == model.name
    assert set(asked(tmp_path, model).cells["model"]) == {model.name}
    grid = asked(tmp_path, other)
    names = [f"{model.name} [bfloat16]", f"{model.name} [float32]"]
    assert sorted(grid.cells["model"]) == grid.models == names
    assert set(grid.cells["n"]) == {2}
    assert list(grid.paired(*names)["n"]) == [2]
    with pytest.raises(WorkbenchError, match=r"stands for several models here; expected .*bfloat16. or .*float32"):
        grid.paired(model.name, model.name)
    assert Grid.open(tmp_path).models == names


def test_two_haystacks_and_two_files_are_two_tasks(model: wb.Model, tmp_path: Path) -> None:
    book = tmp_path / "book.txt"
    book.write_text("A line of a book. " * 60)
    grid = asked(tmp_path / "a", model)
    grid = asked(tmp_path / "a", model, haystack=str(book))
    assert [one.split(" ")[:2] for one in grid.cells["task"]] == [["needle", "[book.txt"], ["needle", "[drawn]"]]
    one, two = (own(tmp_path / name / "mine.jsonl", f"{name} is the one.") for name in ("Ann", "Bob"))
    asked(tmp_path / "b", model, tasks=str(one))
    found = asked(tmp_path / "b", model, tasks=str(two)).cells["task"]
    assert len(set(found)) == 2
    assert all(task.startswith("own [mine.jsonl ") and task.endswith(" in drawn]") for task in found)
    for haystack in ("drawn", "noise"):  # a text of its own hides nothing in a haystack
        grid = asked(tmp_path / "c", model, tasks="lines", haystack=haystack, length=260)
    assert set(grid.cells["task"]) == {"lines"}


def test_what_an_older_folder_does_not_say_tells_nothing_apart() -> None:
    rows = pd.DataFrame({"model": ["a", "a", "b"], "task": ["needle"] * 3})
    pd.testing.assert_frame_equal(told_apart(rows), rows)
    mixed = told_apart(rows.assign(dtype=["float32", None, "float32"], weights=["1" * 64, "2" * 64, "1" * 64]))
    assert list(mixed["model"]) == ["a [float32 11111111]", "a [22222222]", "b"]


def test_an_expected_answer_over_its_budget_names_its_line(model: wb.Model, tmp_path: Path) -> None:
    long = own(tmp_path / "x" / "mine.jsonl", "Ann is the one.", "Ann " * 60)
    count = len(model.tokenizer.encode("Ann " * 60))
    with pytest.raises(PromptError) as caught:
        needle(model, (200,), (0.5,), cases=1, tasks=str(long))
    assert str(caught.value) == (
        f'mine.jsonl, line 1: "expected" has {count} tokens; expected at most 48, which each context keeps free for '
        'the answer. Write a shorter one; all that is looked for in the reply stands in "answer".'
    )
    needle(model, (200,), (0.5,), cases=1, tasks=str(own(tmp_path / "x" / "mine.jsonl", "Ann is the one.")))


def test_a_journal_sealed_while_the_folder_is_read_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process seals between the listing and the reading: what it had finished is in this very reading."""
    mine, theirs = (TrialStore(tmp_path, {"kind": "retrieval"}) for _ in range(2))
    mine.add({"key": "a"})
    theirs.add({"key": "b"})
    sealed = threading.Event()
    stat = Path.stat

    def late(path: Path, **more: bool) -> object:
        if path.suffix == ".jsonl" and not sealed.is_set():
            sealed.set()
            mine.seal()
            theirs.seal()
        return stat(path, **more)

    monkeypatch.setattr(Path, "stat", late)
    assert list(read_trials(tmp_path)["key"]) == ["a", "b"]
    assert sealed.is_set()
    assert not list(tmp_path.glob("*.jsonl"))
