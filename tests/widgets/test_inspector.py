"""The widget as the kernel knows it: messages in, payloads out; its selection; what a notebook would save of it."""

from __future__ import annotations

import builtins
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

import workbench as wb
from tests.widgets.conftest import Page
from workbench.errors import CaptureError, WorkbenchError
from workbench.report import panel_page
from workbench.views import answer
from workbench.views.difference import answer_pair
from workbench.widgets import base, runview

Open = Callable[..., Page]


def test_a_view_gets_the_payloads_of_the_other_hosts(opened: Open, windowed: wb.Inspection) -> None:
    page = opened(windowed)
    (run,) = [one["name"] for one in page.widget.runs]
    for request in (
        {"kind": "open"}, {"kind": "layer", "layer": 1}, {"kind": "row", "token": 20, "layer": 1},
        {"kind": "lens", "token": 20}, {"kind": "next", "token": 20},
        {"kind": "data", "panel": "attention", "file": "row", "token": 20, "layer": 1, "head": 2},
        {"kind": "code", "panel": "lens", "token": 20, "layer": 0, "head": -1},
    ):  # fmt: skip
        said = page.say({"id": "abc.7", "ask": {"run": run, **request}})
        assert said == {"id": "abc.7", "answer": answer(windowed, run, request)}
        json.dumps(said, allow_nan=False)
    panel = {"panel": "attention", "token": 20, "layer": 1, "head": 2}
    assert page.ask(run=run, kind="page", **panel) == panel_page(windowed, **panel)
    assert page.ask(kind="script")["script"] == base.script()
    assert len(page.heard) == 9, "one message back for each"


def test_two_runs_and_their_difference(opened: Open, windowed: wb.Inspection, unbounded: wb.Inspection) -> None:
    both = wb.Comparison.of(windowed, unbounded)
    page = opened(both)
    a, b = (one["name"] for one in page.widget.runs)
    assert [one["heads"] for one in page.widget.runs] == [[0, 1, 2, 3], [1, 3]]
    assert page.widget.difference
    for request in ({"part": "aligned"}, {"part": "open"}, {"part": "layer", "layer": 1}):
        assert page.ask(kind="difference", **request) == answer_pair(both, a, b, request)
    assert page.ask(run=b, kind="row", token=5, layer=0) == answer(
        unbounded, b, {"kind": "row", "token": 5, "layer": 0}
    )
    assert page.widget.selection["token"] == both.parting.chosen[0].position  # type: ignore[union-attr]
    page.set(difference=False)
    assert not page.widget.difference


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (None, "something else than a request"),
        ([1], "something else than a request"),
        ({}, "no run 'None'"),
        ({"kind": "row", "run": "another", "token": 1, "layer": 0}, "no run 'another'"),
        ({"kind": "row", "token": 10_000, "layer": 0}, "token 10000 does not exist"),
        ({"kind": "row", "token": True, "layer": 0}, "token True does not exist"),
        ({"kind": "layer", "layer": "1"}, "layer 1 does not exist"),
        ({"kind": "../x"}, "does not exist"),
        ({"kind": "../x", "token": 1}, "asked for '../x'"),
        ({"kind": ["open"]}, "does not exist"),
        ({"kind": "data", "token": 1, "panel": "attention", "file": "x"}, "x"),
        ({"kind": "page", "token": 1, "panel": "x"}, "no panel 'x'"),
        ({"kind": "page", "token": -1, "panel": "lens"}, "token -1 does not exist"),
        ({"kind": "difference", "part": "open"}, "one run has no difference"),
    ],
)  # fmt: skip
def test_nonsense_comes_back_as_a_sentence(opened: Open, windowed: wb.Inspection, ask: Any, said: str) -> None:
    page = opened(windowed)
    if isinstance(ask, dict) and ask.get("kind") not in (None, "difference"):
        ask = {"run": page.widget.runs[0]["name"], **ask}
    answered = page.say({"id": 3, "ask": ask})
    assert set(answered) == {"id", "error"}
    assert answered["id"] == 3
    assert said in answered["error"]
    assert answered["error"].endswith(".")
    assert "Traceback" not in answered["error"]


def test_a_message_that_is_no_question_is_answered_too(opened: Open, windowed: wb.Inspection) -> None:
    page = opened(windowed)
    for content in ("x", [1], 7, None):
        assert "request" in page.say(content)["error"]


def test_a_fault_of_ours_is_named_and_logged(
    opened: Open, windowed: wb.Inspection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    page = opened(windowed)

    def broken(*given: Any) -> None:
        raise KeyError("deep inside")

    monkeypatch.setattr(runview, "answer", broken)
    answered = page.say({"id": 1, "ask": {"run": page.widget.runs[0]["name"], "kind": "open"}})
    assert "KeyError" in answered["error"]
    assert "deep inside" not in answered["error"]


def test_the_selection_goes_both_ways(opened: Open, windowed: wb.Inspection, unbounded: wb.Inspection) -> None:
    page = opened(wb.Comparison.of(windowed, unbounded))
    widget = page.widget
    a, b = (one["name"] for one in widget.runs)
    seen: list[dict[str, Any]] = []
    widget.observe(lambda change: seen.append(change["new"]), "selection")
    page.set(selection={"run": b, "token": 4, "layer": 1, "head": 3})
    assert widget.selection == {"run": b, "token": 4, "layer": 1, "head": 3}
    widget.selection = {"token": -1, "head": None}
    assert widget.selection == {"run": b, "token": len(unbounded.ids) - 1, "layer": 1, "head": None}
    assert seen == [{"run": b, "token": 4, "layer": 1, "head": 3}, widget.selection]
    widget.selection = {"run": a, "head": 0}
    page.set(tab="lens")
    assert widget.tab == "lens"


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"token": 10_000}, "token 10000 does not exist"),
        ({"token": 2.0}, "token 2.0 does not exist"),
        ({"layer": 2}, "layer 2 does not exist in this run; expected 0 to 1"),
        ({"head": 4}, "head 4 was not captured"),
        ({"head": True}, "head True was not captured"),
        ({"head": [1]}, "was not captured"),
        ({"run": "x"}, "no run 'x'"),
        ({"run": ["x"]}, "no run"),
        ({"query": 1}, "query"),
    ],
)
def test_a_selection_that_does_not_exist_changes_nothing(
    opened: Open, windowed: wb.Inspection, wanted: dict[str, Any], said: str
) -> None:
    widget = opened(windowed).widget
    before = dict(widget.selection)
    with pytest.raises(CaptureError, match=said):
        widget.selection = wanted
    with pytest.raises(CaptureError, match=said):
        windowed.widget(**wanted)
    assert widget.selection == before
    with pytest.raises(CaptureError, match="no difference"):
        widget.difference = True


def test_it_opens_where_it_is_told(opened: Open, windowed: wb.Inspection) -> None:
    assert opened(windowed).widget.selection["token"] == windowed.prompt_length
    assert opened(windowed, token=-2, layer=0, head=2).widget.selection == {
        "run": opened(windowed).widget.runs[0]["name"], "token": len(windowed.ids) - 2, "layer": 0, "head": 2,
    }  # fmt: skip


def test_a_notebook_saves_a_few_kilobytes(opened: Open, windowed: wb.Inspection, unbounded: wb.Inspection) -> None:
    for found in (windowed, wb.Comparison.of(windowed, unbounded)):
        page = opened(found)
        page.ask(run=page.widget.runs[0]["name"], kind="open")
        state = json.dumps(page.widget.get_state())
        assert len(state) < 20_000
        assert "bold" not in state, "no text of the run is in it"


def test_widgets_do_not_share_their_selection(opened: Open, windowed: wb.Inspection) -> None:
    one, other = opened(windowed), opened(windowed)
    one.set(selection={**one.widget.selection, "token": 3})
    assert (one.widget.selection["token"], other.widget.selection["token"]) == (3, windowed.prompt_length)


def test_it_says_what_it_is_where_no_widget_can_be(opened: Open, windowed: wb.Inspection) -> None:
    data, _ = opened(windowed).widget._repr_mimebundle_()
    assert "JupyterLab" in data["text/plain"]
    assert data["text/html"].startswith(f"<p>{base.WITHOUT}</p>")
    assert "application/vnd.jupyter.widget-view+json" in data


def test_without_anywidget_it_names_the_extra(windowed: wb.Inspection, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "anywidget":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *rest, **more)

    for module in [name for name in sys.modules if name.startswith("workbench.widgets.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(WorkbenchError, match=r"anywidget.*pip install 'mistral-workbench\[notebooks\]'"):
        windowed.widget()
    assert set(windowed._repr_mimebundle_()) == {"text/plain", "text/html"}
