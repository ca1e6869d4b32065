"""The section Differences, in Chromium: changes named, texts compared, as the library gives them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

import workbench as wb
from tests.browser.conftest import Watched
from tests.browser.talking import becomes

pytestmark = pytest.mark.browser
TEXTS = ["The boats went out and the boats came home. " * 3, "<b>Tom</b> has the hat,\nAnna has the key. " * 3]


def test_changes_are_named_and_texts_compared(address: str, models: list[str], watched: Callable[..., Watched]) -> None:
    page = watched(f"{address.rstrip('/')}/compare#differences").page
    section = page.locator("#wb-section-differences")
    expect(section.locator(".wb-found li").first).to_be_visible()  # without being asked
    section.get_by_label("every tensor of the weights, too").check()
    section.get_by_role("button", name="Compare the models").click()
    a, b = (wb.load(name) for name in models)
    changes = wb.changes(a, b)
    expect(section.get_by_text(f"All {len(changes.tensors)} tensors")).to_be_visible()
    becomes(page, list(changes.sentences), section.locator(".wb-found li").all_inner_texts)
    rows = section.get_by_role("region", name="Distance by layer and kind").get_by_role("row").all_inner_texts()
    assert rows[0].split("\t")[1:] == list(changes.grouped.columns)
    assert float(rows[2].split("\t")[1]) == pytest.approx(changes.grouped.loc[0, "attention q"], rel=5e-3)
    with page.expect_download() as saved:
        section.get_by_role("button", name="CSV").nth(1).click()
    assert saved.value.path().read_text(encoding="utf-8-sig").count("\n") == len(changes.tensors) + 1

    area = section.get_by_label("Texts; a line of --- parts several")
    becomes(page, 6, lambda: len(area.input_value().split("\n---\n")))  # something to begin with
    area.fill("  \n---\n ")
    section.get_by_role("button", name="Read the texts").click()
    expect(section.get_by_role("alert").last).to_contain_text("There is no text")
    area.fill("\n---\n".join(TEXTS))
    section.get_by_role("button", name="Read the texts").click()
    expect(section.locator(".wb-finding")).to_be_visible()
    found = wb.compare_texts(a, b, [text.strip() for text in TEXTS])
    becomes(page, found.sentence, section.locator(".wb-finding").inner_text)
    rows = section.get_by_role("region", name="Texts").get_by_role("row").all_inner_texts()[1:]
    assert [f"{loss:.3f}" for loss in found.table()["loss_a"]] == [row.split("\t")[2].strip() for row in rows]
    first = section.get_by_role("region", name="Tokens that differ most").get_by_role("row").nth(1)
    expect(first).to_contain_text(found.largest(1)["before"].iloc[0][-8:])
    expect(section.get_by_role("img", name="Loss difference of each text")).to_contain_text("mean")
