"""The difference of two runs on a real page: in a report, and in the app with what was measured on demand."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Page, expect

import workbench as wb
from tests.browser.axe import violations
from tests.browser.talking import becomes, ready, said
from workbench.comparison import divergence
from workbench.comparison.divergence import compared

pytestmark = pytest.mark.browser

TABS = ("Attention", "Logit lens", "KV cache", "Next token")


@pytest.fixture(scope="module")
def comparison(models: list[str]) -> wb.Comparison:
    """Two models on one hostile question, measured."""
    question = [{"role": "user", "content": "Close </script> and <b>open</b>, again and again and again and again"}]
    return wb.compare(
        *(wb.load(name) for name in models), question, sampling=wb.Sampling(max_new_tokens=10),
        capture=wb.Capture.full(), exact="all",
    )  # fmt: skip


@pytest.fixture(scope="module")
def report(comparison: wb.Comparison, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return comparison.to_html(tmp_path_factory.mktemp("difference") / "two.html")


def in_difference(page: Page) -> None:
    page.get_by_role("radio", name="difference").click()
    page.wait_for_selector(".wb-parting")


def test_a_report_shows_what_differs(watched: Callable, report: Path, comparison: wb.Comparison) -> None:
    page = watched(report.as_uri(), dark=True, width=390).page
    page.wait_for_selector(".wb-attention[data-drawn]")

    # By keyboard, narrow and dark.
    page.locator("[aria-label='Model to inspect'] button[aria-checked='true']").focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector(".wb-parting")
    page.locator(".wb-panel:visible .wb-mosaic").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".wb-attention .wb-number").nth(1)).to_have_text("head 0")
    page.keyboard.press("ArrowLeft")

    # What is said of the two, and every view, narrow and wide.
    expect(page.locator(".wb-parting p")).to_have_text(comparison.parting.sentence)
    page.get_by_role("button", name="Go there").click()
    parted = comparison.parting.chosen[0].position  # type: ignore[union-attr]
    expect(page.locator(".wb-where-text")).to_contain_text(f"position {parted}")
    for width in (390, 1360):
        page.set_viewport_size({"width": width, "height": 900})
        for tab in TABS:
            page.get_by_role("tab", name=tab).click()
            expect(page.locator(".wb-panel:visible [data-drawn], .wb-panel[data-drawn]:visible").first).to_be_visible()
            becomes(page, True, page.evaluate, "document.documentElement.scrollWidth <= window.innerWidth + 1")
        expect(page.locator(".wb-panel:visible .wb-note").first).to_contain_text("KL(")

    # A token marks its counterpart.
    page.get_by_role("radiogroup", name="Model to inspect").get_by_role("radio").first.click()
    strips = page.locator(".wb-tokens")
    strips.first.locator(".wb-token[data-i='5']").click()
    expect(strips.nth(1).locator(".wb-peer")).to_have_attribute("data-i", "5")
    strips.nth(1).locator(".wb-token[data-i='7']").click()
    expect(strips.first.locator(".wb-peer")).to_have_attribute("data-i", "7")
    expect(strips.nth(1).locator(".wb-peer")).to_have_count(0)
    in_difference(page)
    page.get_by_role("button", name="Go there").click()
    expect(strips.first.locator(".wb-on")).to_have_attribute("data-i", str(parted))
    expect(strips.nth(1).locator(".wb-peer")).to_have_attribute("data-i", str(parted))
    alone = next(i for i in range(parted + 1, len(comparison.a.ids)) if comparison.alignment.counterpart(i) is None)
    strips.first.locator(f".wb-token[data-i='{alone}']").click()
    expect(strips.nth(1).locator(".wb-peer")).to_have_count(0)


def test_the_numbers_are_those_of_the_comparison_and_can_be_taken_away(
    watched: Callable, report: Path, comparison: wb.Comparison
) -> None:
    page = watched(report.as_uri()).page
    page.wait_for_selector(".wb-attention[data-drawn]")
    page.locator(".wb-tokens").first.locator(".wb-token[data-i='6']").click()
    in_difference(page)
    expect(page.locator(".wb-where-text")).to_have_text("position 6 of both")
    page.get_by_role("tab", name="Next token").click()
    row = comparison.table.iloc[6]
    note = page.locator(".wb-panel:visible .wb-list .wb-note").first
    expect(note).to_contain_text(f"{row['kl_ab']:.2f} nats")
    expect(note).to_contain_text(f"{row['kl_ba']:.2f} nats")
    page.get_by_role("tab", name="Logit lens").click()
    selected = page.locator(".wb-lens-grid tbody tr").first.locator("td.wb-on")
    lens = comparison.lens
    difference = float(lens.difference.sel(place=5, layer=lens.layer.values[-1]))
    expect(selected).to_have_text(f"{'−' if difference < 0 else '+'}{abs(difference):.1f}")
    page.get_by_role("tab", name="KV cache").click()
    held = comparison.kv_cache[("physical_length", "a")][0]
    expect(page.locator(".wb-cache-two .wb-two-values").first).to_contain_text(f"{held} ·")
    page.get_by_role("tab", name="Attention").click()
    page.wait_for_selector(".wb-panel:visible .wb-legend-line")
    reads = [comparison.a, comparison.b]
    shares = [one.attention.row(6, 1).mean(0).max() for one in reads]  # type: ignore[union-attr]
    expect(page.locator(".wb-panel:visible .wb-list").first).to_contain_text(f"{100 * max(shares):.1f} %")

    # Every panel gives its data, figure and code.
    length = comparison.attention.length
    expected = {
        "Attention": (length * (length + 1) // 2, "found.attention.map(1)"),
        "Logit lens": (comparison.lens.sizes["layer"], "found.lens"),
        "KV cache": (3, "found.kv_cache"),
        "Next token": (5, "found.table"),
    }
    taken: dict[str, list[str]] = {}
    for tab, (least, words) in expected.items():
        page.get_by_role("tab", name=tab).click()
        panel = page.locator(".wb-panel:visible")
        panel.get_by_role("button", name="Data of").click()
        with page.expect_download() as found:
            panel.get_by_role("menuitem").filter(has_text="CSV").last.click()
        lines = Path(found.value.path()).read_text("utf-8-sig").splitlines()
        assert len(lines) > least, tab
        taken[tab] = lines
        panel.get_by_role("button", name="Data of").click()
        with page.expect_download() as found:
            panel.get_by_role("menuitem").filter(has_text="NPZ").click()
        assert len(np.load(Path(found.value.path())).files) > 1
        panel.get_by_role("button", name="Figure of").click()
        with page.expect_download() as found:
            panel.get_by_role("menuitem").filter(has_text="PNG").click()
        assert Path(found.value.path()).read_bytes().startswith(b"\x89PNG")
        panel.get_by_role("button", name="Code of").click()
        expect(panel.locator("pre")).to_contain_text(words)
    lens = pd.read_csv(io.StringIO("\n".join(taken["Logit lens"])))
    row = lens[(lens["position_a"] == 6) & (lens["layer"] == 3)].iloc[0]
    at = comparison.lens.sel(place=5, layer=3)
    assert row["logprob_b"] == pytest.approx(float(at.logprob_b), abs=1e-4)


def test_the_page_measures_on_demand_and_stops(
    watched: Callable, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = watched(address).page
    ready(page)
    said(page, "Where do they part?")  # of its own: what is measured of two runs is kept for all who see them
    page.locator(".wb-column-strip").first.locator(".wb-token[data-i='4']").click()
    expect(page.locator(".wb-column-strip").nth(1).locator(".wb-peer")).to_have_attribute("data-i", "4")
    in_difference(page)
    page.get_by_role("tab", name="Next token").click()
    expect(page.locator(".wb-panel:visible .wb-note").first).to_contain_text("KL not measured")
    for tab in reversed(TABS):
        page.get_by_role("tab", name=tab).click()
        page.wait_for_selector(".wb-panel:visible[data-drawn]")
    page.get_by_role("tab", name="Next token").click()
    before = page.locator(".wb-parting p").inner_text()
    with monkeypatch.context() as slow:
        slow.setattr(divergence, "CHUNK", 1)
        slow.setattr(divergence, "compared", lambda *values: (time.sleep(0.5), compared(*values))[1])
        page.get_by_role("button", name="Measure exactly").click()
        expect(page.locator(".wb-measuring")).to_contain_text("Both models read the texts")
        page.locator(".wb-measuring").get_by_role("button", name="Stop").click()
        expect(page.locator(".wb-measuring")).to_contain_text("The measurement was stopped")
    expect(page.locator(".wb-panel:visible .wb-note").first).to_contain_text("KL not measured")
    page.get_by_role("button", name="Measure exactly").click()
    expect(page.locator(".wb-panel:visible .wb-note").first).to_contain_text("KL(")
    expect(page.get_by_role("button", name="Measure exactly")).to_have_count(0)
    expect(page.locator(".wb-measuring")).to_be_hidden()
    assert violations(page) == []  # before it is measured: test_walk.py
    expect(page.locator(".wb-parting p")).not_to_contain_text("at most")
    becomes(page, before.split(";")[0], lambda: page.locator(".wb-parting p").inner_text().split(";")[0])
    page.get_by_role("tab", name="Attention").click()
    expect(page.locator(".wb-panel:visible .wb-legend-line")).to_contain_text("reads more")
    page.locator("[aria-label='Model to inspect'] button").first.click()
    expect(page.locator(".wb-parting")).to_have_count(0)
    expect(page.locator(".wb-where-text")).to_contain_text("position 4 of")

    # The switch offers the difference of two only.
    in_difference(page)
    page.locator("#wb-switch label").first.click()
    expect(page.get_by_role("radio", name="difference")).to_have_count(0)
    expect(page.locator(".wb-parting")).to_have_count(0)
    page.locator("#wb-switch label").last.click()
    expect(page.get_by_role("radio", name="difference")).to_have_count(1)

    # Two kept runs are compared on the page of runs.
    page.goto(f"{address}runs")
    page.wait_for_selector(".wb-runs tbody tr")
    rows = page.locator(".wb-runs tbody tr").filter(has_text="recorded")
    for i in (0, 1):
        rows.nth(i).locator("input").check()
    page.get_by_role("button", name="Compare these two").click()
    page.wait_for_selector(".wb-parting")
    strips = page.locator(".wb-run-view .wb-tokens")
    strips.nth(1).locator(".wb-token[data-i='5']").click()
    expect(strips.first.locator(".wb-peer")).to_have_attribute("data-i", "5")
    expect(page.locator(".wb-where-text")).to_have_text("position 5 of both")
