"""Steps of the walk: one token from every side."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.axe import in_both_colours
from tests.browser.walk import VIEWS, Walk


def a_token_shows_its_attention(walk: Walk) -> None:
    walk.look_at()
    walk.token(9)
    walk.turn("Attention")
    before = walk.drawn("attention")
    walk.token(5)
    walk.page.wait_for_function("was => document.querySelector('.wb-attention').dataset.drawn !== was", arg=before)
    expect(walk.page.locator("#wb-inspector .wb-list").first).to_contain_text("reads")
    rows = walk.page.locator("#wb-inspector .wb-list").first.locator(".wb-row")
    expect(rows.first).to_be_visible()
    assert rows.count() <= 8


def from_all_heads_to_one_cell(walk: Walk) -> None:
    walk.page.get_by_role("slider", name="Layer").fill("2")
    expect(walk.page.locator("#wb-inspector .wb-slider output")).to_have_text("2 / 2")
    walk.page.locator(".wb-mosaic").click(position={"x": 110, "y": 40})
    expect(walk.page.locator("#wb-inspector .wb-attention .wb-bar > output")).to_have_text("head 0")
    expect(walk.page.locator(".wb-head-facts")).to_contain_text("reaches back")
    over = walk.page.locator(".wb-over")
    box = over.bounding_box()
    assert box
    over.click(position={"x": 70, "y": box["height"] * 0.6})
    expect(walk.page.locator(".wb-where")).not_to_contain_text("position 5 of")
    walk.page.get_by_label("hide the sink").check()
    expect(walk.page.locator(".wb-grow figcaption")).to_contain_text("sink left out")
    expect(walk.page.locator(".wb-grow figcaption")).to_contain_text("outside the window of 24 tokens")
    walk.page.get_by_label("hide the sink").uncheck()


def the_lens_names_every_layer(walk: Walk) -> None:
    walk.turn("Logit lens")
    walk.drawn("lens")
    expect(walk.page.locator(".wb-lens-grid tbody th")).to_have_text(["output", "2", "1", "embed"])
    for mode in ("rank of the actual token", "distance to the output"):
        walk.page.get_by_role("radio", name=mode).click()
    expect(walk.page.locator(".wb-lens-chart")).to_contain_text("came next")


def the_cache_says_what_it_holds(walk: Walk) -> None:
    walk.turn("KV cache")
    walk.drawn("cache")
    expect(walk.page.locator(".wb-cache")).to_contain_text(re.compile(r"The cache holds \d"))
    expect(walk.page.locator(".wb-cache")).to_contain_text("The window of 24 has dropped the first")
    expect(walk.page.locator(".wb-cache-bars .wb-row")).to_have_count(3)


def the_next_token_and_its_rivals(walk: Walk) -> None:
    walk.turn("Next token")
    walk.drawn("next")
    lists = walk.page.locator(".wb-next .wb-list")
    expect(lists).to_have_count(2)
    expect(lists.nth(1).locator(".wb-row").nth(4)).to_be_visible()


def two_models_differ(walk: Walk) -> None:
    walk.look_at("difference")
    expect(walk.page.locator(".wb-parting")).to_contain_text("The answers")
    walk.kept["axe"] = []
    for tab in VIEWS:
        walk.turn(tab)
        expect(walk.page.locator("[role=tabpanel]:visible")).not_to_be_empty()
        walk.page.wait_for_function("document.querySelector('[role=tabpanel]:not([hidden])').dataset.drawn")
        walk.kept["axe"] += in_both_colours(walk.page, "#wb-inspector")
    walk.look_at()


def data_figure_and_code(walk: Walk) -> None:
    walk.turn("Attention")
    walk.drawn("attention")
    head = walk.page.locator("#wb-inspector .wb-attention .wb-actions").first
    head.get_by_role("button", name=re.compile("^data", re.I)).click()
    walk.kept["axe"] = in_both_colours(walk.page, "#wb-inspector")
    with walk.page.expect_download() as table:
        head.get_by_role("menuitem", name=re.compile("^CSV")).first.click()
    assert "head 0" in Path(table.value.path()).read_text(encoding="utf-8-sig").splitlines()[0]
    head.get_by_role("button", name=re.compile("^figure", re.I)).click()
    with walk.page.expect_download() as figure:
        head.get_by_role("menuitem", name=re.compile("SVG")).click()
    assert "<svg" in Path(figure.value.path()).read_text()[:400]
    head.get_by_role("button", name=re.compile("^code", re.I)).click()
    expect(walk.page.locator(".wb-attention .wb-code pre")).to_contain_text("import workbench as wb")
