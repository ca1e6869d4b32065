"""The run store: what is kept, what goes and that it is said; files out and in; what the Runs page asks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workbench as wb
from apps.studio.run_events import RunEvents, lost
from apps.studio.run_facts import RunFacts, cut
from apps.studio.runs import GONE, RunStore
from tests.pages import data_of
from workbench.errors import CaptureError

ME, OTHER = "m" * 32, "o" * 32


@pytest.fixture(scope="module")
def found(names: list[str]) -> wb.Inspection:
    """A run of the first model: sampled, of a second question."""
    run = wb.load(names[0]).generate(
        [
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Hi."},
            {"role": "user", "content": "What is\n</b> the capital of France?"},
        ],
        wb.Sampling(max_new_tokens=5, temperature=0.7, top_p=0.9, seed=3),
        wb.Capture.full(),
    )
    for _ in run:
        pass
    return run.inspection


@pytest.fixture
def events(tmp_path: Path) -> RunEvents:
    ticks = iter(range(10_000))
    return RunEvents(RunStore(each=3, clock=lambda: 1.7e9 + next(ticks)), tmp_path / "served")


def copy_of(found: wb.Inspection) -> wb.Inspection:
    return replace(found)


# --- what is known of a run


def test_facts_say_what_was_asked_and_how(found: wb.Inspection) -> None:
    facts = RunFacts.of(found, 12.0, "chat")
    assert facts.question == "What is </b> the capital of France?"
    assert facts.settings == "temperature 0.7, top-p 0.9, seed 3"
    assert (facts.kind, facts.tokens, facts.new) == (
        "inspection",
        found.prompt_length,
        len(found.ids) - found.prompt_length,
    )
    assert facts.bytes == found.nbytes
    assert facts.model == found.model["name"]
    json.dumps(facts.as_json(), allow_nan=False)


def test_facts_of_a_file_without_its_prompt(found: wb.Inspection, recorded_files: Path) -> None:
    record = found.record.model_copy(deep=True)
    del record.provenance["settings"]["prompt"]
    facts = RunFacts.of(wb.Inspection(record, found.arrays), None, "file")
    assert facts.question == "What is </b> the capital of France?", "from the user's tokens"
    record.provenance = {"created": "when I was young"}
    assert RunFacts.of(wb.Inspection(record, found.arrays), None, "file").settings == "read only"


@pytest.mark.parametrize("text", ["", "a", "a" * 500, "word " * 4000, "x\n" * 90, "end " * 39 + "why?"])
def test_a_cut_line_keeps_both_ends(text: str) -> None:
    line = cut(text, 60)
    assert len(line) <= 63
    assert "\n" not in line
    assert line.startswith(text.split()[0][:20] if text.split() else "")
    assert line.endswith(text.split()[-1][-4:] if text.split() else "")


# --- what is kept and what goes


def test_the_oldest_goes_and_it_is_said(found: wb.Inspection) -> None:
    store = RunStore(each=2)
    first, second = store.add(found, ME), store.add(found, ME)
    assert store.shelf(ME).next == first, "it is full: the next one takes the first one's place"
    assert store.shelf(ME).gone == []
    third = store.add(found, ME)
    assert [kept.run for kept in store.shelf(ME).runs] == [third, second]
    assert len(store.shelf(ME).gone) == 1
    assert "capital of France" in lost(store.shelf(ME).gone)
    with pytest.raises(CaptureError, match=GONE):
        store.get(first)
    store.acknowledge(ME)
    assert store.shelf(ME).gone == [] and lost([]) == ""


def test_what_was_opened_lately_stays(found: wb.Inspection) -> None:
    store = RunStore(each=2)
    first, second = store.add(found, ME), store.add(found, ME)
    store.get(first)
    store.add(found, ME)
    assert store.get(first)
    with pytest.raises(CaptureError):
        store.get(second)


def test_memory_is_bounded_and_recorded_runs_stay(found: wb.Inspection) -> None:
    store = RunStore(each=50, most_bytes=3 * found.nbytes)
    store.pin("recorded-x", found)
    runs = [store.add(found, (ME, OTHER)[i % 2]) for i in range(5)]
    assert len(store) == 3
    assert store.shelf(ME).next
    assert [facts.question for facts in store.shelf(ME).gone] == ["What is </b> the capital of France?"]
    assert store.get("recorded-x") is found
    assert store.shelf(OTHER).runs[-1].run == "recorded-x"
    assert [kept.run for kept in store.shelf(ME).runs[:-1]] == [runs[4], runs[2]]


def test_runs_are_ones_own(found: wb.Inspection) -> None:
    store = RunStore()
    mine = store.add(found, ME)
    assert [kept.run for kept in store.shelf(OTHER).runs] == []
    with pytest.raises(CaptureError):
        store.remove(mine, OTHER)
    store.pin("recorded-x", found)
    for bad in ("recorded-x", "", None, ["a"], {"a": 1}):
        with pytest.raises(CaptureError):
            store.remove(bad, ME)
    store.remove(mine, ME)
    assert len(store) == 0


# --- files


@pytest.mark.parametrize("kind", ["inspection", "html", "py", "ipynb"])
def test_exports(events: RunEvents, found: wb.Inspection, kind: str) -> None:
    run = events.runs.add(found, ME)
    file = events.export({"tab": ME, "run": run, "format": kind})
    path = Path(file["path"])
    assert path.is_relative_to(events.folder)
    assert path.name == file["name"]
    if kind == "inspection":
        again = wb.open(path)
        assert again.ids.tolist() == found.ids.tolist()
    elif kind == "html":
        assert "</b> the capital" not in path.read_text().split('id="data"')[0]
    elif kind == "py":
        names: dict[str, Any] = {}
        exec(path.read_text(), names)
        assert names["found"].ids.tolist() == found.ids.tolist()
        layer = int(found.model["layers"]) // 2
        exact = found.attention.row(found.prompt_length, layer).mean(0)  # type: ignore[union-attr]
        assert np.allclose(names["reads"], exact, atol=1e-6)


def test_the_notebook_runs(events: RunEvents, found: wb.Inspection, tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    file = events.export({"run": events.runs.add(found, ME), "format": "ipynb"})
    notebook = nbformat.read(file["path"], as_version=4)
    nbformat.validate(notebook)
    names: dict[str, Any] = {}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            exec(cell.source, names)
    assert names["found"].ids.tolist() == found.ids.tolist()
    assert {"reads", "grid", "stored", "before", "said"} <= set(names)


def test_a_file_made_elsewhere_opens(events: RunEvents, found: wb.Inspection) -> None:
    upload = events.folder / "abc" / "made.inspection"
    upload.parent.mkdir(parents=True)
    found.save(upload)
    opened = events.open({"tab": ME, "path": str(upload)})
    assert not upload.exists(), "the upload is not kept beside the run"
    listed = events.listed({"tab": ME})["runs"]
    assert [(run["run"], run["origin"]) for run in listed] == [(opened["run"], "file")]
    assert events.answer({"run": opened["run"], "kind": "open"})["tokens"]["ids"] == found.ids.tolist()


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "pickle", "huge record"])
def test_a_damaged_file_is_a_sentence(events: RunEvents, found: wb.Inspection, damage: str) -> None:
    upload = events.folder / "abc" / "bad.inspection"
    upload.parent.mkdir(parents=True)
    found.save(upload)
    data = upload.read_bytes()
    made = {"cut": data[: len(data) // 2], "text": b"hello", "empty": b"", "pickle": b"\x80\x04\x95",
            "huge record": b"\xff" * 8 + data}  # fmt: skip
    upload.write_bytes(made[damage])
    answer = events.open({"tab": ME, "path": str(upload)})
    assert set(answer) == {"error"}
    assert answer["error"].endswith(".")
    assert str(events.folder) not in answer["error"], "no path of the server"
    assert not upload.exists()


def test_only_uploads_can_be_opened(events: RunEvents, found: wb.Inspection, tmp_path: Path) -> None:
    outside = tmp_path / "secret.inspection"
    found.save(outside)
    (events.folder / "abc").mkdir(parents=True)
    link = events.folder / "abc" / "link.inspection"
    link.symlink_to(outside)
    for path in (outside, link, events.folder / ".." / "secret.inspection", "/etc/passwd", "", None, 3, "a\0b"):
        answer = events.open({"tab": ME, "path": str(path) if isinstance(path, Path) else path})
        assert set(answer) == {"error"}
    assert outside.exists()


def test_too_large_a_file_and_no_files_at_all(events: RunEvents, found: wb.Inspection) -> None:
    upload = events.folder / "abc" / "big.inspection"
    for largest, said in ((100, "too large"), (0, "on your own machine")):
        upload.parent.mkdir(parents=True)
        found.save(upload)
        there = RunEvents(events.runs, events.folder, largest=largest)
        assert said in there.open({"tab": ME, "path": str(upload)})["error"]
        assert not upload.parent.exists()


def test_without_links_a_run_is_its_owners_alone(events: RunEvents, found: wb.Inspection) -> None:
    for links in (True, False):
        events.runs.links = links
        run = events.runs.add(found, ME)
        events.runs.pin("recorded", found)
        for tab, seen in ((ME, True), (OTHER, links), (None, links)):
            request = {"run": run, "kind": "open"} | ({"tab": tab} if tab else {})
            assert ("error" not in events.answer(request)) == seen
            asked = request | {"format": "py"}
            assert ("error" not in events.export(asked)) == seen
            assert "error" not in events.answer(request | {"run": "recorded"})
            other = events.answer(request | {"run": "nobody"})
            assert seen or events.answer(request) == other, "whether there is such a run is not told"


def test_a_tab_that_holds_too_many_bytes_gives_up_its_oldest(found: wb.Inspection) -> None:
    size = RunFacts.of(found, None, "chat").bytes
    runs = RunStore(own_bytes=2 * size)
    _, *later = [runs.add(found, ME) for _ in range(3)]
    other = runs.add(found, OTHER)
    assert {kept.run for kept in runs.shelf(ME).runs} == set(later)
    assert [facts.bytes for facts in runs.shelf(ME).gone] == [size]
    assert runs.shelf(ME).next == later[0]
    assert [kept.run for kept in runs.shelf(OTHER).runs] == [other]
    assert RunStore(own_bytes=1).add(found, ME), "the last one stays, however large"


NONSENSE: list[Any] = [
    *(None, 3, "x", [], {}, {"run": None}, {"run": ["a"], "format": "html"}, {"runs": "abc"}),
    *({"format": "exe", "run": "x"}, {"tab": {"a": 1}, "path": {}}, {"kind": "page", "run": "x"}),
]


@pytest.mark.parametrize("request_", NONSENSE)
@pytest.mark.parametrize("name", ["listed", "seen", "answer", "remove", "export", "open"])
def test_nonsense_is_answered(events: RunEvents, name: str, request_: Any) -> None:
    answer = getattr(events, name)(request_)
    assert isinstance(answer, dict)
    if name in ("answer", "remove", "export", "open"):
        assert answer["error"]


def test_a_panel_as_a_page(events: RunEvents, found: wb.Inspection) -> None:
    run = events.runs.add(found, ME)
    page = events.answer({"run": run, "kind": "page", "panel": "attention", "token": 3, "layer": 1, "head": 0})
    assert page["name"].endswith(".html")
    assert data_of(page["html"])["panel"] == {"name": "attention", "token": 3, "layer": 1, "head": 0}
    for change in ({"panel": "x"}, {"token": 10**6}, {"layer": "1"}, {"head": 99}):
        request = {"run": run, "kind": "page", "panel": "attention", "token": 3, "layer": 1, "head": 0} | change
        assert events.answer(request)["error"]


def test_old_exports_go(events: RunEvents, found: wb.Inspection, monkeypatch: pytest.MonkeyPatch) -> None:
    run = events.runs.add(found, ME)
    first = Path(events.export({"run": run, "format": "inspection"})["path"])
    monkeypatch.setattr("apps.server.uploads.LASTING", -1.0)
    events.export({"run": run, "format": "py"})
    assert not first.exists()


@pytest.mark.parametrize("name", ["\ud800", "a" * 5000, "\0"])
def test_a_path_that_cannot_be_is_no_file(tmp_path: Path, name: str) -> None:
    events = RunEvents(RunStore(), tmp_path)
    assert "No file has arrived" in events.open({"path": f"{tmp_path}/{name}", "tab": "k" * 24})["error"]


def test_exports_swept_away_meanwhile_are_no_failure(
    found: wb.Inspection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RunStore()
    run, listed = store.add(found, "k" * 24), Path.iterdir
    (tmp_path / "exports" / "old").mkdir(parents=True)

    def swept(folder: Path) -> Any:
        for one in listed(folder):
            one.rmdir()
            yield one

    monkeypatch.setattr(Path, "iterdir", swept)
    answer = RunEvents(store, tmp_path).export({"run": run, "format": "py"})
    assert Path(answer["path"]).is_file()
