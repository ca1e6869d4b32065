"""The Behaviour section: a suite of the visitor's own, run, shown side by side, filtered, taken away, gone on with."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.axe import violations

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=alert(1)>"


def test_a_suite_is_run_and_looked_at(watched: Callable, address: str, tmp_path: Path) -> None:
    rows = [
        {"prompt": HOSTILE, "category": HOSTILE, "id": "first", "format": {"words": 500}},
        {"turns": ["Hello", "And again?"], "category": "turns", "id": "second", "exact": "nobody says this"},
        {"prompt": "never reached"},
    ]
    suite = tmp_path / "own.jsonl"
    suite.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    page = watched(address.rstrip("/") + "/compare#behaviour").page
    section = page.locator("#wb-section-behaviour")
    section.locator("select").first.select_option("")
    section.get_by_label("Items at most").fill("2")
    section.get_by_label("Tokens an answer").fill("4")
    section.get_by_role("button", name="Run", exact=True).click()
    expect(section.get_by_role("alert")).to_have_text("Choose a JSONL file first.")

    section.locator("input[type=file]").set_input_files(suite)
    section.get_by_role("button", name="Run", exact=True).click()
    told = section.locator(".wb-suite-sentence")
    expect(told).to_contain_text("passed 1 of 2")
    expect(told).to_contain_text("McNemar")
    answers = section.get_by_role("region", name="Answers side by side")
    expect(answers.locator("tbody tr")).to_have_count(2)
    expect(answers).to_contain_text(HOSTILE)
    expect(answers).not_to_contain_text("never reached")
    expect(answers.locator(".wb-badge", has_text="failed")).to_have_count(2)
    assert violations(page) == []

    section.locator(".wb-field", has_text="Show").locator("select").select_option("failed")
    expect(answers.locator("tbody tr")).to_have_count(1)
    section.locator(".wb-field", has_text="Show").locator("select").select_option("differ")
    expect(section).to_contain_text("No item is like that.")
    with page.expect_download() as waiting:
        section.get_by_role("button", name="JSONL", exact=True).click()
    lines = [json.loads(line) for line in waiting.value.path().read_text(encoding="utf-8").splitlines()]
    assert [line["item"] for line in lines] == ["first", "second"]
    assert all(len(found["answers"]) == len(line["turns"]) for line in lines for found in line["answers"].values())

    suite.write_text('{"prompt": "a"}\n{"promt": "b"}')
    section.locator("input[type=file]").set_input_files(suite)
    section.get_by_role("button", name="Run", exact=True).click()
    expect(section.get_by_role("alert")).to_have_text(re.compile(r'Line 2 of own: nothing is known of "promt"'))


def test_a_run_is_stopped_and_gone_on_with(watched: Callable, address: str, tmp_path: Path) -> None:
    """Stop keeps what is answered; Run again goes on behind it: a kept answer has the time that it took before."""
    suite = tmp_path / "many.jsonl"
    suite.write_text("".join(json.dumps({"prompt": f"Say {i}.", "contains": str(i)}) + "\n" for i in range(8)))
    page = watched(address.rstrip("/") + "/compare#behaviour").page
    section = page.locator("#wb-section-behaviour")
    section.locator("select").first.select_option("")
    section.locator("input[type=file]").set_input_files(suite)
    section.get_by_label("Tokens an answer").fill("80")
    section.get_by_label("Safe prompt").check()
    run, told = section.get_by_role("button", name="Run", exact=True), section.locator(".wb-suite-sentence")

    def taken() -> dict[tuple[str, str], float]:
        with page.expect_download() as waiting:
            section.get_by_role("button", name="JSONL", exact=True).click()
        assert waiting.value.suggested_filename == "many-answers-safe-prompt.jsonl"
        lines = [json.loads(line) for line in waiting.value.path().read_text(encoding="utf-8").splitlines()]
        return {(row["item"], name): one["seconds"] for row in lines for name, one in row["answers"].items()}

    run.click()
    expect(told).to_contain_text("of 16 answers.")
    section.get_by_role("button", name="Stop").click()
    expect(run).to_be_enabled()
    expect(told).to_contain_text("of 16 answers. With the safe prompt, ")
    kept = taken()
    assert 0 < len(kept) < 16
    run.focus()
    page.keyboard.press("Enter")
    expect(told).not_to_contain_text("of 16 answers.")
    expect(run).to_be_enabled()
    done = taken()
    assert len(done) == 16
    assert {key: done[key] for key in kept} == kept
