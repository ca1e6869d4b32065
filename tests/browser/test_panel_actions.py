"""data, figure and code of every panel, in the page and in a report that has no server."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from playwright.sync_api import Page, expect

import workbench as wb
from tests.browser.axe import contrast, violations
from tests.browser.talking import becomes

pytestmark = pytest.mark.browser

PANELS = {"attention": "Attention", "lens": "Logit lens", "cache": "KV cache", "next": "Next token"}
FIRST = {"attention": "row", "lens": "grid", "cache": "layers", "next": "candidates", "tokens": "tokens"}


def take(page: Page, panel: str, word: str, item: str, tmp_path: Path) -> Path:
    """The file that ``item`` in the menu ``word`` of a panel gives."""
    head = page.locator(f".wb-{panel} .wb-actions").first
    head.get_by_role("button", name=re.compile(f"^{word}", re.I)).click()
    with page.expect_download() as waiting:
        head.get_by_role("menuitem", name=re.compile(item)).first.click()
    name = waiting.value.suggested_filename
    assert re.fullmatch(r"[\w.-]+", name)
    waiting.value.save_as(tmp_path / name)
    return tmp_path / name


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))


@pytest.fixture(scope="module")
def found(models: list[str]) -> wb.Inspection:
    run = wb.load(models[0]).generate(
        [{"role": "user", "content": "Sum =A1 and </script><b>bold</b> & @x, -y again and again and again"}],
        wb.Sampling(max_new_tokens=10),
        wb.Capture.full(),
    )
    for _ in run:
        pass
    return run.inspection


@pytest.fixture(scope="module")
def report(found: wb.Inspection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return found.to_html(tmp_path_factory.mktemp("report") / "r.html")


def opened(watched: Callable, address: str, **options: Any) -> Page:
    page: Page = watched(address, **options).page
    page.wait_for_selector(".wb-attention[data-drawn]")
    page.locator(".wb-tokens").first.locator(".wb-token[data-i='12']").click()
    expect(page.locator(".wb-where")).to_contain_text("position 12")
    return page


def found_name(report: Path) -> str:
    """The last part of the model's name: the folder of its checkpoint."""
    return re.search(r"checkpoint\d+", report.read_text(encoding="utf-8"))[0]  # type: ignore[index]


def test_a_report_gives_data_code_and_figures_without_a_server(
    watched: Callable, report: Path, found: wb.Inspection, tmp_path: Path
) -> None:
    page = opened(watched, report.as_uri(), dark=True)

    # Code that runs, and nobody stumbles over the open menu and code.
    page.locator(".wb-attention").get_by_role("button", name=re.compile("^code", re.I)).click()
    names: dict[str, Any] = {}
    exec(page.locator(".wb-attention .wb-code pre").inner_text(), names)
    assert np.allclose(names["reads"][:13], found.attention.row(12, 1)[:, :13].mean(0), atol=1e-6)  # type: ignore[union-attr]
    button = page.locator(".wb-attention .wb-actions").get_by_role("button", name=re.compile("^data", re.I))
    button.click()
    assert violations(page, ".wb-attention") == []
    button.click()
    page.keyboard.press("Escape")
    page.locator(".wb-tokens .wb-token[data-i='3']").first.click()
    expect(page.locator(".wb-attention .wb-code")).to_be_hidden()
    page.locator(".wb-tokens .wb-token[data-i='12']").first.click()
    expect(page.locator(".wb-where")).to_contain_text("position 12")

    # The data of every panel.
    page.wait_for_selector(".wb-lists .wb-row")
    rows = rows_of(take(page, "attention", "data", "^CSV", tmp_path))
    reads = [float(row["mean of heads"]) for row in rows if row["side"] == "reads"]
    exact = found.attention.row(12, 1)[:, :13].mean(0)  # type: ignore[union-attr]
    assert np.allclose(reads, exact, atol=5e-5)
    with np.load(take(page, "attention", "data", "^NPZ", tmp_path), allow_pickle=False) as arrays:
        assert np.allclose(arrays["reads"], found.attention.row(12, 1)[:, :13], atol=5e-5)  # type: ignore[union-attr]
        assert arrays["map_8bit"].shape == found.attention.map.shape[1:]  # type: ignore[union-attr]
        assert arrays["pieces"].tolist() == found.tokens
    for panel, tab in list(PANELS.items())[1:]:
        page.get_by_role("tab", name=tab).click()
        page.wait_for_selector(f".wb-{panel}[data-drawn]")
        assert rows_of(take(page, panel, "data", "^CSV", tmp_path))
        with np.load(take(page, panel, "data", "^NPZ", tmp_path), allow_pickle=False) as arrays:
            assert arrays["pieces"].tolist() == found.tokens
    cells = rows_of(take(page, "tokens", "data", "^CSV", tmp_path))
    assert [int(row["id"]) for row in cells] == found.ids.tolist()
    for row, piece in zip(cells, found.tokens, strict=True):
        assert row["token"] in (piece, f"'{piece}")
        assert not row["token"].startswith(("=", "+", "-", "@"))

    # Menus by keyboard, and on a phone.
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_role("tab", name="Attention").click()
    becomes(page, True, page.evaluate, "document.documentElement.scrollWidth <= 390")
    head = page.locator(".wb-attention .wb-actions")
    button = head.get_by_role("button", name=re.compile("^data", re.I))
    button.focus()
    page.keyboard.press("Enter")
    expect(button).to_have_attribute("aria-expanded", "true")
    items = head.get_by_role("menuitem")
    expect(items.nth(0)).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(items.nth(1)).to_be_focused()
    box = head.locator(".wb-menu:visible").bounding_box()
    assert box
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    page.keyboard.press("Escape")
    expect(button).to_be_focused()
    expect(head.locator(".wb-menu:visible")).to_have_count(0)
    button.click()
    page.mouse.click(5, 5)
    expect(head.locator(".wb-menu:visible")).to_have_count(0)


def test_a_panel_of_a_report_is_a_figure_and_a_page_of_its_own(watched: Callable, report: Path, tmp_path: Path) -> None:
    page = opened(watched, report.as_uri())
    head = page.locator(".wb-attention .wb-actions")
    head.get_by_role("button", name=re.compile("^code", re.I)).click()
    data = head.get_by_role("button", name=re.compile("^data", re.I))
    data.click()
    assert contrast(page, ".wb-attention") == []  # the light colours; all rules in the dark: above
    data.click()
    for panel, tab in (*PANELS.items(), ("tokens", None)):
        if tab:
            page.get_by_role("tab", name=tab).click()
            page.wait_for_selector(f".wb-{panel}[data-drawn]")
        alone = watched(take(page, panel, "figure", "HTML", tmp_path).as_uri()).page
        expect(alone.locator(f".wb-{panel} .wb-actions")).to_have_count(1)
        expect(alone.locator(".wb-actions")).to_have_count(1)
        if panel == "attention":
            alone.wait_for_selector(".wb-attention[data-drawn*='/12/']")
            again = watched(take(alone, panel, "figure", "HTML", tmp_path).as_uri()).page
            again.wait_for_selector(".wb-attention[data-drawn*='/12/']")
            again.close()
        alone.close()

        image = take(page, panel, "figure", "PNG", tmp_path).read_bytes()
        width, height = (int.from_bytes(image[at : at + 4], "big") for at in (16, 20))
        box = page.locator(f".wb-{panel}").first.bounding_box()
        assert box
        assert width >= 2 * box["width"], "twice the size of the page"
        assert height > 200
        tree = ElementTree.fromstring(take(page, panel, "figure", "SVG", tmp_path).read_text())
        words = " ".join(text.text or "" for text in tree.iter("{http://www.w3.org/2000/svg}text"))
        assert found_name(report) in words.replace(" ", ""), "the caption names the model"
        if panel == "tokens":
            assert "</ script ><" in words


def test_the_page_gives_exact_data_code_and_pages(watched: Callable, address: str, tmp_path: Path) -> None:
    page = opened(watched, address)
    rows = rows_of(take(page, "attention", "data", "^CSV", tmp_path))
    assert sum(float(row["head 0"]) for row in rows if row["side"] == "reads") == pytest.approx(1.0, abs=1e-5)
    page.locator(".wb-attention").get_by_role("button", name=re.compile("^code", re.I)).click()
    names: dict[str, Any] = {}
    exec(page.locator(".wb-attention .wb-code pre").inner_text(), names)
    shown = [float(row["mean of heads"]) for row in rows if row["side"] == "reads"]
    assert np.allclose(names["reads"][: len(shown)], shown, atol=1e-6)
    alone = watched(take(page, "attention", "figure", "HTML", tmp_path).as_uri()).page
    alone.wait_for_selector(".wb-attention[data-drawn*='/12/']")
    strip = rows_of(take(page, "tokens", "data", "^CSV", tmp_path))
    assert strip[12]["position"] == "12"
