"""Votes and feedback under the chat: by keyboard, on a narrow dark page, with what is kept, and when the disk fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from apps.server.opinions import FILE, read_rows
from apps.server.settings import Settings
from tests.browser.axe import violations
from tests.browser.talking import said

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser walk")]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("opinions")


@pytest.fixture(scope="module")
def asking(models: list[str], kept: Path) -> str:
    """The page that keeps votes and feedback."""
    from apps.studio.launch import launch

    settings = Settings(opinions=kept, new_tokens=6)
    return launch(models, port=None, browser=False, recorded=[], block=False, settings=settings)


def told(page: Page, words: str) -> None:
    expect(page.locator(".wb-opinion-status")).to_contain_text(words)


def test_votes_ratings_and_notes_by_keyboard(watched: Callable, asking: str, kept: Path) -> None:
    for file in kept.iterdir():  # of an earlier try
        file.unlink()
    page = watched(asking, 390, 844, dark=True).page
    expect(page.locator(".wb-column")).to_have_count(2)
    expect(page.locator(".wb-opinion-row")).to_have_count(0)  # nothing to vote on yet
    said(page, "Which is better?")
    vote = page.get_by_role("group", name="Which reply is better?")
    left, neither = vote.get_by_role("button").first, vote.get_by_role("button", name="Neither")
    left.focus()
    page.keyboard.press("Enter")
    expect(left).to_have_attribute("aria-pressed", "true")
    expect(left).to_be_focused()
    told(page, "Kept")
    for _ in range(3):
        page.keyboard.press("Tab")
    expect(neither).to_be_focused()
    page.keyboard.press("Space")
    expect(neither).to_have_attribute("aria-pressed", "true")
    expect(left).to_have_attribute("aria-pressed", "false")
    page.get_by_label("Keep the conversation's text with it").check()
    down = page.get_by_role("button", name="Poor reply of").last
    down.click()
    expect(down).to_have_attribute("aria-pressed", "true")
    field = page.get_by_label("Why? (optional)")
    field.fill("<img src=x onerror=alert(1)>")
    field.press("Enter")
    expect(field).to_have_value("")
    page.locator(".wb-opinions summary").press("Enter")
    page.get_by_label("Tell us").fill("More colours, please")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert violations(page, "#wb-opinions") == []
    page.locator(".wb-opinions details").get_by_role("button", name="Send").click()
    expect(page.get_by_label("Tell us")).to_have_value("")
    rows = read_rows(kept)
    assert [(row["kind"], row["choice"], bool(row["said"])) for row in rows] == [
        ("vote", "left", False), ("vote", "neither", False), ("rating", "down", True), ("rating", "down", True),
        ("note", "", False),
    ]  # fmt: skip
    assert rows[3]["comment"] == "<img src=x onerror=alert(1)>"
    assert rows[3]["said"]["left"][0] == {"role": "user", "content": "Which is better?"}
    assert not any(row["blind"] for row in rows)

    for file in kept.iterdir():  # the disk goes wrong beneath the page
        file.unlink()
    (kept / FILE).write_text("no database, but more than sixteen characters " * 20)
    left.click()
    told(page, "This could not be kept: the file is no SQLite database. The chat goes on.")
    expect(left).to_have_attribute("aria-pressed", "false")
    said(page, "And so it does", 2)
    (kept / FILE).unlink()
    expect(page.locator(".wb-opinion-status")).to_have_text("")  # other replies are in sight
    expect(neither).to_have_attribute("aria-pressed", "false")
    vote.get_by_role("button").nth(1).click()
    told(page, "Kept")
    assert [row["choice"] for row in read_rows(kept)] == ["right"]
