"""The section Which change, in Chromium: own texts measured, tables and picture as the library gives them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

import workbench as wb
from tests.browser.axe import violations
from tests.browser.conftest import Watched
from tests.browser.talking import becomes

pytestmark = pytest.mark.browser
TEXTS = ["The boats went out and the boats came home. " * 4, "<b>Tom</b> has the hat, Anna has the key. " * 4]


def test_own_texts_are_measured_and_shown(address: str, models: list[str], watched: Callable[..., Watched]) -> None:
    page = watched(f"{address.rstrip('/')}/compare#which").page
    section = page.locator("#wb-section-which")
    go = section.get_by_role("button", name="Measure")
    go.wait_for()
    section.get_by_label("loss").uncheck()
    section.get_by_label("retrieval").uncheck()
    go.click()
    expect(section.get_by_role("alert")).to_contain_text("No measure was chosen")
    section.get_by_label("loss").check()
    section.get_by_text("Your own texts and questions").click()
    section.get_by_label("Texts", exact=True).fill(TEXTS[0] + "\n---\n" + TEXTS[1])
    go.click()
    expect(section.locator(".wb-finding")).to_contain_text("2 items")
    expect(go).to_be_enabled()

    a, b = (wb.load(name) for name in models)
    found = wb.factorial(a, b, measures=["loss"], texts=[text.strip() for text in TEXTS])
    becomes(page, found.sentences["loss", "past 24"], section.locator(".wb-finding").inner_text)
    expect(section).to_contain_text("Both have theta 1e4: theta is no factor here.")
    rows = section.get_by_role("region", name="Cells").get_by_role("row").all_inner_texts()[1:]
    means = found.paired("loss", "past 24").mean()
    assert [f"{mean:.3f}" for mean in means] == [row.split("\t")[2].strip() for row in rows]
    expect(section.get_by_role("img", name="Effects in nats a token")).to_contain_text("weights × window")
    assert violations(page, "#wb-section-which") == []
    section.get_by_label("Outcome").select_option("loss, to 24 tokens")
    becomes(page, found.sentences["loss", "to 24"], section.locator(".wb-finding").inner_text)
    with page.expect_download() as saved:
        section.get_by_role("button", name="CSV").first.click()
    assert b"weights x window" in saved.value.path().read_bytes()
