"""Two kept runs as a pair: compared, measured on demand with the models that made them, and bounded."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

import workbench as wb
from apps.studio import pairs as room
from apps.studio.pairs import Pairs
from apps.studio.run_events import RunEvents
from apps.studio.runs import RunStore
from apps.studio.shelf import Shelf
from tests.pages import data_of
from workbench.comparison import measure
from workbench.errors import CaptureError, WorkbenchError
from workbench.inspection.inspection import Inspection


def answered(model: wb.Model, text: str = "Where is the sea?") -> wb.Inspection:
    run = model.generate([{"role": "user", "content": text}], wb.Sampling(max_new_tokens=4), wb.Capture.nothing())
    for _ in run:
        pass
    return run.inspection


@pytest.fixture
def kept(shelf: Shelf, runs: RunStore) -> tuple[Pairs, RunStore, list[str]]:
    names = [runs.add(answered(shelf.get(name)), "me") for name in shelf.names]
    return Pairs(runs, shelf), runs, names


def test_measured_once_and_kept(kept: tuple[Pairs, RunStore, list[str]], shelf: Shelf) -> None:
    pairs, _, (run, other) = kept
    assert pairs.of(run, other).measured is None
    shares = list(pairs.measuring(run, other, threading.Event()))
    assert shares == sorted(shares) and shares[-1] == 1.0
    found = pairs.of(run, other)
    assert found.measured is not None
    models = [shelf.get(name) for name in shelf.names]
    for one, measured in zip((found.a, found.b), found.measured, strict=True):
        again = measure(*models, one.ids.tolist())
        assert measured.kl_ab.tolist() == again.kl_ab.tolist()
    assert list(pairs.measuring(run, other, threading.Event())) == [1.0]
    assert pairs.difference({"run": run, "other": other, "part": "open"})["measured"] is True
    assert pairs.of(run, run).measured is None


def test_a_switched_run_is_measured_with_its_switches(shelf: Shelf) -> None:
    runs, name = RunStore(), shelf.names[1]
    plain, switched = shelf.get(name), shelf.get(name, {"theta": 50.0})
    pairs = Pairs(runs, shelf)
    ids = [runs.add(answered(model), "me") for model in (plain, switched)]
    list(pairs.measuring(*ids, threading.Event()))
    found = pairs.of(*ids)
    assert found.measured is not None
    assert found.measured[0].kl_ab.tolist() == measure(plain, switched, found.a.ids.tolist()).kl_ab.tolist()
    assert found.measured[0].kl_ab[1:].min() > 0


def test_what_cannot_be_measured_is_said(kept: tuple[Pairs, RunStore, list[str]]) -> None:
    pairs, runs, (run, other) = kept
    strange = runs.get(run)

    def told(**changes: object) -> wb.Inspection:
        said = strange.provenance | changes
        return Inspection(strange.record.model_copy(update={"provenance": said}), strange.arrays)

    for inspection, sentence in (
        (told(model="somebody/else", switched_from=None), "somebody/else is not one of the models"),
        (told(weights="sha256:0"), "other weights"),
    ):
        with pytest.raises(WorkbenchError, match=sentence):
            list(pairs.measuring(runs.add(inspection, "me"), other, threading.Event()))
    with pytest.raises(CaptureError, match="no longer kept"):
        pairs.of(run, "gone")
    stop = threading.Event()
    stop.set()
    with pytest.raises(WorkbenchError, match="stopped"):
        list(pairs.measuring(run, other, stop))
    assert pairs.of(run, other).measured is None
    assert "no longer kept" in pairs.difference({"run": run, "other": ["x"]})["error"]
    assert "error" in pairs.difference("nonsense")


def test_the_store_of_pairs_is_bounded(
    kept: tuple[Pairs, RunStore, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs, runs, (run, other) = kept
    monkeypatch.setattr(room, "PAIRS", 3)
    more = [runs.add(runs.get(run), "me") for _ in range(5)]
    for name in more:
        pairs.of(name, other)
    assert len(pairs._known) == 3


def test_a_report_of_two_runs_holds_what_was_measured(kept: tuple[Pairs, RunStore, list[str]], tmp_path: Path) -> None:
    pairs, runs, names = kept
    events = RunEvents(runs, tmp_path, pairs)
    before = Path(events.export({"format": "html", "runs": names})["path"]).read_text(encoding="utf-8")
    list(pairs.measuring(*names, threading.Event()))
    after = Path(events.export({"format": "html", "runs": names})["path"]).read_text(encoding="utf-8")
    assert '"measured": false' in json.dumps(data_of(before))
    assert '"measured": true' in json.dumps(data_of(after))
