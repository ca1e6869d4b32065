"""Every public result has the manners of one: a line, a table, HTML without script, a page, a figure, a file and back.

A new result appears here by itself: `made` must hold one of each, so that none can forget its manners.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import pkgutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import xarray as xr
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import workbench as wb
from tests.behaviour.test_votes import folder_of
from tests.pages import data_of
from workbench.behaviour.run import run_suite
from workbench.behaviour.votes import Poll
from workbench.context.tasks import TASKS
from workbench.errors import CaptureError, FileFormatError
from workbench.facts import identity
from workbench.results import Result
from workbench.results.saved import KEY, KINDS, class_of

HOSTILE = "<img src=x onerror=alert(1)></script><b>"
TEXT = f"Say {HOSTILE} again. " + "One two three four five six seven eight nine ten. " * 6
TALK = [{"role": "user", "content": f"Say {HOSTILE}"}]

# What means nothing for a result: facts in words have no chart, tables by name no axes; a view there is for three.
NO_FIGURE = {"IdentityCard"}
XARRAY = {"CacheFindings", "Comparison", "Grid", "InductionCurve", "Inspection", "LossByPosition", "Mechanism",
          "Reach", "RetrievalHeads"}  # fmt: skip
WIDGET = {"Comparison", "Grid", "Inspection"}


@pytest.fixture(scope="module")
def made(tiny_checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """One of each, of random-weight models, on texts with markup in them."""
    a, b = wb.load(str(tiny_checkpoint(window=24))), wb.load(str(tiny_checkpoint(seed=1, theta=1e6)))
    folder, short = tmp_path_factory.mktemp("results"), wb.Sampling(max_new_tokens=3)
    capture = wb.Capture(attention=wb.AttentionCapture(rows="all"), lens=wb.LensCapture(positions="all"))
    run = a.generate(TALK, short, capture)
    list(run)
    study = wb.needle(a, [160, 200], 2, cases=1)
    list(study)
    losses = importlib.import_module("workbench.context.loss").loss([a, b], [TEXT, TEXT], 64)
    list(losses)
    item = TASKS["needle"]().make(a.tokenizer, 160, 0.5, 0)
    heads = wb.retrieval_heads(a, [item])
    silenced = wb.ablation(a, [(0, 1)], [[(1, 2)]], lengths=[160], depths=(0.5,), cases=1)
    list(silenced)
    caches = wb.cache_study(a, ["sinks=4+16"], texts=[TEXT], items=[item], length=60, follow=8)
    list(caches)
    suite = [{"id": "1", "prompt": f"Say {HOSTILE}", "contains": "red", "category": "c"}, {"id": "2", "prompt": "Hi"}]
    list(run_suite([a, b], suite, folder / "suite", sampling=short))
    voted = folder_of(folder / "votes", items=2)
    poll = Poll(voted)
    for ballot in poll.open():
        poll.vote(ballot, "left")
    list(wb.judge_suite(a, folder / "suite"))
    costs = wb.prompt_costs(a, [[*TALK, {"role": "assistant", "content": "red"}]] * 2)
    list(costs)
    rows = ({"task": HOSTILE, "metric": "acc", "filter": "none", "value": 0.5, "stderr": 0.1, "n": 4, "shots": 0},)
    found: list[Any] = [
        run.inspection, wb.compare(a, b, TALK, sampling=short), wb.compare_texts(a, b, [TEXT, TEXT[:200]]),
        wb.changes(a, b), wb.factorial(a, b, texts=[TEXT, TEXT[:200]], measures=["loss"]), study.grid, losses.found,
        list(wb.induction([a], [8], rows=2))[-1], wb.reach(a, a.encode(TEXT).ids[:60]), heads.mechanisms[0], heads,
        silenced.found, caches.result, wb.Answers.read(folder / "suite"), wb.Votes.read(voted),
        wb.Verdicts.read(folder / "suite")[0], wb.Evaluation(HOSTILE, rows), wb.moderate(a, TEXT[:60]),
        wb.guarded(a, [HOSTILE], short), costs.result,
        wb.prompt_lab(a, [*TALK, {"role": "assistant", "content": "red"}]), identity(a), wb.memory(a, 100),
    ]  # fmt: skip
    return {type(one).__name__: one for one in found}


def results() -> set[str]:
    """Every class of the library that is a result."""
    for module in pkgutil.walk_packages(wb.__path__, "workbench."):
        if not module.name.startswith(("workbench.cli", "workbench.__main__", "workbench.widgets", "workbench.twins")):
            importlib.import_module(module.name)
    return {one.__name__ for one in Result.__subclasses__()}


def test_every_result_is_known_and_can_be_opened(made: dict[str, Result]) -> None:
    assert results() == set(made) == set(KINDS)
    for kind in KINDS:
        assert class_of(kind).__name__ == kind


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_manners(made: dict[str, Result], kind: str, tmp_path: Path) -> None:
    found = made[kind]
    line = repr(found)
    assert line.startswith(f"{kind}(") and "\n" not in line and len(line) < 1000
    bundle = found._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"} and bundle["text/plain"].startswith(line)
    assert bundle["text/html"] == found._repr_html_()
    table = found.to_dataframe()
    assert isinstance(table, pd.DataFrame) and len(table) and table.index.nlevels == 1
    assert list(table.index) == list(range(len(table))), "the table is flat"
    assert hasattr(found, "figure") == (kind not in NO_FIGURE)
    assert hasattr(found, "to_xarray") == (kind in XARRAY)
    assert hasattr(found, "widget") == (kind in WIDGET)
    if kind not in NO_FIGURE:
        assert isinstance(found.figure(), go.Figure)
    if kind in XARRAY:
        labelled = found.to_xarray()
        assert isinstance(labelled, xr.DataArray | xr.Dataset) and labelled.sizes and labelled.coords
    if kind in WIDGET:
        widget = found.widget()
        assert repr(widget)
        widget.close()
    page = found.to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    data = data_of(page)
    for shown in (bundle["text/html"], page):
        assert "<img src=x" not in shown and "<b>" not in shown.replace("<b>${", "")
    assert page.count("</script>") == 4 and "default-src 'none'" in page
    if kind not in ("Inspection", "Comparison"):
        assert data["tables"] and data["line"] == line
        assert bool(data["charts"] or data["grids"]) == (kind not in NO_FIGURE)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_saved_result_comes_back_the_same(made: dict[str, Result], kind: str, tmp_path: Path) -> None:
    found = made[kind]
    path = found.save(tmp_path / "result")
    for again in (wb.open(path), type(found).open(path)):
        assert type(again) is type(found) and repr(again) == repr(found)
        assert again.telling() == found.telling()
        same(again, found)
    other = wb.MemoryPlan if kind != "MemoryPlan" else wb.Grid
    with pytest.raises(FileFormatError, match=f"holds the kind {kind}"):
        other.open(path)


def same(one: Any, other: Any) -> None:
    """Equal in everything that was kept, whatever it is made of."""
    if isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other)
    elif isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other, check_dtype=False)
    elif isinstance(one, xr.DataArray):
        xr.testing.assert_identical(one, other)
    elif hasattr(one, "as_saved"):
        assert one.as_saved() == other.as_saved()
    elif dataclasses.is_dataclass(one):
        for field in dataclasses.fields(one):
            if field.name == "provenance":  # JSON keeps lists for tuples
                assert plain(getattr(one, field.name)) == plain(getattr(other, field.name))
            else:
                same(getattr(one, field.name), getattr(other, field.name))
    elif isinstance(one, Mapping):
        assert sorted(one, key=str) == sorted(other, key=str)
        for key in one:
            same(one[key], other[key])
    elif isinstance(one, tuple | list):
        assert len(one) == len(other)
        for mine, theirs in zip(one, other, strict=True):
            same(mine, theirs)
    else:
        assert one == other or (one != one and other != other)


def plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_completion_shows_public_names_and_each_says_what_it_is(made: dict[str, Result], kind: str) -> None:
    names = dir(made[kind])
    assert {"to_dataframe", "to_html", "save", "open"} <= set(names)
    assert not [name for name in names if name.startswith("_")] and len(names) <= 45
    for name in names:
        member = inspect.getattr_static(type(made[kind]), name, None)
        if inspect.isfunction(member):
            assert inspect.getdoc(member), f"{kind}.{name} says nothing"


def test_a_damaged_file_is_a_sentence(made: dict[str, Result], tmp_path: Path) -> None:
    path = made["LossByPosition"].save(tmp_path / "loss")
    with safe_open(path, framework="numpy") as file:
        record = json.loads(file.metadata()[KEY])
    arrays = load_file(path)

    def written(changed: dict[str, Any], kept: dict[str, Any] = arrays) -> Path:
        save_file(kept, tmp_path / "bad", metadata={KEY: json.dumps(changed)})
        return tmp_path / "bad"

    for changed, said in (
        (record | {"kind": "os.system"}, "holds a 'os.system'"),
        (record | {"schema_version": 99}, "format version 99"),
        (record | {"fields": {}}, "contradicts itself"),
        (record | {"fields": record["fields"] | {"losses": {"x": [3]}}}, "contradicts itself"),
        (record | {"fields": record["fields"] | {"losses": {"x": [{"array": "gone"}]}}}, "contradicts itself"),
    ):
        with pytest.raises(FileFormatError, match=said):
            wb.open(written(changed))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for wrong in (path, tmp_path / "absent", tmp_path):
        with pytest.raises(FileFormatError):
            wb.open(wrong)
    pair = made["Comparison"].save(tmp_path / "pair")
    with safe_open(pair, framework="numpy") as file:
        record = json.loads(file.metadata()[KEY])
    record["fields"]["alignment"]["common"] = 10_000
    with pytest.raises(FileFormatError, match="alignment"):
        wb.open(written(record, load_file(pair)))


def test_attention_as_a_table_is_never_long(made: dict[str, Result]) -> None:
    found: wb.Inspection = made["Inspection"]  # type: ignore[assignment]
    rows = found.to_xarray("attention")
    table = found.to_dataframe("attention", top=3, least=0.05, layer=1)
    assert set(table["layer"]) == {1} and (table["weight"] >= 0.05).all()
    assert table.groupby(["head", "query"]).size().max() <= 3
    for row in table.sample(20, random_state=0).itertuples():
        assert row.weight == rows.sel(layer=1, head=row.head, query=row.query).values[row.key]
        assert row.key_piece == found.tokens[row.key]
    best = table.sort_values("weight").groupby(["head", "query"]).tail(1).set_index(["head", "query"])["weight"]
    for (head, query), weight in best.items():
        assert weight == rows.sel(layer=1, head=head, query=query).values.max()
    for part in ("tokens", "steps", "statistics", "heads", "lens", "cache"):
        assert len(found.to_dataframe(part))
    for part in ("map", "statistics", "lens", "cache"):
        assert "layer" in found.to_xarray(part).dims
    for wrong in ("to_dataframe", "to_xarray", "figure"):
        with pytest.raises(wb.WorkbenchError, match="no part 'x'"):
            getattr(found, wrong)("x")
    with pytest.raises(wb.WorkbenchError, match="not captured"):
        found.to_xarray("attribution")


def test_what_cannot_be_written_is_a_sentence(made: dict[str, Result], tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where a folder would be")
    for write in (made["Inspection"].to_html, made["Grid"].to_html, made["Inspection"].save, made["Grid"].save):
        for place in (tmp_path, tmp_path / "taken" / "page"):
            with pytest.raises(FileFormatError, match=r"(cannot be written|does not exist)[^\n]*\."):
                write(place)
    assert [one.name for one in tmp_path.iterdir()] == ["taken"], "nothing is left half written"


def test_a_table_of_nonsense_is_a_sentence(made: dict[str, Result]) -> None:
    for nonsense in ({"top": 0}, {"least": "much"}, {"least": 2}, {"top": 1.5}):
        with pytest.raises(CaptureError, match="a count of at least 1, and a share from 0 to 1"):
            made["Inspection"].to_dataframe("attention", **nonsense)
