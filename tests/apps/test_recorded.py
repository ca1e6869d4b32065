"""Recorded exchanges: several in one folder, with ids that stay; the shipped ones are those of the shipped twins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from apps.studio.examples import Example, fact
from apps.studio.opening import Opening
from apps.studio.record import OTHERS, record
from apps.studio.recorded import Recorded, exchanges, read_exchanges, recorded_folder
from apps.studio.runs import RunStore
from apps.studio.shelf import Shelf
from workbench.errors import FileFormatError


def example(name: str, question: str) -> Example:
    return Example(name, name.title(), "fact", ({"role": "user", "content": question},))


@pytest.fixture
def folder(names: list[str], tmp_path: Path) -> Path:
    """Two exchanges of the small models."""
    found = [example("one", "Hi"), example("two", "What is it?")]
    return record(found, tmp_path / "recorded", names, new_tokens=3, others=["one", "two"]).parent


def test_several_are_recorded_and_found_again(folder: Path, names: list[str]) -> None:
    found = read_exchanges(folder)
    assert {one.id for one in found} == {"one", "two"}
    ids = [one.run_id(name) for one in found for name in names]
    assert len(set(ids)) == 4
    assert [one.run_id(name) for one in read_exchanges(folder) for name in names] == ids, "links to them keep working"
    assert all("/" not in run for run in ids)


def test_recording_again_replaces_what_it_listed_and_nothing_else(folder: Path, names: list[str]) -> None:
    mine = folder / "mine.inspection"
    mine.write_bytes(b"not of the list")
    record([example("three", "Hello")], folder, names, new_tokens=2)
    assert [one.id for one in read_exchanges(folder)] == ["three"]
    assert sorted(path.name.split(".")[0] for path in folder.glob("*.inspection")) == ["mine", "three", "three"]


def test_a_page_opens_with_the_first_and_offers_all(folder: Path, names: list[str], shelf: Shelf) -> None:
    runs, found = RunStore(), read_exchanges(folder)
    elsewhere = Recorded("Elsewhere", found[0].messages, {"v0.1": found[0].runs[names[0]]}, "gpu")
    opening = Opening(shelf, runs, [elsewhere, *found])
    session = opening.session("me")
    assert found[0].title in session.recorded
    assert "Recorded from" in session.recorded
    offered = opening.offered()
    assert [one["here"] for one in offered] == [False, True, True], "of other models: on the Runs page"
    assert all(runs.get(run) for one in offered for run in one["runs"])
    opening.show(session, found[1])
    assert found[1].title in session.recorded
    assert session.columns[names[0]].run == found[1].run_id(names[0])
    assert session.selection["run"] == found[1].run_id(names[0])


BROKEN: list[Any] = [
    *("", "[]", '{"exchanges": 3}', '{"exchanges": [3]}', '{"exchanges": [{}]}', "\udcff"),
    json.dumps({"exchanges": [{"title": "x", "messages": [], "files": {}}]}),
    json.dumps({"exchanges": [{"title": "x", "messages": [], "files": {"a": "../../etc/passwd"}}]}),
    json.dumps({"exchanges": [{"title": "x", "messages": [], "files": {"a": "b"}}] * 100}),
]


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_list_is_a_sentence(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "index.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(FileFormatError):
        read_exchanges(tmp_path)
    assert exchanges(tmp_path) == []
    assert "No recorded exchange" in capsys.readouterr().out


def test_two_of_one_id(folder: Path) -> None:
    index = folder / "index.json"
    listed = json.loads(index.read_text())
    listed["exchanges"][1]["id"] = listed["exchanges"][0]["id"]
    index.write_text(json.dumps(listed))
    with pytest.raises(FileFormatError, match="one id"):
        read_exchanges(folder)


def test_an_index_of_before_has_ids(folder: Path) -> None:
    index = folder / "index.json"
    listed = json.loads(index.read_text())
    for entry in listed["exchanges"]:
        del entry["id"]
    index.write_text(json.dumps(listed))
    assert {one.id for one in read_exchanges(folder)} == {"one", "two"}, "from the names of its files"


def test_the_fact_of_conftest_is_one(recorded: Recorded) -> None:
    assert recorded.id == fact("x").id


# --- the shipped ones


@pytest.mark.skipif(not (recorded_folder() / "index.json").is_file(), reason="nothing is recorded")
def test_the_shipped_ones_are_of_the_shipped_twins() -> None:
    found = read_exchanges()
    assert {one.id for one in found[1:]} == set(OTHERS)
    sizes = sum(path.stat().st_size for path in recorded_folder().iterdir())
    assert sizes < 12 * 2**20
    for name in ("twin-v0.1", "twin-v0.2"):
        model = wb.load(name)
        for one in found:
            run = one.runs[name]
            assert run.provenance["weights"] == model.weights_hash, f"{one.id}: record it again"
            assert run.provenance["tokenizer"] == model.tokenizer.sha256
            assert model.encode(one.messages).ids == tuple(run.ids[: run.prompt_length].tolist())
            steps = len(run.steps)
            again = model.generate(one.messages, wb.Sampling(max_new_tokens=steps), wb.Capture.nothing())
            assert [step.token_id for step in again] == run.ids[run.prompt_length :].tolist()
    differ = {one.id: len({run.reply for run in one.runs.values()}) for one in found}
    assert differ[found[0].id] == 2, "the page opens where the answers part"
