"""The Runs page: list, open, compare, take away, bring in, delete; what goes is said."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

import workbench as wb
from apps.server.settings import Settings
from tests.browser.axe import in_both_colours
from tests.browser.talking import DELETE, becomes, ready, said
from tests.browser.walk import VIEWS

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser walk")]


@pytest.fixture(scope="module")
def file(models: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An inspection saved elsewhere, with a hostile question."""
    run = wb.load(models[1]).generate(
        [{"role": "user", "content": "Made elsewhere </script><b>bold</b> \u202e & more"}],
        wb.Sampling(max_new_tokens=6),
        wb.Capture.full(),
    )
    for _ in run:
        pass
    return run.inspection.save(tmp_path_factory.mktemp("file") / "elsewhere.inspection")


@pytest.fixture(scope="module")
def small(models: list[str]) -> str:
    """The page of a server that keeps three runs of a tab."""
    from apps.studio.launch import launch

    return launch(models[:1], port=None, browser=False, recorded=[], block=False, settings=Settings(session_runs=3))


def drawn(page: Page) -> None:
    page.wait_for_selector(".wb-run-view .wb-attention[data-drawn]")


def test_what_was_asked_is_listed_compared_saved_and_comes_back(
    watched: Callable, address: str, file: Path, tmp_path: Path
) -> None:
    page = watched(address).page
    ready(page)
    said(page, "Runs of one question?")
    page.locator(".wb-kept a").click()
    page.wait_for_selector(".wb-runs tbody tr")
    rows = page.locator(".wb-runs tbody tr")
    expect(rows.nth(0)).to_contain_text("Runs of one question?")
    expect(rows.nth(1)).to_contain_text("Runs of one question?")
    expect(page.locator(".wb-runs")).to_contain_text("recorded")
    page.locator(".wb-run-open").first.click()
    drawn(page)
    expect(page).to_have_url(re.compile("run="))
    page.locator(".wb-run-view .wb-token[data-i='3']").first.click()
    expect(page.locator(".wb-where")).to_contain_text("position 3")

    # Two are compared; the search looks through them.
    for i in (0, 1):
        rows.nth(i).locator("input").check()
    page.get_by_role("button", name="Compare these two").click()
    expect(page.locator(".wb-run-view")).to_contain_text("Two runs")
    expect(page.locator(".wb-run-view .wb-tokens")).to_have_count(2)
    expect(page.get_by_role("radio", name="difference")).to_have_attribute("aria-checked", "true")
    page.get_by_role("searchbox").fill("nothing like it")
    expect(page.locator(".wb-runs-page")).to_contain_text("No run fits the search")
    page.get_by_role("searchbox").fill("")
    expect(rows.nth(1)).to_contain_text("Runs of one question?")

    # One is taken away as files, deleted, and comes back from its file.
    row = rows.first
    run = row.get_attribute("data-run")
    endings = {"Inspection file": "inspection", "HTML report": "html", "Notebook": "ipynb", "Python": "py"}
    for item, ending in endings.items():
        row.get_by_role("button", name=re.compile("^Save [^ ]+:")).click()
        with page.expect_download() as waiting:
            row.get_by_role("menuitem", name=item).click()
        assert waiting.value.suggested_filename.endswith(f".{ending}")
        waiting.value.save_as(tmp_path / f"x.{ending}")
    saved = wb.open(tmp_path / "x.inspection")
    names: dict[str, object] = {}
    exec((tmp_path / "x.py").read_text(), names)
    assert names["found"].ids.tolist() == saved.ids.tolist()  # type: ignore[attr-defined]
    drop = row.get_by_role("button", name=re.compile("^Delete [^ ]+:"))
    assert drop.evaluate(DELETE) == "really delete?"
    expect(page.locator(f".wb-runs tr[data-run='{run}']")).to_have_count(0)
    page.locator("input[type=file]").set_input_files(tmp_path / "x.inspection")
    expect(rows.first).to_contain_text("from a file")
    drawn(page)
    expect(page.locator(".wb-run-view .wb-token")).to_have_count(len(saved.ids))

    # A file made elsewhere opens, with every view.
    page.locator("input[type=file]").set_input_files(file)
    expect(page.locator(".wb-run-said").first).to_contain_text("Made elsewhere </script><b>bold</b>")
    for tab, view in VIEWS.items():
        page.get_by_role("tab", name=tab).click()
        page.wait_for_selector(f".wb-{view}[data-drawn]")

    # Runs are of their tab, and stay when it closes: another tab has them by their link alone.
    expect(page).to_have_url(re.compile("run="))
    link = page.url
    other = watched(f"{address}runs").page
    other.wait_for_selector(".wb-runs tbody tr")
    expect(other.locator(".wb-runs")).not_to_contain_text("Made elsewhere")
    page.close()
    other.goto(link)
    other.wait_for_selector(".wb-run-view .wb-next[data-drawn]")


def test_bad_files_looks_and_a_phone(watched: Callable, address: str) -> None:
    page = watched(f"{address}runs", dark=True).page
    page.wait_for_selector(".wb-runs tbody tr")
    message = page.locator(".wb-runs-page .wb-message").first
    for content in (b"", b"nothing of the kind", b"\xff" * 4096, b"\x80\x04\x95pickle"):
        message.evaluate("message => { message.textContent = ''; }")
        page.locator("input[type=file]").set_input_files(
            {"name": "x.inspection", "mimeType": "application/octet-stream", "buffer": content}
        )
        expect(message, repr(content[:20])).to_contain_text(re.compile(r"\.$"))
        expect(page.locator(".wb-run-view")).to_be_hidden()
    page.locator(".wb-run-open").nth(1).click()
    drawn(page)
    page.locator(".wb-runs tbody tr").first.get_by_role("button", name=re.compile("^Save [^ ]+:")).click()
    expect(page.locator(".wb-runs [role=menuitem]:visible").first).to_be_visible()
    assert in_both_colours(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    becomes(page, True, page.evaluate, "document.documentElement.scrollWidth <= 390")  # the views settle in their place


def test_what_has_to_go_is_said(watched: Callable, small: str, file: Path) -> None:
    page = watched(f"{small}runs").page
    rows = page.locator(".wb-runs tbody tr")
    for number in range(3):
        page.locator("input[type=file]").set_input_files(file)
        expect(rows).to_have_count(number + 1)
        expect(page.locator(".wb-runs-page .wb-message").first).to_have_text("")
    expect(page.locator(".wb-warning")).to_contain_text("the next run takes the place of")
    with page.expect_download():
        page.get_by_role("button", name="Save its file first").click()
    page.locator("input[type=file]").set_input_files(file)
    expect(page.locator(".wb-warning")).to_contain_text("had to make room")
    expect(rows).to_have_count(3)
    page.get_by_role("button", name="Understood").click()
    expect(page.locator(".wb-warning")).not_to_contain_text("had to make room")
