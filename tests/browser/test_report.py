"""The self-contained report opens from a file, draws every view, and asks nobody."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

import workbench as wb
from tests.browser.talking import becomes

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def report(models: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of both models on one question."""
    from workbench.report import write_html

    found = []
    for name in models:
        run = wb.load(name).generate(
            [{"role": "user", "content": "Close </script> and <b>open</b>, again and again and again and again"}],
            wb.Sampling(max_new_tokens=10),
            wb.Capture.full(),
        )
        for _ in run:
            pass
        found.append(run.inspection)
    return write_html(found, tmp_path_factory.mktemp("report") / "r.html", title="Two <models>")


def test_every_view_draws_from_the_file_and_it_fits_a_phone(watched: Callable, report: Path) -> None:
    page = watched(report.as_uri(), dark=True).page
    page.wait_for_selector(".wb-attention[data-drawn]")
    expect(page.locator("h1")).to_have_text("Two <models>")
    expect(page.locator(".wb-report-text").first).to_contain_text("</script> and <b>open</b>")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.locator(".wb-tokens").first.locator(".wb-token[data-i='4']").click()
    expect(page.locator(".wb-where")).to_contain_text("position 4")
    expect(page.locator(".wb-list .wb-row").first).to_be_visible()
    for tab, view in (("Logit lens", "lens"), ("KV cache", "cache"), ("Next token", "next")):
        page.get_by_role("tab", name=tab).click()
        page.wait_for_selector(f".wb-{view}[data-drawn]")
    page.locator(".wb-tokens").nth(1).locator(".wb-token").last.click()
    page.get_by_role("tab", name="Attention").click()
    expect(page.locator(".wb-attention .wb-message")).to_contain_text("not in this file")

    # The models' names are the paths of their folders: one long word each.
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme="light")
    page.reload()
    page.wait_for_selector(".wb-attention[data-drawn]")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    # The views measure their place once more after the first drawing: what must hold is where that settles. The page's
    # policy forbids wait_for_function.
    too_wide = "[...document.querySelectorAll('*')].filter(e => e.getBoundingClientRect().right > innerWidth)"
    fits = "document.documentElement.scrollWidth <= window.innerWidth"
    becomes(page, [], page.evaluate, f"{fits} ? [] : {too_wide}.map(e => e.className)")
