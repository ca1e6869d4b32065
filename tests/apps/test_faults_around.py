"""What breaks around the models: one that cannot be loaded, a full disk, tabs that are forgotten."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import workbench as wb
from apps.server.faults import DISK, SENTENCES
from apps.server.settings import Settings
from apps.studio import shelf as shelving
from apps.studio.app import build
from apps.studio.exchange import ask
from apps.studio.fact_events import FactEvents
from apps.studio.folders import OWN, Folders
from apps.studio.grid_events import GridEvents
from apps.studio.named_models import Offered
from apps.studio.orders import Order
from apps.studio.recorded import Recorded
from apps.studio.run_events import RunEvents
from apps.studio.runs import RunStore
from apps.studio.shelf import RETRY, Shelf
from apps.studio.state import page_state
from apps.studio.studio import Studio
from workbench.context.store import TrialStore, read_trials
from workbench.errors import FileFormatError, WorkbenchError

SHORT = wb.Sampling(max_new_tokens=4)
ME, OTHER = "m" * 24, "o" * 24


def missing(good: str, folder: Path) -> str:
    return str(folder / "not there")


def damaged(good: str, folder: Path) -> str:
    """A checkpoint that ends in the middle of its weights."""
    shutil.copytree(good, folder / "damaged")
    weights = folder / "damaged" / "model.safetensors"
    os.truncate(weights, weights.stat().st_size // 2)
    return str(weights.parent)


@pytest.mark.parametrize(("broken", "said"), [(missing, "no folder"), (damaged, "damaged or cut short")])
def test_the_app_starts_with_one_model_that_cannot_be_loaded(
    broken: Callable[[str, Path], str], said: str, names: list[str], recorded: Recorded, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The page says so in its column; the other answers, recorded runs open, sections offer what there is."""
    bad, good = broken(names[1], tmp_path), names[1]
    studio = build([bad, good], recorded).studio  # type: ignore[attr-defined]
    assert isinstance(studio, Studio)
    studio.shelf.warm()
    assert said in capsys.readouterr().out
    session = studio.sessions.of(ME)
    for _ in ask(session, studio.shelf, studio.runs, Order("ask", "Hello"), SHORT, studio.admission):
        pass
    column, other = session.columns[bad], session.columns[good]
    assert said in column.note and "could not be loaded" in column.note and len(column.conversation) == 1
    assert other.note == "" and len(studio.runs.get(other.run).steps) == 4
    shown = page_state(studio.sessions.of(OTHER), studio.shelf)["columns"]
    assert said in shown[0]["note"] and shown[1]["note"] == ""
    for name, run in recorded.runs.items():
        assert studio.runs.get(recorded.run_id(name)) is run
    assert {one.base for one in Offered(studio.shelf).named()} == {good}
    assert [card["model"] for card in FactEvents(studio).fact_cards({})["cards"]] == [good]
    assert studio.admission.counts("reply") == (0, 0)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), ValueError("secret")])
def test_a_model_that_could_not_be_loaded_is_tried_again_later(
    error: Exception, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now, asked, load = [0.0], [], wb.load

    def loading(name: str, **options: Any) -> wb.Model:
        asked.append(name)
        if len(asked) == 1:
            raise error
        return load(name, **options)

    monkeypatch.setattr(shelving.wb, "load", loading)
    shelf = Shelf(names, clock=lambda: now[0])
    for _ in range(2):
        with pytest.raises(WorkbenchError, match="could not be loaded, and is tried again after 30 s") as told:
            shelf.get(names[0])
        assert "secret" not in str(told.value)
    assert len(asked) == 1, "each visitor would wait for the same failure"
    assert list(shelf.ready()) == names[1:]
    now[0] = RETRY
    assert shelf.get(names[0]).name == names[0]
    assert "failed" not in shelf.describe(names[0])


def test_nothing_that_can_be_loaded_is_a_sentence(names: list[str], tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="no folder"):
        Shelf([missing("", tmp_path)])
    shelf = Shelf([damaged(names[1], tmp_path)])
    with pytest.raises(WorkbenchError, match="damaged or cut short"):
        shelf.ready()


def full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device", "/secret/place")


@pytest.mark.parametrize("kind", ["inspection", "html", "py", "ipynb"])
def test_a_full_disk_leaves_the_run_and_no_half_file(
    kind: str, shelf: Shelf, names: list[str], runs: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runs.add(shelf.get(names[1]).inspect("Hello", wb.Capture.nothing()), ME)
    events, asked = RunEvents(runs, tmp_path), {"run": run, "tab": ME, "format": kind}
    with monkeypatch.context() as patched:
        for target in ("pathlib.Path.write_text", "pathlib.Path.write_bytes", "pathlib.Path.replace", "os.replace",
                       "os.fsync", "zipfile.ZipFile.writestr", "zipfile.ZipFile.open"):  # fmt: skip
            patched.setattr(target, full)
        assert events.export(asked) == {"error": SENTENCES[DISK]}
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert Path(events.export(asked)["path"]).stat().st_size > 0


def test_trials_before_and_after_a_full_disk_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that was cut off does not take the next one with it."""
    store = TrialStore(tmp_path, {"seed": 0})
    store.add({"key": "a"})

    def cut(handle: int) -> None:
        os.ftruncate(handle, os.fstat(handle).st_size - 5)
        full()

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", cut)
        with pytest.raises(FileFormatError, match="finished trials are kept"):
            store.add({"key": "b"})
    assert store.known() == {"a"}
    store.add({"key": "c"})
    assert sorted(read_trials(tmp_path)["key"]) == ["a", "c"]


def test_folders_and_grids_of_a_forgotten_tab_go(names: list[str]) -> None:
    studio = Studio.of(names[:1], None, Settings(forget_seconds=60))
    now = [0.0]
    studio.sessions._clock = lambda: now[0]
    events = GridEvents(studio)
    for tab in (ME, OTHER):
        studio.sessions.touch(tab)
        (events._folders.of(tab, "key")).mkdir(parents=True)
        events._asked[tab, "key"] = None  # type: ignore[assignment]
    mine, yours = (events._folders.of(tab, "key") for tab in (ME, OTHER))
    now[0] = 50.0
    studio.sessions.touch(OTHER)
    now[0] = 70.0
    studio.sweep()
    assert not mine.exists() and yours.exists()
    assert list(events._asked) == [(OTHER, "key")] and events._folders.known(ME) == []


def test_folders_are_bounded_and_the_least_recently_used_go() -> None:
    folders = Folders("test")
    made = [folders.of(ME, str(i)) for i in range(OWN)]
    for folder in made:
        folder.mkdir(parents=True)
    folders.of(ME, "0")
    folders.of(ME, "another")
    assert [folder.exists() for folder in made] == [True, False, *[True] * (OWN - 2)]
    assert ME not in str(made[0]), "a folder's name tells nobody's key"


def test_visitors_of_a_shared_host_name_no_model(names: list[str]) -> None:
    for known, offered in ((Settings(name_models=False), False), (Settings(), True)):
        events = FactEvents(Studio.of(names[:1], None, known))
        assert ("v0.2" in events._others(all_of_them=known.name_models)) is offered
        if not offered:
            with pytest.raises(WorkbenchError, match="not offered here"):
                events.fact_tensors({"model": names[0], "against": "v0.2", "tab": ME})
