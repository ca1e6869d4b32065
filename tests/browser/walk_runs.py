"""Steps of the walk: the page of runs, and their files."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.axe import contrast, in_both_colours, violations
from tests.browser.walk import VIEWS, Walk


def runs_are_kept(walk: Walk) -> None:
    walk.page.locator(".wb-kept a").click()
    walk.page.wait_for_selector(".wb-runs tbody tr")
    expect(walk.page.locator("h1")).to_have_count(1)
    walk.kept["axe"] = in_both_colours(walk.page)
    walk.page.locator(".wb-run-open").first.click()
    walk.page.wait_for_selector(".wb-run-view .wb-attention[data-drawn]")


def a_run_leaves_and_comes_back(walk: Walk) -> None:
    row = walk.page.locator(".wb-runs tbody tr").first
    row.get_by_role("button", name=re.compile("^Save ")).click()
    walk.kept["axe"] = in_both_colours(walk.page, ".wb-runs")
    file = walk.folder / "one.inspection"
    with walk.page.expect_download() as download:
        row.get_by_role("menuitem", name="Inspection file").click()
    download.value.save_as(file)
    walk.page.locator("input[type=file]").set_input_files(file)
    expect(walk.page.locator(".wb-runs tbody tr").first).to_contain_text("from a file")
    walk.page.wait_for_selector(".wb-run-view .wb-attention[data-drawn]")


def two_runs_are_compared(walk: Walk) -> None:
    for place in (0, 2):
        walk.page.locator(".wb-runs tbody tr").nth(place).locator("input").check()
    walk.page.get_by_role("button", name="Compare these two").click()
    expect(walk.page.locator(".wb-run-view .wb-tokens")).to_have_count(2)
    expect(walk.page.get_by_role("radio", name="difference")).to_have_attribute("aria-checked", "true")
    expect(walk.page.locator(".wb-parting")).to_be_visible()


def a_report_opens_from_its_file(walk: Walk) -> None:
    row = walk.page.locator(".wb-runs tbody tr").first
    row.get_by_role("button", name=re.compile("^Save ")).click()
    with walk.page.expect_download() as download:
        row.get_by_role("menuitem", name="HTML report").click()
    file = walk.folder / "report.html"
    download.value.save_as(file)
    walk.kept["axe"] = []
    for dark in (True, False):  # a file has its colours from its opening on
        report = walk.watched(file.as_uri(), **walk.options | {"dark": dark}).page
        report.wait_for_selector(".wb-attention[data-drawn]")
        look = violations if dark else contrast
        for tab, view in VIEWS.items():
            report.get_by_role("tab", name=tab).click()
            report.wait_for_selector(f".wb-{view}[data-drawn]")
            walk.kept["axe"] += look(report, "" if tab == "Attention" else ".wb-inspector")
        report.close()
