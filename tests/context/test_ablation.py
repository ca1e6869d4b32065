"""An ablation's table counts what the trials say; controls that may feed the found heads stand apart; pictures of
grids hold every cell."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest

import workbench as wb
from workbench.context.ablation import Ablation, ablation
from workbench.errors import WorkbenchError
from workbench.statistics import wilson

SETS = (((1, 0), (1, 2)), ((2, 1), (3, 1)), ((0, 3), (2, 2)), ((1, 3), (2, 0)))


def trials(right: dict[str, list[int]]) -> pd.DataFrame:
    rows = [
        {"item": f"q{i}", "model": name, "switches": name, "right": bool(value), "share": float(value), "seconds": 0.0,
         "logprob": -3.0, "expected_tokens": 6, "task": "needle", "length": 128 * (1 + i % 2), "depth": 0.5 * (i // 2)}
        for name, values in right.items() for i, value in enumerate(values)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_sets_are_counted_and_told_apart() -> None:
    frame = trials({"{}": [1, 1, 1, 1], "a": [0, 0, 1, 0], "b": [1, 1, 1, 1], "c": [0, 0, 0, 0], "d": [1, 1, 0, 1]})
    found = Ablation("m", SETS, wb.Grid(frame), ("{}", "a", "b", "c", "d"))
    table = found.table().set_index("silenced")
    assert table["right"].tolist() == [1.0, 0.25, 1.0, 0.0, 0.75]
    assert table["below"].tolist() == [0, 0, 0, 1, 0]
    assert tuple(table.loc["found", ["low", "high"]]) == pytest.approx(wilson(1, 4))
    assert table.loc["found", "p"] == 0.25  # 3 lost, 0 won: 2 / 2 ** 3
    assert table.loc["control 1", "heads"] == "2.1 3.1"
    assert found.controls(below=False)[:2] == (2, 0.875)
    assert found.controls(below=True)[:2] == (1, 0.0)
    assert (
        "none of them in an earlier layer, 0.88 on average (95 % over the draws: 0.75 to 1.00) in 2 draws"
        in found.sentence
    )
    part = Ablation("m", SETS, wb.Grid(frame[frame["switches"].isin(["{}", "a"])]), found.switches)
    assert part.table()["silenced"].tolist() == ["none", "found"]  # stopped before the controls


def test_what_cannot_be_silenced(tiny_checkpoint: Callable[..., Path]) -> None:
    model = wb.load(str(tiny_checkpoint()))
    for heads, control in (([], []), ([(0, 1)], [[(0, 1)]])):
        with pytest.raises(WorkbenchError, match="empty or comes twice"):
            ablation(model, heads, control)
    with pytest.raises(WorkbenchError):
        ablation(model, [(99, 0)])
    study = ablation(model, [(0, 1)], lengths=[120], depths=(0.5,), cases=1)
    with pytest.raises(WorkbenchError, match="answered yet"):
        study.found.table()
    assert "nothing" in repr(study.found)


def test_a_picture_holds_every_cell_and_no_markup(tmp_path: Path) -> None:
    hostile = "<script>x</script> (theta 1e6)"
    frame = trials({"one": [1, 1, 0, 0], hostile: [1, 0, 1, 0]})
    grid = wb.Grid(frame, {"models": {hostile: {}, "one": {}}})
    assert grid.models == [hostile, "one"]
    assert wb.Grid(frame).models == sorted(["one", hostile])
    path = grid.save_svg(tmp_path / "grid.svg")
    root = ElementTree.fromstring(path.read_text())
    space = "{http://www.w3.org/2000/svg}"
    told = [title.text or "" for title in root.iter(f"{space}title")]
    assert len([one for one in told if one.startswith(("128 tokens", "256 tokens"))]) == len(grid.cells)
    assert not list(root.iter(f"{space}script"))
    assert "<script>x</script>" in [text.text for text in root.iter(f"{space}text")]
    assert re.search(r"n = 1\b", path.read_text())
    assert json.loads(grid.figure().to_json())["layout"]["annotations"][0]["text"] == hostile
    with pytest.raises(WorkbenchError, match="nothing to draw"):
        wb.Grid(pd.DataFrame()).save_svg(tmp_path / "none.svg")
