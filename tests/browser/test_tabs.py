"""A tab keeps its conversation over a reload, is nobody else's, and stops its models when it goes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

import workbench as wb
from tests.browser.talking import answered, ask, becomes, idle, ready, replies, said, settings

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


def test_a_reload_in_the_middle_of_a_reply_stops_and_keeps_it(watched: Callable, address: str) -> None:
    page = watched(address).page
    ready(page)
    settings(page, longest=1000)
    ask(page, "Go on for ever")
    writing(page)
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


def test_another_page_and_back(watched: Callable, address: str) -> None:
    page = watched(address).page
    ready(page)
    said(page, "Before I go")
    page.goto(address.rstrip("/") + "/runs")
    expect(page.get_by_text("Before I go").first).to_be_visible()
    page.goto(address)
    ready(page)
    expect(page.locator(".wb-column").first.locator(".wb-user .wb-text")).to_have_text(["Before I go"])


def test_two_tabs_of_one_person_stay_apart(watched: Callable, address: str) -> None:
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


def test_an_unknown_key_begins_anew(watched: Callable, address: str) -> None:
    page = watched(address).page
    ready(page)
    said(page, "Hello")
    page.evaluate("sessionStorage.setItem('workbench-tab', 'x'.repeat(32))")
    page.reload()
    ready(page)
    expect(page.locator(".wb-banner")).to_be_visible()
    expect(page.get_by_text("Hello", exact=True)).to_have_count(0)
    said(page, "Hello again")


def test_a_closed_tab_stops_its_models_and_the_server_goes_on(
    watched: Callable, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = watched(address).page
    ready(page)
    settings(page, longest=1000)
    runs: list[Any] = []
    generate = wb.Model.generate
    monkeypatch.setattr(wb.Model, "generate", lambda *one, **more: runs.append(generate(*one, **more)) or runs[-1])
    ask(page, "Go on for ever")
    writing(page, 5)
    page.close()
    other = watched(address).page
    ready(other)
    becomes(other, ["stopped", "stopped"], lambda: [run.finish_reason for run in runs])
    said(other, "Hello")


def test_a_second_click_and_a_click_elsewhere_while_writing_are_sentences(watched: Callable, address: str) -> None:
    page = watched(address).page
    ready(page)
    settings(page, longest=400)
    ask(page, "Go on")
    writing(page, 5)
    # What the page does not offer now, sent all the same.
    found = page.evaluate("window.workbench.tab.act({ kind: 'undo' })")
    assert "still being written" in found["error"]
    expect(page.locator(".wb-said")).to_contain_text("still being written")
    for nonsense in ("{ kind: 'dance' }", "{ kind: 'thread', number: -1 }", "{}", "{ kind: 'fork', index: 'x' }"):
        assert page.evaluate(f"window.workbench.tab.act({nonsense})")["error"]
    with contextlib.suppress(PlaywrightTimeout):  # on a busy machine the reply may be over by now
        page.click("#wb-stop", timeout=5_000)
    idle(page)
