"""Single views, their links, and what they leave where no widget can be."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

import workbench as wb
from tests.widgets.conftest import Page
from workbench import widgets
from workbench.errors import CaptureError, WorkbenchError
from workbench.views import answer

SINGLE = {
    "attention": widgets.AttentionView,
    "lens": widgets.LensView,
    "cache": widgets.CacheView,
    "next": widgets.NextTokenView,
}


@pytest.fixture
def strip(windowed: wb.Inspection) -> Any:
    made = widgets.TokenStrip(windowed)
    yield made
    made.close()


@pytest.mark.parametrize("tab", SINGLE)
def test_a_single_view_gets_its_own_payload_alone(windowed: wb.Inspection, tab: str) -> None:
    page = Page(SINGLE[tab](windowed, token=20, layer=1))
    run = page.widget.runs[0]["name"]
    whole, found = answer(windowed, run, {"kind": "open"}), page.ask(run=run, kind="open")
    assert found["tokens"] == {"tokens": list(windowed.tokens)}
    assert found[tab] == whole[tab]
    assert all(found[other] == {} for other in SINGLE if other != tab)
    assert (page.widget.tab, page.widget.selection["token"]) == (tab, 20)
    with pytest.raises(CaptureError, match=f"this widget shows {tab} alone"):
        page.widget.tab = "lens" if tab != "lens" else "next"
    assert len(json.dumps(page.widget.get_state())) < 12_000


def test_views_of_a_comparison(windowed: wb.Inspection, unbounded: wb.Inspection) -> None:
    both = wb.Comparison.of(windowed, unbounded)
    for made in (widgets.DifferenceView(both), widgets.AttentionView(both)):
        assert made.difference
        page = Page(made)
        assert page.ask(kind="difference", part="open")["lengths"] == [len(windowed.ids), len(unbounded.ids)]
        data, _ = made._repr_mimebundle_()
        assert html.escape(both.parting.sentence) in data["text/html"]
    b = both.b.model["name"].rsplit("/", 1)[-1]
    named = widgets.AttentionView(both, run=widgets.AttentionView(both).runs[1]["name"], token=3)
    assert not named.difference
    assert named.selection["run"].endswith(b)
    with pytest.raises(CaptureError, match=r"Inspection has no difference.*wb\.compare"):
        widgets.DifferenceView(windowed)


@pytest.mark.parametrize("made", [*SINGLE.values(), widgets.Inspector, widgets.TokenStrip])
def test_something_else_is_refused_in_a_sentence(made: Any) -> None:
    with pytest.raises(CaptureError, match=r"of str cannot be made; expected an Inspection"):
        made("run.inspection")


def test_linked_views_follow_each_other(windowed: wb.Inspection, strip: Any) -> None:
    attention, lens = widgets.AttentionView(windowed, token=5, layer=1, head=2), widgets.LensView(windowed)
    bond = widgets.link(attention, strip, lens)
    assert (strip.selection["token"], lens.selection["token"], lens.selection["head"]) == (5, 5, 2)
    strip.selection = {"token": -1}
    assert attention.selection == {**lens.selection} == {**attention.selection, "token": len(windowed.ids) - 1}
    lens.selection = {"layer": 0, "head": None}
    assert (attention.selection["layer"], attention.selection["head"]) == (0, None)
    assert all(one.links == attention.links and one.links for one in (strip, lens))
    bond.unlink()
    strip.selection = {"token": 2}
    assert attention.selection["token"] == len(windowed.ids) - 1
    assert strip.links == []


def test_a_page_tells_the_linked_views_that_it_shows_itself(windowed: wb.Inspection) -> None:
    """An answer of ours would come late, when the next click is made already."""
    one, other, hidden = (Page(widgets.AttentionView(windowed)) for _ in range(3))
    widgets.link(one.widget, other.widget, hidden.widget)
    other._arrive({"method": "custom", "content": {"shown": True}})
    before = other.widget.selection
    one.set(selection={**one.widget.selection, "token": 4})
    assert hidden.widget.selection["token"] == 4, "no page tells it"
    assert other.widget.selection == before
    other.set(selection={**before, "token": 4})
    one.widget.selection = {"token": 6}
    assert other.widget.selection["token"] == 6, "Python tells all"
    other._arrive({"method": "custom", "content": {"shown": False}})
    one.set(selection={**one.widget.selection, "token": 7})
    assert other.widget.selection["token"] == 7


def test_what_another_run_does_not_have_stays_as_it_is(windowed: wb.Inspection, unbounded: wb.Inspection) -> None:
    a, b = widgets.AttentionView(windowed, head=3), widgets.AttentionView(unbounded, token=2)
    widgets.link(a, b)
    assert (b.selection["run"], b.selection["head"]) == (b.runs[0]["name"], 3)
    a.selection = {"head": 2, "layer": 1, "token": 9}
    assert b.selection == {"run": b.runs[0]["name"], "token": 9, "layer": 1, "head": 3}, "head 2 was not captured"
    short = widgets.TokenStrip(wb.load(str(windowed.provenance["model"])).encode("Hi"))
    widgets.link(b, short)
    before = short.selection["token"]
    b.selection = {"token": 30}
    assert short.selection["token"] == before


def test_what_cannot_be_linked(windowed: wb.Inspection, strip: Any) -> None:
    with pytest.raises(WorkbenchError, match="Inspection cannot be linked"):
        widgets.link(strip, windowed)  # type: ignore[arg-type]
    for members in ((), (strip,), (strip, strip)):
        with pytest.raises(WorkbenchError, match="nothing to link"):
            widgets.link(*members)


@pytest.mark.parametrize("tab", SINGLE)
def test_where_no_widget_can_be_the_view_is_a_table(windowed: wb.Inspection, tab: str) -> None:
    token = windowed.prompt_length
    data, _ = SINGLE[tab](windowed, token=token, layer=1, head=2)._repr_mimebundle_()
    said = data["text/html"]
    assert "<table>" in said
    assert "<script" not in said
    assert len(said) < 8_000
    if tab == "attention":
        reads, readers = windowed.attention.row(token, 1)[2], windowed.attention.column(token, 1)[2]
        for title, shares in ((f"What token {token} reads", reads), (f"Who reads token {token}", readers)):
            best = int(shares.argmax())
            first = said.split(title)[1].split("<tr>")[1]
            assert first.startswith(f"<td>{best}</td>"), title
            assert f"{100 * float(shares[best]):.1f} %" in first
        last, _ = SINGLE[tab](windowed, token=-1)._repr_mimebundle_()
        assert "produced last" in last["text/html"]
    if tab == "lens":
        assert "<td>output</td>" in said
        assert "<td>embeddings</td>" in said
    if tab == "cache":
        assert f"<td>{int(windowed.kv_cache.bytes[0])}</td>" in said
    if tab == "next":
        assert f"Instead of token {token}" in said


def test_what_was_not_captured_is_a_sentence(unbounded: wb.Inspection, tiny_checkpoint: Callable[..., Any]) -> None:
    bare = wb.load(str(tiny_checkpoint())).inspect("Hello there", wb.Capture(attention=None, lens=None, kv_cache=False))
    for tab, made in SINGLE.items():
        data, _ = made(bare)._repr_mimebundle_()
        assert "captured" in data["text/html"], tab


def test_tokens_are_escaped_where_no_widget_can_be(windowed: wb.Inspection, strip: Any) -> None:
    for made in (strip, widgets.Inspector(windowed)):
        data, _ = made._repr_mimebundle_()
        said = data["text/html"]
        assert not re.search(r"<(?!/?(p|span|b|small|table|tr|t[hd])\b)", said), "no tag but ours"
        assert "&lt;" in said
        assert len(said) < 60_000
    assert strip.static().count("<span") == len(windowed.ids)
    assert strip.static().count("<b>") == 1, "the selected one"


def test_names_complete_and_docstrings_answer() -> None:
    assert set(widgets.__all__) <= set(dir(widgets))
    for name in widgets.__all__:
        assert getattr(widgets, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        widgets.Nothing  # noqa: B018
