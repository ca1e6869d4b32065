"""The page Context length, in Chromium: the recorded grid, an own one with its questions, loss, reach, heads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

import workbench as wb
from tests.browser.axe import violations
from tests.browser.talking import becomes
from workbench.context.haystack import of_text
from workbench.context.tasks import TASKS

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=alert(1)> The <b>boats</b> went out. "
TEXTS = ["The boats went out and the boats came home. " * 6, "Tom has the hat, Anna has the key. " * 6]


def test_a_grid_is_read_measured_and_explained(watched: Callable, address: str, models: list[str]) -> None:
    page: Page = watched(f"{address.rstrip('/')}/context").page
    section = page.locator("#wb-section-grid")
    expect(section).to_contain_text("Recorded on")
    expect(section).to_contain_text("1200 questions")
    section.locator("canvas.wb-grid").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(section.locator(".wb-question")).to_have_count(5)
    expect(section.locator(".wb-question mark").first).to_contain_text("key is")
    section.get_by_label("Share of right answers needed").fill("2")
    page.keyboard.press("Tab")
    expect(section.get_by_role("alert").filter(has_text="threshold")).to_be_visible()

    section.get_by_label("Lengths, tokens").fill("many")
    section.get_by_role("button", name="Measure").click()
    expect(section.get_by_role("alert").filter(has_text="Lengths: expected numbers")).to_be_visible()
    section.get_by_label("Lengths, tokens").fill("160, 128")
    section.get_by_label("Depths, percent").fill("0, 100")
    section.get_by_label("Questions a cell").fill("1")
    section.get_by_text("Your own haystack").click()
    section.get_by_label("Your own text to hide them in").fill(HOSTILE * 40)
    section.get_by_role("button", name="Measure").click()
    by_length = section.get_by_role("region", name="Right by length")
    expect(by_length.get_by_role("row")).to_have_count(3)
    expect(section.get_by_role("button", name="Measure")).to_be_enabled()

    study = wb.needle([wb.load(name) for name in models], [128, 160], [0.0, 1.0], cases=1,
                      tasks=TASKS["needle"](of_text((HOSTILE * 40).strip(), "yours")))  # fmt: skip
    list(study)
    wanted = study.grid.by_length()
    logprob = wanted.query("model == @models[0] and length == 128")["logprob"].item()
    cell = by_length.get_by_role("row").nth(1).get_by_role("cell").nth(1)
    expect(cell).to_have_text(f"{logprob:.3f}".replace("-", "−"))

    section.locator("canvas.wb-grid").first.focus()
    page.keyboard.press("Enter")
    question = section.locator(".wb-question")
    expect(question).to_have_count(1)
    expect(question.locator(".wb-prompt-cut")).to_contain_text("<img src=x onerror=alert(1)>")
    question.get_by_role("button", name="Why?").first.click()
    found = wb.mechanism(wb.load(models[0]), study.plan.items()[-1])
    assert (found.item.length, found.item.depth) == (128, 0.0)
    last = question.locator(".wb-ranks tbody tr").last.locator("td")
    expect(last).to_have_text([f"#{rank:,}".replace(",", "\u2009") for rank in found.rank.values[-1]])
    assert violations(page) == []
    with page.expect_download() as saved:
        section.get_by_role("button", name="JSONL").click()
    lines = [json.loads(line) for line in Path(saved.value.path()).read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 1 + 8 and {line["haystack"] for line in lines[1:]} == {"yours"}
    page.reload()
    expect(by_length.get_by_role("row")).to_have_count(3)


def test_loss_reach_and_heads(watched: Callable, address: str, models: list[str]) -> None:
    page: Page = watched(f"{address.rstrip('/')}/context#loss").page
    section = page.locator("#wb-section-loss")
    section.get_by_text("Your own texts").click()
    section.get_by_label("Texts", exact=True).fill("\n---\n".join(TEXTS))
    section.get_by_role("button", name="Read", exact=True).click()
    cells = section.get_by_role("region", name="Loss by position").get_by_role("row")
    study = wb.loss_by_position([wb.load(name) for name in models], [text.strip() for text in TEXTS])
    list(study)
    curve = study.found.curve()
    expect(cells).to_have_count(1 + len(curve))
    expect(section.get_by_role("button", name="Read", exact=True)).to_be_enabled()  # one text alone shows, too

    def losses() -> list[str]:
        return [row.split("\t")[2].strip() for row in cells.all_inner_texts()[1:]]

    becomes(page, [f"{x:.3f}" for x in curve["loss"]], losses)
    section.get_by_label("Tokens of one copy").fill("8")
    section.get_by_role("button", name="Read random tokens twice").click()
    expect(section.get_by_role("region", name="Induction").get_by_role("row")).to_have_count(3)
    assert violations(page, "#wb-section-loss") == []

    page.get_by_role("tab", name="Reach & RoPE").click()
    section = page.locator("#wb-section-reach")
    section.get_by_label("Tokens", exact=True).fill("100")
    section.get_by_role("button", name="Measure the reach").click()
    expect(section.locator(".wb-finding")).to_contain_text("70 of 100 tokens reach the last one")  # 3 (24 - 1) + 1
    section.get_by_label("For").select_option("7B")
    expect(section.locator(".wb-found")).to_contain_text("18 of 64 pairs")
    expect(section.locator(".wb-found")).to_contain_text("33 of 64 pairs")
    assert violations(page, "#wb-section-reach") == []

    page.get_by_role("tab", name="Retrieval heads").click()
    section = page.locator("#wb-section-heads")
    section.get_by_label("Lengths, tokens").fill("128")
    section.get_by_label("Questions at each place").fill("1")
    section.get_by_label("Score of a found head").fill("0.05")
    section.get_by_role("button", name="Look and silence").click()
    expect(section.locator(".wb-finding").first).to_contain_text("over 3 questions")
    expect(section.get_by_role("button", name="Look and silence")).to_be_enabled()
    assert violations(page, "#wb-section-heads") == []
