"""The token strip while a reply is written: what a page can know while its cell runs, and what is left of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from tests.widgets.conftest import Page
from workbench import widgets
from workbench.errors import CaptureError
from workbench.views import tokens
from workbench.widgets import base, strip

LISTS = strip.LISTS


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Callable[..., Path]) -> wb.Model:
    return wb.load(str(tiny_checkpoint(window=24)))


@pytest.fixture
def run(model: wb.Model) -> Iterator[Any]:
    made = model.generate("Say a < b again and again", wb.Sampling(max_new_tokens=8), capture=wb.Capture.full())
    yield made
    made.close()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every update is sent."""
    monkeypatch.setattr(strip, "PACE", 0.0)


def known(widget: Any) -> dict[str, list[Any]]:
    """What a page that has the state alone knows of the text."""
    more = widget.grown or {name: [] for name in LISTS} | {"from": len(widget.begun["tokens"])}
    assert more["from"] == len(widget.begun["tokens"])
    return {name: widget.begun[name] + more[name] for name in LISTS}


def test_the_state_tells_all_while_the_run_goes_on_and_nothing_afterwards(run: Any, at_once: None) -> None:
    made = widgets.TokenStrip(run)
    assert made.live
    assert known(made)["ids"] == list(run.prompt.ids)
    assert made.script == base.script(), "a kernel that runs a cell answers nobody"
    json.dumps(made.get_state(), allow_nan=False)
    for step in run:
        seen = known(made)
        assert len(seen["ids"]) == len(made) == step.position + 1
        assert (seen["tokens"][-1], seen["ids"][-1], seen["rank"][-1]) == (step.piece, step.token_id, step.rank)
        assert seen["logprob"][-1] == pytest.approx(step.logprob, abs=1e-4)
        assert made.runs[0]["summary"] == f"{len(run.prompt)} + {len(made) - len(run.prompt)} tokens"
    assert (made.live, made.begun, made.grown, made.script) == (False, None, None, "")
    assert len(json.dumps(made.get_state())) < 12_000
    assert Page(made).ask(kind="open")["tokens"] == tokens.pack(run.inspection)
    asked = {"panel": "tokens", "token": 0, "layer": 0, "head": -1}
    assert "wb.load" in Page(made).ask(run=made.runs[0]["name"], kind="code", **asked)["code"]


def test_a_page_is_told_twelve_times_a_second_and_never_much_twice(
    model: wb.Model, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(strip.time, "monotonic", lambda: now[0])
    made = widgets.TokenStrip(run)
    sent: list[int] = []
    made.observe(lambda change: sent.append(len(made)), "grown")
    for _ in run:
        now[0] += strip.PACE * 0.4
    assert len(sent) <= 4, "eight steps in 3.2 times the pace, and the end"

    long = widgets.TokenStrip(model.encode("word " * 200))
    begun: list[int] = []
    long.observe(lambda change: begun.append(len(change["new"]["ids"])), "begun")
    for step in _steps(run, len(long), 300):
        now[0] += 1
        long.extend(step)
        assert len(known(long)["ids"]) == len(long)
    assert len(begun) <= 4, "the whole is sent again after a quarter more"


def _steps(run: Any, position: int, count: int) -> list[Any]:
    """``count`` steps like the last one of ``run``, from ``position`` on."""
    from dataclasses import replace

    return [replace(run.steps[-1], position=position + i) for i in range(count)]


def test_a_run_that_is_stopped_leaves_nothing_in_the_state(run: Any, at_once: None) -> None:
    next(run)
    made = widgets.TokenStrip(run)
    page = Page(made)
    assert len(made) == len(run.prompt) + 1, "what came before the strip"
    next(run)
    assert page.ask(kind="open")["tokens"]["ids"][-1] == run.steps[-1].token_id
    assert "not over" in page.say({"id": 1, "ask": {"kind": "data", "run": made.runs[0]["name"]}})["error"]
    run.close()
    run.close()
    assert (made.live, made.script, made.begun) == (False, "", None)
    assert page.ask(kind="open")["tokens"] == tokens.pack(run.inspection)
    over = widgets.TokenStrip(run)
    assert not over.live
    assert over.selection["token"] == len(run.prompt)


def test_a_run_that_fails_leaves_what_came(run: Any, at_once: None, monkeypatch: pytest.MonkeyPatch) -> None:
    made = widgets.TokenStrip(run)
    next(run)

    def broken(*given: Any, **more: Any) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr("workbench.generation.decoding.forward", broken)
    with pytest.raises(MemoryError):
        next(run)
    assert not made.live
    assert made.script == ""
    assert len(Page(made).ask(kind="open")["tokens"]["ids"]) == len(run.prompt) + 1


def test_tokens_of_another_source_can_be_added(model: wb.Model, run: Any) -> None:
    list(run)
    made = widgets.TokenStrip(run.prompt, name="mine")
    made.extend(run.steps[:2])
    made.extend(run.steps[2])
    with pytest.raises(CaptureError, match=r"position \d+ does not follow; expected position"):
        made.extend(run.steps[1])
    assert len(made) == len(run.prompt) + 3
    with pytest.raises(CaptureError, match="another text"):
        made.finish(model.inspect("Something else"))
    made.finish(run.inspection)
    assert made.runs[0]["name"] == "mine"
    with pytest.raises(CaptureError, match="over"):
        made.extend(run.steps[-1])


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"token": 10_000}, "token 10000 does not exist"),
        ({"token": True}, "token True does not exist"),
        ({"run": "x"}, "no run 'x'"),
        ({"layer": 1}, "a selection of layer is unknown"),
    ],
)
def test_a_selection_that_does_not_exist_changes_nothing(
    windowed: wb.Inspection, wanted: dict[str, Any], said: str
) -> None:
    made = widgets.TokenStrip(windowed)
    before = dict(made.selection)
    with pytest.raises(CaptureError, match=said):
        made.selection = wanted
    assert made.selection == before
    made.selection = {"token": -2}
    assert made.selection["token"] == len(windowed.ids) - 2
    assert made.selection["run"] == made.runs[0]["name"]
