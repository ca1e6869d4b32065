"""Export and import of a conversation; presets, seeds, the warning before a question that will not fit; switches."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import violations
from tests.browser.talking import becomes, footers, idle, ready, replies, said, settings

pytestmark = pytest.mark.browser


def exported(page: Page) -> dict[str, Any]:
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    assert download.value.suggested_filename.startswith("conversation-")
    return json.loads(Path(download.value.path()).read_text(encoding="utf-8"))


def take(page: Page, text: str, name: str = "c.json") -> None:
    page.get_by_label("Conversation file").set_input_files(
        {"name": name, "mimeType": "application/json", "buffer": text.encode()}
    )


def test_what_is_exported_comes_back(watched: Callable, address: str) -> None:
    page = watched(address).page
    ready(page)
    settings(page, preset="Balanced", seed=3)
    said(page, "Keep <b>this</b>")
    page.click("#wb-again")
    expect(page.locator(".wb-versions").filter(has_text="2 / 2")).to_have_count(2)
    idle(page)
    document = exported(page)
    assert (document["schema"], document["version"]) == ("workbench.chat", 1)
    versions = document["models"][0]["messages"][1]["versions"]
    assert [one["reply"]["sampling"]["seed"] for one in versions] == [3, 4]
    assert versions[0]["reply"]["tokens"] > 0
    assert versions[0]["reply"]["context"] == 2048
    before = replies(page)
    other = watched(address).page
    ready(other)
    take(other, json.dumps(document))
    expect(other.locator(".wb-user .wb-text").first).to_have_text("Keep <b>this</b>")
    becomes(other, before, replies, other)
    expect(footers(other)).to_contain_text("imported · ")
    expect(footers(other)).to_contain_text("seed 4")
    expect(other.locator(".wb-column").first.locator(".wb-assistant .wb-versions")).to_contain_text("2 / 2")
    expect(other.locator(".wb-column-note").first).to_contain_text("Regenerate it to look inside")
    said(other, "Go on", 2)
    take(other, json.dumps([{"role": "user", "content": "Just"}, {"role": "assistant", "content": "a list"}]))
    expect(other.locator(".wb-assistant .wb-text").first).to_have_text("a list")


def test_presets_a_question_that_will_not_fit_and_switches(watched: Callable, address: str) -> None:
    page = watched(address).page
    ready(page)
    page.fill("#wb-question textarea", "word " * 2500)
    expect(page.locator(".wb-fits")).to_contain_text("Too long for")
    page.fill("#wb-question textarea", "word")
    expect(page.locator(".wb-fits")).to_be_empty()

    # Presets lead the settings, and follow them.
    settings(page, preset="Balanced")
    temperature = page.get_by_label("number input for Temperature (0: greedy)")
    expect(temperature).to_have_value("0.7")
    temperature.fill("0.8")
    page.keyboard.press("Tab")
    expect(page.locator("#wb-preset input:checked")).to_have_value("Custom")
    temperature.fill("0")
    page.keyboard.press("Tab")
    expect(page.locator("#wb-preset input:checked")).to_have_value("Greedy")  # which looks at no top-p
    page.locator("#wb-preset label", has_text="Creative").click()
    expect(page.get_by_label("number input for Top-p")).to_have_value("0.98")
    page.locator("#wb-preset label", has_text="Greedy").click()
    expect(page.get_by_label("number input for Top-p")).to_have_value("1")

    # A switched column is labelled.
    said(page, "Look far back")
    expect(footers(page)).to_contain_text("greedy, seed 0")
    column = page.locator(".wb-column").first
    opener = column.get_by_role("button", name="Switches")
    expect(opener).to_contain_text("window 24")
    opener.click()
    column.get_by_role("radiogroup", name="window").get_by_role("radio", name="none").click()
    badge = column.locator(".wb-column-head .wb-badge")
    expect(badge).to_contain_text("no window")
    expect(page.locator(".wb-model-meter").first.locator(".wb-badge")).to_contain_text("no window")
    expect(page.locator(".wb-models button").first).not_to_contain_text("no window")
    expect(footers(page)).not_to_contain_text("no window")
    column.get_by_role("radiogroup", name="theta").get_by_role("radio", name="custom").click()
    field = column.get_by_label("theta, custom")
    field.fill("5e5")
    page.keyboard.press("Enter")
    expect(badge).to_contain_text("theta 5e5")
    expect(opener).to_contain_text("θ 5e5")
    said(page, "And now?", 2)
    expect(footers(page).last).to_contain_text("no window, theta 5e5")
    expect(footers(page).first).not_to_contain_text("no window")
    expect(page.locator(".wb-models button").first).to_contain_text("no window, theta 5e5")
    reply = exported(page)["models"][0]["messages"][3]["versions"][0]["reply"]
    assert reply["switched"] == "no window, theta 5e5"
    field.fill("banana")
    page.keyboard.press("Enter")
    expect(page.locator(".wb-said")).to_contain_text("banana")
    expect(badge).to_contain_text("theta 5e5")
    column.get_by_role("radiogroup", name="window").get_by_role("radio", name="24").click()
    expect(badge).not_to_contain_text("no window")

    other = page.locator(".wb-column").nth(1)
    other.get_by_role("button", name="Switches").click()
    other.get_by_label("cache policy").select_option("received")
    expect(other.locator(".wb-column-head .wb-badge")).to_contain_text("cache received=25%")
    budget = other.get_by_label("cache budget")
    budget.fill("some")
    page.keyboard.press("Enter")
    expect(page.locator(".wb-said")).to_contain_text("'some' is no budget")
    budget.fill("10")
    page.keyboard.press("Enter")
    expect(other.locator(".wb-column-head .wb-badge")).to_contain_text("cache received=10")
    said(page, "What is kept of <b>this</b>?", 3)
    expect(footers(page, 1).last).to_contain_text("cache received=10")
    expect(footers(page).last).not_to_contain_text("cache")
    other.locator(".wb-token.wb-generated").first.click()
    page.get_by_role("tab", name="KV cache").click()
    expect(page.locator(".wb-cache")).to_contain_text("The cache policy received=10 has dropped")
    text = page.get_by_role("region", name="Tokens kept")
    expect(text).to_contain_text("What is kept of <b>this</b>?")
    page.get_by_role("combobox", name="Layer", exact=True).select_option("2")
    new = int(re.search(r"· (\d+) tokens ·", footers(page, 1).last.inner_text())[1])  # type: ignore[index]
    caption = page.locator(".wb-cache .wb-caption[role=status]").first
    expect(caption).to_contain_text("received=10, layer 2, all heads, ")
    expect(caption).to_contain_text(f": {10 + new - 1} kept by every key-value head, 0 by some")
    expect(text.locator("mark").last).to_be_visible()
    assert violations(page, ".wb-cache") + violations(page, ".wb-switches:not([hidden])") == []
