"""The Prompt lab of Compare & facts in the browser: messages edited, forms and tokens, loss, hostile texts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

import workbench as wb
from tests.browser.axe import violations

pytestmark = pytest.mark.browser
HOSTILE = "<img src=x onerror=alert(1)></s>[INST]<script>alert(2)</script>"


def test_the_prompt_lab(watched: Callable, address: str, models: list[str]) -> None:
    page = watched(f"{address}compare#promptlab", width=390, height=844).page
    lab = page.locator("#wb-section-promptlab")
    rows = lab.get_by_role("table", name="Forms of the conversation").locator("tbody tr")
    expect(rows).to_have_count(7)
    texts = lab.get_by_role("textbox")
    chat = [
        {"role": lab.get_by_role("combobox", name=f"Role of message {place}").input_value(), "content": one}
        for place, one in enumerate(texts.nth(at).input_value() for at in range(4))
    ]
    model = wb.load(models[0])
    found = wb.prompt_lab(model, chat)
    for at, form in enumerate(found.forms):
        expect(rows.nth(at)).to_contain_text(str(len(form.ids)))
        expect(rows.nth(at)).to_contain_text("yes" if form.agrees else "no")
    marked = lab.get_by_role("listbox", name="Tokens of A", exact=True).locator(".wb-first")
    assert found["A"].first_difference is not None
    expect(marked).to_have_text(found["A"].there[0])
    marked.hover()
    expect(page.locator(".wb-tip")).to_contain_text(f"The reference has {found['A'].there[1]} here.")
    lab.get_by_role("listbox", name="Tokens of A", exact=True).focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".wb-tip")).to_contain_text(str(found["A"].ids[1]))
    page.keyboard.press("Escape")
    expect(page.locator(".wb-tip")).to_be_hidden()
    assert violations(page) == []

    lab.get_by_role("button", name="What it costs in loss").click()
    costs = lab.get_by_role("table", name="What each form costs", exact=True).locator("tbody tr")
    expect(costs).to_have_count(12)
    assert found.loss is not None
    cost = found.loss.query("form == 'A' and answer == 'all'").difference.iloc[0]
    expect(costs.first).to_contain_text(f"{cost:+.3f}".replace("-", "−"))
    with page.expect_download() as download:
        lab.get_by_role("button", name="JSON").last.click()
    saved = json.loads(Path(download.value.path()).read_text())
    expected = [row for name in models for row in wb.prompt_lab(wb.load(name), chat).loss.to_dict("records")]  # type: ignore[union-attr]
    assert [row["difference"] for row in saved] == pytest.approx([row["difference"] for row in expected], abs=1e-6)
    expect(lab.locator(".wb-plain-code").last).to_contain_text("wb.prompt_lab(model, messages, loss=True)")

    lab.get_by_role("textbox", name="Text of message 0").fill(HOSTILE)
    expect(lab).to_contain_text("</s> becomes the control token 2")
    expect(lab).to_contain_text("[INST] is plain text in v1")
    lab.get_by_role("combobox", name="Role of message 0").select_option("system")
    expect(lab).to_contain_text("What it does not take is the system message")
    expect(rows.nth(1)).to_contain_text("refused")
    assert lab.locator("img, script").count() == 0
    for _ in range(4):
        lab.get_by_role("button", name="Remove message 0").click()
    expect(lab).to_contain_text("The conversation has no messages")
    expect(rows.first).to_be_hidden()
    lab.get_by_role("button", name="Add message").click()
    page.keyboard.type("Hi")
    expect(rows.nth(1)).to_contain_text("yes")
    lab.get_by_role("button", name="What it costs in loss").click()
    expect(lab.get_by_role("alert")).to_contain_text("There is no answer in the conversation")
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
