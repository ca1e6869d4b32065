"""The self-contained report as a file; how it draws is a browser test."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import workbench as wb
from tests.pages import data_of
from tests.prompts import prompt_of
from workbench.errors import CaptureError, FileFormatError
from workbench.models.registry import assets_folder
from workbench.report import write_html
from workbench.views.arrays import unpack_array


def test_report_holds_its_data_and_no_markup_of_the_prompt(windowed: wb.Inspection, tmp_path: Path) -> None:
    path = windowed.to_html(tmp_path / "new" / "r.html")
    page = path.read_text(encoding="utf-8")
    assert page.lower().count("</script>") == 4, "theme, data, the browser's check and the script; none of the prompt"
    assert "<b>bold</b>" not in page
    run = data_of(page)["runs"][0]
    assert "</script><b>bold</b>" in run["text"]
    assert run["open"]["tokens"]["ids"] == windowed.ids.tolist()
    assert "https://" not in page.replace(json.dumps(run["provenance"]), "")


def test_rows_in_the_file_are_the_exact_ones(windowed: wb.Inspection, tmp_path: Path) -> None:
    run = data_of(write_html(windowed, tmp_path / "r.html").read_text(encoding="utf-8"))["runs"][0]
    token = windowed.prompt_length
    packed = run["rows"][f"{token}/1"]["reads"]
    values = (unpack_array(packed) / 65535.0) ** 2
    assert np.allclose(values, windowed.attention.row(token, 1)[:, : token + 1], atol=4e-5)  # type: ignore[union-attr]
    assert set(run["layers"]) == {"0", "1"}
    covered = {position for window in run["lens"]["windows"] for position in window["positions"]}
    assert covered == set(windowed.lens.position.values.tolist())  # type: ignore[union-attr]


def test_a_title_is_text(bare: wb.Inspection, tmp_path: Path) -> None:
    page = write_html(bare, tmp_path / "r.html", title="<img src=x onerror=alert(1)> & more").read_text()
    assert "<img" not in page


def test_two_runs_in_one_file(windowed: wb.Inspection, unbounded: wb.Inspection, tmp_path: Path) -> None:
    runs = data_of(write_html([windowed, unbounded], tmp_path / "r.html").read_text())["runs"]
    assert [run["run"] for run in runs] == ["run0", "run1"]
    assert [run["open"]["cache"]["window"] for run in runs] == [24, None]


def test_nothing_half_written(windowed: wb.Inspection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "r.html"
    target.write_text("old")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(FileFormatError, match=r"r\.html cannot be written: disk full"):
        write_html(windowed, target)
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]
    assert target.read_text() == "old"
    with pytest.raises(CaptureError):
        write_html([], target)


def test_a_report_of_two_thousand_tokens_is_small(tmp_path: Path) -> None:
    """Under 2 MB with all that a default capture holds, and rows that are still the exact ones to 4e-5; two runs and
    their difference as well."""
    model = wb.load("twin-v0.2")
    lines = (assets_folder() / "prompts" / "factorial-texts.jsonl").read_text(encoding="utf-8").split("\n")
    ids = [
        token
        for line in lines
        if line
        for m in json.loads(line)["messages"]
        for token in model.encode(m["content"]).ids
    ]
    prompt = prompt_of(model, ids[:2000])
    both = wb.compare(model.switched(window=256), model, prompt, sampling=wb.Sampling(max_new_tokens=8))
    assert both.to_html(tmp_path / "both.html").stat().st_size < 2_000_000
    path = both.b.to_html(tmp_path / "r.html")
    assert path.stat().st_size < 2_000_000
    packed = data_of(path.read_text(encoding="utf-8"))["runs"][0]["rows"]["2000/3"]["reads"]
    exact = both.b.attention.row(2000, 3)[:, :2001]  # type: ignore[union-attr]
    assert np.abs((unpack_array(packed) / 65535.0) ** 2 - exact).max() < 4e-5
