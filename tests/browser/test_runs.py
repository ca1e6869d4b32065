"""The Runs page: list, open, compare, take away, bring in, delete; what goes is said."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

import workbench as wb
from tests.browser.axe import in_both_colours
from tests.browser.talking import becomes, idle

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser walk")]


def ask(page: Page, address: str, text: str) -> None:
    page.goto(address)
    page.wait_for_selector(".wb-attention[data-drawn]")
    page.fill("#wb-question textarea", text)
    page.click("#wb-send")
    expect(page.locator(".wb-kept")).to_contain_text("runs kept")
    idle(page)  # Gradio complains of a page left in mid-stream


def listed(page: Page, address: str) -> Page:
    page.goto(f"{address}runs")
    page.wait_for_selector(".wb-runs tbody tr")
    return page


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


def test_what_was_asked_is_listed_opened_and_compared(watched: Callable, address: str) -> None:
    page = watched(address).page
    ask(page, address, "Runs of one question?")
    page.locator(".wb-kept a").click()
    page.wait_for_selector(".wb-runs tbody tr")
    rows = page.locator(".wb-runs tbody tr")
    expect(rows.nth(0)).to_contain_text("Runs of one question?")
    expect(rows.nth(1)).to_contain_text("Runs of one question?")
    expect(page.locator(".wb-runs")).to_contain_text("recorded")
    page.locator(".wb-run-open").first.click()
    page.wait_for_selector(".wb-run-view .wb-attention[data-drawn]")
    expect(page).to_have_url(re.compile("run="))
    page.locator(".wb-run-view .wb-token[data-i='3']").first.click()
    expect(page.locator(".wb-where")).to_contain_text("position 3")
    for i in (0, 1):
        rows.nth(i).locator("input").check()
    page.get_by_role("button", name="Compare these two").click()
    expect(page.locator(".wb-run-view")).to_contain_text("Two runs")
    expect(page.locator(".wb-run-view .wb-tokens")).to_have_count(2)
    expect(page.get_by_role("radio", name="difference")).to_have_attribute("aria-checked", "true")
    page.get_by_role("searchbox").fill("nothing like it")
    expect(page.locator(".wb-runs-page")).to_contain_text("No run fits the search")


def test_a_run_is_saved_deleted_and_comes_back_from_its_file(watched: Callable, address: str, tmp_path: Path) -> None:
    page = watched(address).page
    ask(page, address, "Saved and deleted?")
    listed(page, address)
    row = page.locator(".wb-runs tbody tr").first
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
    drop.click()
    expect(drop).to_have_text("really delete?")
    drop.click()
    expect(page.locator(f".wb-runs tr[data-run='{run}']")).to_have_count(0)
    page.locator("input[type=file]").set_input_files(tmp_path / "x.inspection")
    page.wait_for_selector(".wb-run-view .wb-attention[data-drawn]")
    expect(page.locator(".wb-runs tbody tr").first).to_contain_text("from a file")
    expect(page.locator(".wb-run-view .wb-token")).to_have_count(len(saved.ids))


def test_a_file_made_elsewhere_opens(watched: Callable, address: str, file: Path) -> None:
    page = listed(watched(address).page, address)
    page.locator("input[type=file]").set_input_files(file)
    page.wait_for_selector(".wb-run-view .wb-attention[data-drawn]")
    expect(page.locator(".wb-run-said").first).to_contain_text("Made elsewhere </script><b>bold</b>")
    for tab, view in (("Logit lens", "lens"), ("KV cache", "cache"), ("Next token", "next")):
        page.get_by_role("tab", name=tab).click()
        page.wait_for_selector(f".wb-{view}[data-drawn]")


def test_a_malformed_file_is_a_sentence(watched: Callable, address: str) -> None:
    page = listed(watched(address).page, address)
    message = page.locator(".wb-runs-page .wb-message").first
    for content in (b"", b"nothing of the kind", b"\xff" * 4096, b"\x80\x04\x95pickle"):
        message.evaluate("message => { message.textContent = ''; }")
        page.locator("input[type=file]").set_input_files(
            {"name": "x.inspection", "mimeType": "application/octet-stream", "buffer": content}
        )
        expect(message, repr(content[:20])).to_contain_text(re.compile(r"\.$"))
        expect(page.locator(".wb-run-view")).to_be_hidden()


def test_runs_are_of_their_tab_and_stay_when_it_closes(watched: Callable, address: str) -> None:
    first = watched(address)
    ask(first.page, address, "Only mine")
    listed(first.page, address)
    first.page.locator(".wb-run-open").first.click()
    first.page.wait_for_selector(".wb-run-view .wb-attention[data-drawn]")
    expect(first.page).to_have_url(re.compile("run="))
    link = first.page.url
    other = watched(address).page
    listed(other, address)
    expect(other.locator(".wb-runs")).not_to_contain_text("Only mine")
    first.page.close()
    other.goto(link)
    other.wait_for_selector(".wb-run-view .wb-attention[data-drawn]")


def test_what_has_to_go_is_said(watched: Callable, address: str, file: Path) -> None:
    page = listed(watched(address).page, address)
    rows = page.locator(".wb-runs tbody tr")
    before = rows.count()
    for number in range(24):
        page.locator("input[type=file]").set_input_files(file)
        expect(rows).to_have_count(before + number + 1)
        expect(page.locator(".wb-runs-page .wb-message").first).to_have_text("")
    expect(page.locator(".wb-warning")).to_contain_text("the next run takes the place of")
    with page.expect_download():
        page.get_by_role("button", name="Save its file first").click()
    page.locator("input[type=file]").set_input_files(file)
    expect(page.locator(".wb-warning")).to_contain_text("had to make room")
    page.get_by_role("button", name="Understood").click()
    expect(page.locator(".wb-warning")).not_to_contain_text("had to make room")


def test_nobody_stumbles(watched: Callable, address: str) -> None:
    page = listed(watched(address, dark=True).page, address)
    assert in_both_colours(page) == []
    page.locator(".wb-runs tbody tr").first.get_by_role("button", name=re.compile("^Save [^ ]+:")).click()
    page.locator(".wb-run-open").nth(1).click()
    page.wait_for_selector(".wb-run-view .wb-attention[data-drawn]")
    assert in_both_colours(page) == []


def test_on_a_phone(watched: Callable, address: str) -> None:
    page = listed(watched(address, width=390, height=844).page, address)
    page.locator(".wb-run-open").first.click()
    page.wait_for_selector(".wb-run-view .wb-attention[data-drawn]")
    becomes(page, True, page.evaluate, "document.documentElement.scrollWidth <= 390")  # the views settle in their place
