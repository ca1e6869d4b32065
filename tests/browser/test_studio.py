"""Chat & inspect as a person meets it, in a real browser."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Response, expect

from tests.browser.talking import (
    answered,
    ask,
    becomes,
    colourful,
    drawn,
    footers,
    idle,
    ink,
    lived,
    lives,
    ready,
    redrawn,
    said,
    settings,
)

pytestmark = pytest.mark.browser


def test_the_recorded_exchange_and_its_insides(watched: Callable, address: str) -> None:
    page = watched(address).page
    ready(page)
    # It opens with the attention of a token drawn.
    expect(page.locator("h1")).to_have_count(1)
    expect(page.locator(".wb-banner")).to_contain_text("Recorded from")
    expect(page.get_by_text("Click any token to look inside.")).to_be_visible()
    expect(page.locator(".wb-column")).to_have_count(2)
    expect(page.locator(".wb-user .wb-text").first).to_have_text("What is the capital of France?")
    expect(page.locator(".wb-token.wb-on")).to_have_count(1)
    expect(page.locator(".wb-token.wb-on")).to_be_in_viewport()
    expect(page.locator(".wb-token").first).to_have_text("<s>")
    for canvas in (".wb-map", ".wb-mosaic"):
        becomes(page, True, colourful, page, canvas)
    expect(page.locator(".wb-list").first.locator(".wb-row").first).to_be_visible()
    expect(page.locator(".wb-model-meter").first).to_contain_text("2\u2009048 tokens")

    # The pointer over a token tells its numbers.
    page.locator(".wb-token.wb-generated").first.hover()
    for word in ("id", "probability", "rank", "entropy"):
        expect(page.locator(".wb-tip")).to_contain_text(word)

    # A click draws, and asks little.
    sizes: list[int] = []

    def note(response: Response) -> None:
        if "component_server" in response.url:
            sizes.append(len(response.body()))

    page.on("response", note)
    shown = ink(page, ".wb-over")
    for token in ("5", "8", "11", "14", "6", "9"):
        before = drawn(page, "attention")
        page.locator(".wb-column").first.locator(f".wb-token[data-i='{token}']").click()
        redrawn(page, "attention", before)
    # Few and small answers are what makes a click quick, whatever else the machine has to do.
    becomes(page, True, lambda: len(sizes) > 0)
    assert len(sizes) <= 12, sizes
    assert max(sizes) < 1_000_000
    page.remove_listener("response", note)
    becomes(page, True, lambda: ink(page, ".wb-over") != shown)
    expect(page.locator(".wb-list h2").first).to_contain_text("reads")

    # Layers, heads and the sink change the map.
    seen = {ink(page, ".wb-map")}
    for change in (
        lambda: page.locator(".wb-slider input").fill("2"),
        lambda: page.locator(".wb-mosaic").click(position={"x": 110, "y": 40}),
        lambda: page.get_by_text("hide the sink").click(),
    ):
        before = drawn(page, "attention")
        change()
        redrawn(page, "attention", before)
        becomes(page, False, lambda: ink(page, ".wb-map") in seen)
        seen.add(ink(page, ".wb-map"))
    expect(page.locator(".wb-slider output")).to_have_text("2 / 2")
    expect(page.locator(".wb-bar > output")).to_have_text("head 0")
    expect(page.locator(".wb-grow figcaption")).to_contain_text("outside the window of 24 tokens")

    # Keys walk through the tokens.
    page.locator(".wb-strip").first.focus()
    page.keyboard.press("Home")
    expect(page.locator(".wb-where")).to_contain_text("position 0")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".wb-where")).to_contain_text("position 2")
    page.keyboard.press("End")
    expect(page.locator(".wb-attention .wb-message")).to_contain_text("never read again")

    # The other views follow a click, too.
    for tab, view, mark in (
        ("Logit lens", "lens", "td.wb-on"),
        ("KV cache", "cache", "canvas"),
        ("Next token", "next", ".wb-row"),
    ):
        page.get_by_role("tab", name=tab).click()
        page.wait_for_selector(f".wb-{view}[data-drawn]")
        for token in ("12", "9"):
            before = drawn(page, view)
            page.locator(".wb-column").first.locator(f".wb-token[data-i='{token}']").click()
            redrawn(page, view, before)
        expect(page.locator(f".wb-{view} {mark}").first).to_be_visible()
    expect(page.locator(".wb-where")).to_contain_text("position 9")

    # The inspector turns to the other model.
    page.get_by_role("tab", name="Attention").click()
    page.locator(".wb-models button").nth(1).click()
    expect(page.locator(".wb-column").nth(1).locator(".wb-token.wb-on")).to_have_count(1)
    expect(page.locator(".wb-grow figcaption")).to_contain_text("no sliding window")


def test_asking_stopping_clearing(watched: Callable, address: str) -> None:
    page = watched(address).page
    ready(page)
    note = page.locator(".wb-column-note")
    # What cannot be is answered in a sentence.
    page.click("#wb-send")
    expect(page.get_by_text("Type a question first.")).to_be_visible()
    page.click("#wb-clear")
    expect(note.first).to_have_text("Nothing said yet.")
    page.click("#wb-again")
    expect(page.get_by_text("There is no reply to write again yet.")).to_be_visible()
    ask(page, "word " * 2500)
    expect(note.first).to_contain_text("tokens")
    idle(page)

    # One model at a time.
    page.locator("#wb-switch label").nth(1).click()
    expect(page.locator(".wb-column")).to_have_count(1)
    expect(page.locator("#wb-send")).not_to_have_text("Ask both models")
    said(page, "Hello")
    page.locator("#wb-switch label").nth(2).click()
    expect(page.locator(".wb-column")).to_have_count(2)
    page.click("#wb-clear")
    for column in range(2):
        expect(note.nth(column)).to_have_text("Nothing said yet.")

    # Both stream, and can be opened.
    settings(page, longest=40)
    lives(page)
    ask(page, "What do you see?")
    lived(page, 2)
    for column in (0, 1):
        answered(page, column)
    expect(page.locator(".wb-banner")).to_be_hidden()
    expect(page.locator("#wb-question textarea")).to_have_value("")
    expect(footers(page)).to_contain_text("greedy, seed 0")
    idle(page)
    page.wait_for_selector(".wb-attention[data-drawn]")
    before = drawn(page, "attention")
    page.locator(".wb-column").nth(1).locator(".wb-token.wb-generated").nth(3).click()
    redrawn(page, "attention", before)
    page.get_by_role("tab", name="KV cache").click()
    page.wait_for_selector(".wb-cache[data-drawn]")

    # Stop ends both and keeps what was said: here the second question, of which both are in the middle.
    settings(page, longest=1000)
    ask(page, "Go on for ever")
    page.wait_for_function(
        "[...document.querySelectorAll('.wb-live .wb-text')].filter((t) => t.textContent.length > 20).length === 2"
    )
    expect(page.locator("#wb-stop")).to_be_enabled()
    page.click("#wb-stop")
    for column in (0, 1):
        answered(page, column, 2)
    expect(page.locator(".wb-footer-words", has_text="stopped")).to_have_count(2)
    idle(page)
    before = drawn(page, "cache")
    page.locator(".wb-column").first.locator(".wb-token.wb-generated").nth(2).click()
    redrawn(page, "cache", before)

    # Clear in the middle of a reply stops and clears.
    ask(page, "Hello")
    expect(page.locator(".wb-live").first).to_be_visible()
    page.click("#wb-clear")
    for column in range(2):
        expect(note.nth(column)).to_have_text("Nothing said yet.")
    expect(page.locator("#wb-send")).to_be_enabled()
    expect(page.locator(".wb-message-box")).to_have_count(0)
