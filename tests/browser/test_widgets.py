"""Widgets in a page without Jupyter: linked, by mouse and keys, from Python, and while a reply is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

import workbench as wb
from tests.browser.conftest import Watched
from tests.browser.mounted import Kernel, write_page
from workbench import widgets

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser walk")]


def test_single_views_in_a_page(watched: Callable[..., Watched], models: list[str], tmp_path: Path) -> None:
    page = watched(write_page(tmp_path)).page
    kernel = Kernel(page)
    model = wb.load(models[0])
    sampling = wb.Sampling(max_new_tokens=12)
    run = model.generate("Say a < b & <b>bold</b> again and again", sampling, capture=wb.Capture.full())

    # While a reply is written the kernel answers nobody, and the strip shows every token.
    page.evaluate("window.busy = true")
    live = widgets.TokenStrip(run)
    growing = kernel.show(live)
    expect(growing.locator(".wb-token")).to_have_count(len(run.prompt))
    assert growing.locator(".wb-token", has_text="<b>").count() == 0
    for step in run:
        if step.index == 5:
            live._tell(now=True)  # whatever the clock says
            kernel.flush()
            expect(growing.locator(".wb-token")).to_have_count(step.position + 1)
            growing.locator(".wb-token[data-i='2']").click()
            expect(growing.locator(".wb-token.wb-on")).to_have_attribute("data-i", "2")
    kernel.flush()
    page.evaluate("window.free()")
    found = run.inspection
    expect(growing.locator(".wb-token")).to_have_count(len(found.ids))
    expect(growing.locator(".wb-token:not(.wb-unknown)")).to_have_count(
        len(found.ids) - 1
    )  # the prompt's are known now
    assert growing.locator("[data-tokens]").get_attribute("data-live") == "false"
    expect(growing.locator(".wb-token.wb-on")).to_have_attribute("data-i", "2")
    assert live.selection["token"] == 2

    # Linked views: a click goes to the others in the page, before the kernel hears of it.
    attention, lens = widgets.AttentionView(found, layer=0), widgets.LensView(found)
    widgets.link(live, attention, lens)
    shown, grid = kernel.show(attention), kernel.show(lens)
    expect(shown.locator(".wb-attention")).to_have_attribute("data-drawn", "wb1run0/0/-1/2/false/false")
    expect(grid.locator(".wb-lens[data-drawn]")).to_be_attached()
    expect(shown.get_by_role("tab")).to_have_count(0)
    page.evaluate("window.busy = true")
    growing.locator(".wb-token[data-i='5']").click()
    for one in (shown, grid):
        expect(one.locator(".wb-where")).to_contain_text("position 5")
    assert attention.selection["token"] == 2
    page.evaluate("window.free()")
    expect(shown.locator(".wb-attention")).to_have_attribute("data-drawn", "wb1run0/0/-1/5/false/false")
    assert [one.selection["token"] for one in (live, attention, lens)] == [5, 5, 5]

    # By keys: the strip's own, and those of a view without a strip.
    growing.locator(".wb-strip").focus()
    page.keyboard.press("ArrowRight")
    expect(shown.locator(".wb-where")).to_contain_text("position 6")
    shown.locator(".wb-look-card").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowUp")
    expect(shown.locator(".wb-attention")).to_have_attribute("data-drawn", "wb1run0/1/-1/5/false/false")
    expect(growing.locator(".wb-token.wb-on")).to_have_attribute("data-i", "5")
    assert lens.selection == attention.selection == {**attention.selection, "token": 5, "layer": 1}

    # From Python: one view is told, all follow; the colour of the strip; dark.
    lens.selection = {"token": 9, "layer": 2}
    live.mode = "entropy"
    kernel.flush()
    expect(shown.locator(".wb-attention")).to_have_attribute("data-drawn", "wb1run0/2/-1/9/false/false")
    expect(growing.locator(".wb-token.wb-on")).to_have_attribute("data-i", "9")
    expect(growing.get_by_role("radio", name="entropy")).to_have_attribute("aria-checked", "true")
    growing.get_by_role("radio", name="surprise").click()
    expect(growing.locator(".wb-tokens")).to_have_attribute("data-mode", "surprise")
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    expect(shown.locator(".wb-attention")).to_have_attribute("data-drawn", "wb1run0/2/-1/9/false/true")
    assert live.mode == "surprise"


def test_views_of_a_comparison_in_a_page(watched: Callable[..., Watched], models: list[str], tmp_path: Path) -> None:
    page = watched(write_page(tmp_path)).page
    kernel = Kernel(page)
    both = wb.compare(*map(wb.load, models), "Hello again, hello", sampling=wb.Sampling(max_new_tokens=4))
    made = widgets.DifferenceView(both)
    inside = kernel.show(made)
    expect(inside.locator(".wb-parting")).to_contain_text(both.parting.sentence[:40])
    expect(inside.locator(".wb-token")).to_have_count(0)
    inside.get_by_role("tab", name="KV cache").click()
    expect(inside.locator(".wb-panel:not([hidden])")).to_contain_text("layer")
    assert made.tab == "cache"
    one = kernel.show(widgets.CacheView(both.a))
    expect(one.locator(".wb-cache")).to_be_visible()
    following = kernel.show(widgets.NextTokenView(both, token=3))
    expect(following.locator(".wb-where")).to_contain_text("position 3 of both")


def test_the_fallback_wraps_in_a_host_that_keeps_lines(
    watched: Callable[..., Watched], models: list[str], tmp_path: Path
) -> None:
    page = watched(write_page(tmp_path)).page
    found = wb.load(models[0]).inspect("a long text of many words " * 20 + "=-" * 60, wb.Capture(lens=None))
    data, _ = widgets.TokenStrip(found)._repr_mimebundle_()
    page.set_viewport_size({"width": 390, "height": 800})
    page.set_content(f'<div id="out" style="white-space:pre;overflow:auto">{data["text/html"]}</div>')
    wide, high = page.evaluate("[out.scrollWidth, out.querySelector('p + p').clientHeight]")
    assert wide <= 390
    assert high > 200, "several lines"
