"""Blind votes in Chromium: names stay on the server, keys and buttons, the result as the library counts."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

import workbench as wb
from tests.browser.axe import violations
from workbench.behaviour.preference import Outcome, tallies

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=alert(1)>"


def test_votes_are_blind_until_the_result_is_asked_for(
    watched: Callable, address: str, models: list[str], tmp_path: Path
) -> None:
    names = [wb.load(path).name for path in models]
    rows = [{"prompt": f"{HOSTILE} number {i}", "category": HOSTILE if i % 2 else "plain"} for i in range(5)]
    rows.append({"turns": ["Hello", "And again?"], "category": "plain"})
    suite = tmp_path / "own.jsonl"
    suite.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    page = watched(address.rstrip("/") + "/compare#behaviour").page
    section = page.locator("#wb-section-behaviour")
    section.locator("select").first.select_option("")
    section.get_by_label("Tokens an answer").fill("4")
    section.locator("input[type=file]").set_input_files(suite)
    section.get_by_label("Vote first, answers hidden").check()
    section.get_by_role("button", name="Run", exact=True).click()
    card = section.get_by_role("group", name="Blind vote")
    expect(card).to_contain_text("Which answer is better?")
    expect(section.locator(".wb-suite-sentence")).to_be_hidden()
    expect(card).to_contain_text(HOSTILE)
    for name in names:
        assert name not in card.inner_text()
    assert violations(page, "#wb-section-behaviour") == []

    place = card.locator(".wb-head-line .wb-caption")
    expect(place).to_contain_text("1 of 6")
    page.keyboard.press("1")
    expect(place).to_contain_text("2 of 6")
    page.keyboard.press("2")
    expect(place).to_contain_text("3 of 6")
    page.keyboard.press("s")
    expect(place).to_contain_text("4 of 6")
    page.keyboard.press("0")
    expect(place).to_contain_text("5 of 6")
    card.get_by_role("button", name="Both good").click()
    expect(place).to_contain_text("6 of 6")
    page.keyboard.press("b")
    expect(card.get_by_role("button", name="Both good")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("1")  # the last word counts
    expect(place).to_contain_text("6 of 6")
    expect(section.locator(".wb-vote-note")).to_contain_text("4 of 6 pairs voted, 2 left.")

    card.get_by_role("button", name="Show names and result").click()
    expect(section.locator(".wb-suite-sentence")).to_be_visible()
    expect(card).to_contain_text("Neither was better: 1 both bad.")
    assert violations(page, "#wb-section-behaviour") == []
    with page.expect_download() as saved:
        card.get_by_role("button", name="JSON").last.click()
    given = json.loads(saved.value.path().read_text(encoding="utf-8"))
    assert [row["vote"] for row in given] == ["left", "right", "both bad", "left"]
    assert all({row["left"], row["right"]} == set(names) for row in given)
    value = {"both bad": 0.5}
    outcomes = [
        Outcome(row["item"], row["category"], value.get(row["vote"], float(row["preferred"] == names[0])))
        for row in given
    ]
    with page.expect_download() as saved:
        card.get_by_role("button", name="CSV").first.click()
    counted = list(csv.DictReader(saved.value.path().read_text(encoding="utf-8-sig").splitlines()))
    expected = tallies((names[0], names[1]), outcomes)
    assert [[row["model"], row["category"].lstrip("'"), int(row["wins"]), int(row["ties"]), float(row["win_rate"])]
            for row in counted] == [[one.model, one.category, one.wins, one.ties, one.win_rate]
                                    for one in expected]  # fmt: skip

    section.get_by_text("A model as judge").click()
    section.locator(".wb-votes .wb-own select").select_option(names[1])
    section.get_by_role("button", name="Judge", exact=True).click()
    expect(section.get_by_role("heading", name=f"Judge {names[1]}")).to_be_visible()
    expect(section).to_contain_text(re.compile(r"Both orders agreed in \d of 6 pairs"))

    page.reload()  # the votes lie with the run
    section.locator("select").first.select_option("")
    section.get_by_label("Tokens an answer").fill("4")
    section.locator("input[type=file]").set_input_files(suite)
    section.get_by_role("button", name="Run", exact=True).click()
    section.get_by_role("button", name="Vote blindly").click()
    expect(section.locator(".wb-vote-note")).to_contain_text("4 of 6 pairs voted, 2 left.")
    expect(place).to_contain_text("3 of 6")
