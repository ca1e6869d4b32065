"""The retrieval grid drawn by a real browser in a page like the report's: one script, no server."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import contrast, narrow, violations
from workbench.views import bundle
from workbench.views.grid import pack

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models; one cell untested, one without a score, one above and one below the scale."""
    scores = {
        ("v0.1", 1024): [1.0, 0.5, 0.0], ("v0.1", 4096): [0.25, math.nan, -0.5],
        ("v0.2", 1024): [1.0, 1.0, 0.5], ("v0.2", 4096): [0.75, 0.5, 1.5],
    }  # fmt: skip
    rows = [
        (length, depth, score, 8 if model == "v0.1" else 12, model)
        for (model, length), values in scores.items()
        for depth, score in zip((0.0, 0.5, 1.0), values, strict=True)
    ]
    rows.append((32768, 0.0, 1.0, 8, "v0.1"))
    payload = pack(pd.DataFrame(rows, columns=["length", "depth", "score", "n", "model"]), depth=HOSTILE)
    data = json.dumps(payload).replace("<", "\\u003c")
    page = f"""<!doctype html><html lang="en" data-theme="light"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'">
<title>Grid</title><style>body {{ background: var(--wb-ground); }}</style></head>
<body><div id="grid"></div><script>{bundle()}
window.picked = []; window.view = window.workbench.grid.draw(document.getElementById("grid"), {data},
  {{ select: (part) => window.picked.push(part) }});</script></body></html>"""
    path = tmp_path_factory.mktemp("grid") / "grid.html"
    path.write_text(page, encoding="utf-8")
    return path


def pixel(page: Page, row: int, column: int) -> list[int]:
    """The colour near the upper left corner of a cell, free of text and marks."""
    return page.evaluate(
        """([row, column]) => {
        const canvas = document.querySelector("canvas.wb-grid");
        const scale = canvas.width / canvas.clientWidth;
        const wide = (canvas.clientWidth - 69) / 3, tall = (canvas.clientHeight - 52) / 3;
        const copy = document.createElement("canvas"), x = (66 + (column + 0.12) * wide) * scale;
        const y = (8 + (row + 0.2) * tall) * scale;
        copy.getContext("2d").drawImage(canvas, Math.round(x), Math.round(y), 1, 1, 0, 0, 1, 1);
        return [...copy.getContext("2d").getImageData(0, 0, 1, 1).data].slice(0, 3); }""",
        [row, column],
    )


@pytest.mark.parametrize(("dark", "width"), [(False, 1000), (True, 1000), (False, 390)])
def test_cells_are_coloured_by_their_score(watched: Callable, host: Path, dark: bool, width: int) -> None:
    page = watched(host.as_uri(), width=width).page
    if dark:
        page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.wait_for_selector(f".wb-retrieval[data-drawn$='/{str(dark).lower()}']")
    ramp = page.evaluate("[...window.workbench.theme.sequential()]")
    assert pixel(page, 0, 0) == ramp[3 * 255 :]
    assert pixel(page, 2, 0) == ramp[:3], "no right answer has the colour of the paper"
    assert pixel(page, 0, 1) == ramp[3 * 64 : 3 * 64 + 3]
    assert pixel(page, 2, 1) == ramp[:3], "below the scale is drawn as its end"
    expect(page.locator(".wb-legend-line")).to_contain_text("n = 8 a cell")
    for mark in ("not tested", "no score", "under the scale"):
        expect(page.locator(".wb-legend-line")).to_contain_text(mark)
    page.get_by_role("radio", name="difference").click()
    sides = page.evaluate("[...window.workbench.theme.diverging()]")
    assert pixel(page, 0, 0) == sides[3 * 128 : 3 * 128 + 3], "no difference has the colour of the paper"
    assert pixel(page, 1, 0) == sides[3 * 192 : 3 * 192 + 3]
    expect(page.locator(".wb-legend-line")).to_contain_text("v0.2 less v0.1")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    look = contrast if dark else narrow if width == 390 else violations
    assert look(page, ".wb-retrieval") == []


def test_it_is_worked_by_keyboard_and_click(watched: Callable, host: Path) -> None:
    page = watched(host.as_uri(), width=900).page
    page.locator("canvas.wb-grid").focus()
    for key in ("ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
    expect(page.locator(".wb-grid-cell")).to_have_text("4\u2009096 tokens, depth 50 % · no score · n = 8")
    page.keyboard.press("Enter")
    assert page.evaluate("window.picked") == [
        {"cell": {"length": 4096, "depth": 0.5, "model": "v0.1", "score": None, "n": 8, "row": 1, "column": 1}}
    ]
    for key in ("End", "ArrowUp", "ArrowUp", "ArrowRight"):
        page.keyboard.press(key)
    expect(page.locator(".wb-grid-cell")).to_have_text("32\u2009768 tokens, depth 0 % · 100 % · n = 8")
    page.get_by_role("radio", name="v0.2").click()
    box = page.locator("canvas.wb-grid").bounding_box()
    assert box
    page.mouse.click(box["x"] + 80, box["y"] + 20)
    assert page.evaluate("window.picked.at(-1).cell") == {
        "length": 1024, "depth": 0, "model": "v0.2", "score": 1, "n": 12, "row": 0, "column": 0
    }  # fmt: skip
    page.get_by_role("radio", name="difference").click()
    expect(page.locator(".wb-hidden td").nth(2)).to_have_text("not tested")
    box = page.locator("canvas.wb-grid").bounding_box()
    assert box
    page.mouse.click(box["x"] + 80, box["y"] + 20)
    assert page.evaluate("window.picked.at(-1).cell.n") == [8, 12]


def test_more_cells_may_come_and_texts_stay_texts(watched: Callable, host: Path) -> None:
    page = watched(host.as_uri(), width=900).page
    expect(page.locator(".wb-hidden th").first).to_have_text(HOSTILE)
    payload = pack(pd.DataFrame([(64, 0.5, 0.5, 2, "v0.2")], columns=["length", "depth", "score", "n", "model"]))
    page.evaluate("(payload) => window.view.update(payload)", payload)
    expect(page.locator(".wb-retrieval .wb-badge")).to_have_text("v0.2")
    expect(page.locator(".wb-hidden td")).to_have_text("50.0 %, n = 2")
