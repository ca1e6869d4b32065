"""Guardrails in Chromium: the section's table as the library gives it; the switches in badge, footer and export."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

import workbench as wb
from tests.browser.axe import violations
from tests.browser.conftest import Watched
from tests.browser.talking import ask, footers, idle, ready, settings

pytestmark = pytest.mark.browser


def test_before_and_after(address: str, models: list[str], watched: Callable[..., Watched]) -> None:
    page = watched(f"{address.rstrip('/')}/compare#guardrails").page
    section = page.locator("#wb-section-guardrails")
    go = section.get_by_role("button", name="Run")
    go.wait_for()
    prompts = section.get_by_label("Prompts, one a line")
    prompts.fill(" \n")
    go.click()
    expect(section.get_by_role("alert")).to_contain_text("There are 0 prompts")
    prompts.fill("What do <b>you</b> see?")
    section.get_by_label("Longest reply (tokens)").fill("6")
    go.click()
    table = section.get_by_role("region", name="Replies without and with the safe prompt")
    expect(table.locator("tbody tr")).to_have_count(1)
    expect(go).to_be_enabled()
    found = wb.guarded(wb.load(models[1]), ["What do <b>you</b> see?"], wb.Sampling(max_new_tokens=6))
    one = found.replies[0]
    cells = [cell.inner_text().strip() for cell in table.locator("tbody th, tbody td").all()]
    assert cells[0] == "What do <b>you</b> see?"
    assert [cells[1].split(), cells[2].split()] == [one.plain.split(), one.safe.split()]
    assert cells[3] == f"{one.kl_first:.3f}"
    assert one.prompt_verdict is not None
    assert cells[5] == one.prompt_verdict.verdict
    expect(section).to_contain_text(f"{one.prompt_verdict.likeliest} (")
    assert violations(page, "#wb-section-guardrails") == []
    with page.expect_download() as saved:
        section.get_by_role("button", name="JSON").last.click()
    rows = json.loads(saved.value.path().read_text())
    labels = [row for row in rows if row["of"] == "prompt"]
    assert [row["logprob"] for row in labels] == pytest.approx(list(one.prompt_verdict.scores.logprob), abs=1e-3)


def test_the_switches_show_where_they_are_on(address: str, watched: Callable[..., Watched]) -> None:
    page = watched(address).page
    ready(page)
    safe_prompt = page.get_by_role("checkbox", name="Safe prompt")
    badge = page.locator(".wb-column").first.locator(".wb-column-head .wb-badge")
    expect(badge).not_to_contain_text("safe prompt")
    settings(page)
    safe_prompt.check()
    expect(badge).to_contain_text("safe prompt")
    page.get_by_label("Moderate questions and answers").check()
    expect(page.locator(".wb-banner")).to_be_visible()
    ask(page, "What do you see?")
    expect(footers(page)).to_contain_text("safe prompt ·")
    expect(footers(page)).to_contain_text("question: ")
    expect(footers(page)).to_contain_text("answer: ")
    idle(page)
    page.reload()
    ready(page)
    settings(page)
    expect(safe_prompt).to_be_checked()
    safe_prompt.uncheck()
    expect(badge).not_to_contain_text("safe prompt")
    expect(footers(page)).to_contain_text("safe prompt ·")
