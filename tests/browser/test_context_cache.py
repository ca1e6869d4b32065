"""The cache laboratory in the browser: a run on a text of one's own, its table, and which tokens were kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

import workbench as wb
from tests.browser.axe import violations

pytestmark = pytest.mark.browser


def test_cache_laboratory(watched: Callable, address: str, models: list[str]) -> None:
    page = watched(f"{address}context#cache", width=390, height=844).page
    section = page.locator("#wb-section-cache")
    hostile = "<img src=x onerror=alert(1)> & a text to read.\nAnother line. " * 6
    section.get_by_text("Your own text").click()
    section.get_by_label("A text or conversation to read").fill(hostile)
    for label, value in (("Budget", "0"), ("Tokens of a prompt", "100"), ("how many", "1"), ("that follow", "8")):
        section.get_by_label(label).fill(value)
    section.get_by_role("button", name="Measure").click()
    expect(section.get_by_role("alert")).to_contain_text("A budget of 0 tokens; expected at least 1")
    section.get_by_label("Budget").fill("40%")
    section.get_by_role("button", name="Measure").click()
    text = section.get_by_role("region", name="Tokens kept")
    expect(text).to_contain_text("<img src=x onerror=alert(1)>")
    shown = section.get_by_role("table", name="Policies").locator("tbody tr")
    expect(shown).to_have_count(5)

    with page.expect_download() as download:
        section.get_by_role("button", name="JSON").click()
    saved = {row["policy"]: row for row in json.loads(Path(download.value.path()).read_text())}
    model = wb.load(models[1])
    assert list(saved) == ["full", "sinks=4+40%", "received=40%", "snapkv=40%", "4bit"]
    study = wb.cache_study(model, ["snapkv=40%"], texts=[hostile.strip()], length=100, follow=8)
    list(study)
    assert saved["snapkv=40%"]["loss"] == pytest.approx(study.result.table.loc["snapkv=40%", "loss"], abs=1e-5)
    assert all(row["bytes"] == row["predicted"] for row in saved.values())

    section.get_by_role("combobox", name="Layer").select_option("1")
    heads = study.result.which("snapkv=40%").heads(1)
    caption = section.locator(".wb-caption[role=status]").last
    expect(caption).to_contain_text(f"{(heads == 0).sum()} by none")
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
