"""A tab keeps its conversation over a reload, is nobody else's, and stops its models when it goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

import workbench as wb
from tests.browser.talking import answered, ask, becomes, footers, idle, ready, replies, said, settings

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser walk")]


def writing(page: Page, characters: int = 20) -> None:
    """Both models are in the middle of a reply."""
    page.wait_for_function(
        "n => [...document.querySelectorAll('.wb-live .wb-text')].filter((t) => t.textContent.length > n).length === 2",
        arg=characters,
    )


def test_a_reload_keeps_conversation_insides_and_settings(watched: Callable, address: str) -> None:
    page = watched(address).page
    ready(page)
    page.locator("#wb-switch label").nth(1).click()
    expect(page.locator(".wb-column")).to_have_count(1)
    settings(page, longest=7, preset="Creative", seed=11)
    said(page, "Before the reload")
    before = replies(page)
    page.reload()
    ready(page)
    expect(page.locator(".wb-user .wb-text")).to_have_text(["Before the reload"])
    expect(page.locator(".wb-column")).to_have_count(1)
    becomes(page, before, replies, page)
    expect(page.locator("#wb-send")).not_to_have_text("Ask both models")
    expect(page.locator(".wb-token.wb-on")).to_have_count(1)
    settings(page)
    expect(page.locator("#wb-seed input")).to_have_value("11")
    expect(page.get_by_label("number input for Longest reply (tokens)")).to_have_value("7")
    page.locator(".wb-token.wb-generated").nth(2).click()
    expect(page.locator(".wb-where")).to_contain_text("position")
    said(page, "After it", 2)

    # To another page and back.
    page.goto(address.rstrip("/") + "/runs")
    expect(page.get_by_text("Before the reload").first).to_be_visible()
    page.goto(address)
    ready(page)
    expect(page.locator(".wb-user .wb-text")).to_have_text(["Before the reload", "After it"])

    # A key that nobody knows begins anew.
    page.evaluate("sessionStorage.setItem('workbench-tab', 'x'.repeat(32))")
    page.reload()
    ready(page)
    expect(page.locator(".wb-banner")).to_be_visible()
    expect(page.get_by_text("After it", exact=True)).to_have_count(0)
    said(page, "Hello again")


def test_a_reply_that_is_written_takes_no_other_action_and_outlives_a_reload(watched: Callable, address: str) -> None:
    page = watched(address).page
    ready(page)
    settings(page, longest=1000)
    ask(page, "Go on for ever")
    writing(page)
    # What the page does not offer now, sent all the same.
    found = page.evaluate("window.workbench.tab.act({ kind: 'undo' })")
    assert "still being written" in found["error"]
    expect(page.locator(".wb-said")).to_contain_text("still being written")
    for nonsense in ("{ kind: 'dance' }", "{ kind: 'thread', number: -1 }", "{}", "{ kind: 'fork', index: 'x' }"):
        assert page.evaluate(f"window.workbench.tab.act({nonsense})")["error"]

    # A reload in the middle stops and keeps it.
    page.reload()
    for column in (0, 1):
        answered(page, column)
    expect(page.locator(".wb-footer-words", has_text="stopped")).to_have_count(2)
    expect(page.locator(".wb-live")).to_have_count(0)
    assert all(len(text) > 20 for column in (0, 1) for text in replies(page, column))
    page.locator(".wb-column").first.locator(".wb-token.wb-generated").nth(3).click()
    expect(page.locator(".wb-where")).to_contain_text("position")
    settings(page, longest=5)
    said(page, "And now something short", 2)


def test_two_tabs_of_one_person_stay_apart_and_one_that_closes_makes_room(
    watched: Callable, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = watched(address).page
    ready(one)
    said(one, "From the first tab")
    # A duplicated tab: the browser copies what the first one keeps.
    with one.context.expect_page() as opened:
        one.evaluate("window.open(location.href)")
    two = opened.value
    ready(two)
    expect(two.locator(".wb-banner")).to_be_visible()
    keys = [page.evaluate("window.workbench.tab.key()") for page in (one, two)]
    assert keys[0] != keys[1]
    assert all(len(key) >= 32 for key in keys)
    said(two, "From the second tab")
    for page, text in ((one, "From the first tab"), (two, "From the second tab")):
        page.reload()
        ready(page)
        expect(page.locator(".wb-column").first.locator(".wb-user .wb-text")).to_have_text([text])

    # A tab that closes stops its models, and makes room for the one that waits.
    settings(two, longest=1000)
    one.fill("#wb-question textarea", "And I?")
    runs: list[Any] = []
    generate = wb.Model.generate
    monkeypatch.setattr(wb.Model, "generate", lambda *one, **more: runs.append(generate(*one, **more)) or runs[-1])
    ask(two, "Go on for ever")
    writing(two, 5)
    one.evaluate("document.querySelector('#wb-send').click()")  # it is behind the other: a pointer would wait long
    two.close()
    for place in (0, 1):
        answered(one, place, 2)
    idle(one)
    becomes(one, ["stopped", "stopped"], lambda: [run.finish_reason for run in runs[:2]])
    expect(footers(one).last).to_contain_text("12 tokens")
    expect(one.get_by_text("Go on for ever")).to_have_count(0)
