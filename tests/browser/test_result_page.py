"""The page of a study opens from a file: its grid answers clicks, its tables sort, its charts tell numbers by keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import expect

import workbench as wb

pytestmark = pytest.mark.browser

HOSTILE = "</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def grid() -> wb.Grid:
    """Two models, one of them called as nobody should be; 2 lengths, 2 depths, 2 cases; the first is always right."""
    rows = [
        {"key": f"{model}{length}{depth}{case}", "item": f"{length}{depth}{case}", "model": model, "switches": model,
         "weights": model, "task": "needle", "length": length, "depth": depth, "case": case, "right": model == "one",
         "share": float(model == "one"), "logprob": -3.0, "expected_tokens": 6, "seconds": 0.1,
         "expected": "red", "answer": f"<b>{length}</b>"}
        for model in ("one", HOSTILE) for length in (256, 512) for depth in (0.0, 1.0) for case in (0, 1)
    ]  # fmt: skip
    return wb.Grid(pd.DataFrame(rows))


def test_a_grid_and_a_chart_from_disk(watched: Callable, grid: wb.Grid, tmp_path: Path) -> None:
    path = grid.to_html(tmp_path / "grid.html", title=f"All of {HOSTILE}")
    page = watched(path.as_uri()).page
    expect(page.locator("h1")).to_have_text(f"All of {HOSTILE}")
    canvas = page.locator("canvas.wb-grid")
    canvas.focus()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    answers = page.locator(".wb-grid-answers")
    expect(answers.locator("h3")).to_contain_text("512 tokens, depth 0 %: 2 answers")
    expect(answers.locator("tbody tr").first).to_contain_text("<b>512</b>")
    # A press on a column's head sorts: numbers fall first, then rise.
    cells = page.locator(".wb-card").nth(3)
    head = cells.get_by_role("button", name="length")
    head.click()
    expect(cells.locator("thead th").nth(2)).to_have_attribute("aria-sort", "descending")
    expect(cells.locator("tbody tr").first.locator("td").nth(1)).to_have_text("512")
    cells.get_by_role("button", name="length").click()
    expect(cells.locator("tbody tr").first.locator("td").nth(1)).to_have_text("256")
    expect(page.locator("img")).to_have_count(0)

    plan = wb.memory("v0.2", 4096)
    page = watched(plan.to_html(tmp_path / "plan.html").as_uri()).page
    chart = page.locator(".wb-charts")
    expect(page.locator(".wb-chart-mark")).to_have_count(6)
    chart.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".wb-chart [role=status]")).to_contain_text(f"weights: {plan.weights / 2**30:.3f} GiB")
    page.get_by_role("radio", name="dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.set_viewport_size({"width": 390, "height": 844})
    expect(page.locator(".wb-charts svg").first).to_be_visible()
    for _ in range(100):  # the page's policy forbids wait_for_function
        if fits := page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"):
            break
        page.wait_for_timeout(100)
    assert fits
    # A browser that cannot decompress says so, in words, and draws nothing.
    page.add_init_script("delete window.DecompressionStream")
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("This browser cannot unpack the data of this page")
    expect(page.get_by_role("alert")).to_contain_text("Firefox 113")
    assert page.locator("h1").count() == 0
