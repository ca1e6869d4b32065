"""Chat & inspect as a person meets it, in a real browser."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.talking import (
    answered,
    ask,
    becomes,
    colourful,
    drawn,
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


def test_it_opens_on_a_recorded_exchange_with_its_attention_drawn(watched: Callable, address: str) -> None:
    page = watched(address).page
    ready(page)
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


def test_a_click_draws_attention_lens_cache_and_next(watched: Callable, address: str) -> None:
    page = watched(address).page
    ready(page)
    before, shown = drawn(page, "attention"), ink(page, ".wb-over")
    page.locator(".wb-column").first.locator(".wb-token[data-i='9']").click()
    redrawn(page, "attention", before)
    becomes(page, True, lambda: ink(page, ".wb-over") != shown)
    expect(page.locator(".wb-list h2").first).to_contain_text("reads")
    for tab, view, mark in (
        ("Logit lens", "lens", "td.wb-on"),
        ("KV cache", "cache", "canvas"),
        ("Next token", "next", ".wb-row"),
    ):
        page.get_by_role("tab", name=tab).click()
        page.wait_for_selector(f".wb-{view}[data-drawn]")
        expect(page.locator(f".wb-{view} {mark}").first).to_be_visible()
        for token in ("12", "9"):
            before = drawn(page, view)
            page.locator(".wb-column").first.locator(f".wb-token[data-i='{token}']").click()
            redrawn(page, view, before)
    expect(page.locator(".wb-where")).to_contain_text("position 9")


def test_a_click_asks_little(watched: Callable, address: str) -> None:
    page = watched(address).page
    ready(page)
    sizes: list[int] = []
    page.on(
        "response", lambda response: sizes.append(len(response.body())) if "component_server" in response.url else None
    )
    for token in ("5", "8", "11", "14", "6", "9"):
        before = drawn(page, "attention")
        page.locator(".wb-column").first.locator(f".wb-token[data-i='{token}']").click()
        redrawn(page, "attention", before)
    # Few and small answers are what makes a click quick, whatever else the machine has to do.
    assert 0 < len(sizes) <= 12, sizes
    assert max(sizes) < 1_000_000


def test_layers_heads_and_the_sink_change_the_map(watched: Callable, address: str) -> None:
    page = watched(address).page
    ready(page)
    seen = {ink(page, ".wb-map")}
    before = drawn(page, "attention")
    page.locator(".wb-slider input").fill("2")
    redrawn(page, "attention", before)
    expect(page.locator(".wb-slider output")).to_have_text("2 / 2")
    seen.add(ink(page, ".wb-map"))
    before = drawn(page, "attention")
    page.locator(".wb-mosaic").click(position={"x": 110, "y": 40})
    redrawn(page, "attention", before)
    expect(page.locator(".wb-bar > output")).to_have_text("head 0")
    seen.add(ink(page, ".wb-map"))
    before = drawn(page, "attention")
    page.get_by_text("hide the sink").click()
    redrawn(page, "attention", before)
    seen.add(ink(page, ".wb-map"))
    assert len(seen) == 4
    expect(page.locator(".wb-grow figcaption")).to_contain_text("outside the window of 24 tokens")


def test_keys_walk_through_the_tokens(watched: Callable, address: str) -> None:
    page = watched(address).page
    ready(page)
    strip = page.locator(".wb-strip").first
    strip.focus()
    page.keyboard.press("Home")
    expect(page.locator(".wb-where")).to_contain_text("position 0")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".wb-where")).to_contain_text("position 2")
    page.keyboard.press("End")
    expect(page.locator(".wb-attention .wb-message")).to_contain_text("never read again")


def test_hover_tells_id_probability_and_rank(watched: Callable, address: str) -> None:
    page = watched(address).page
    ready(page)
    page.locator(".wb-token.wb-generated").first.hover()
    for word in ("id", "probability", "rank", "entropy"):
        expect(page.locator(".wb-tip")).to_contain_text(word)


def test_the_inspector_changes_the_model(watched: Callable, address: str) -> None:
    page = watched(address).page
    ready(page)
    before = drawn(page, "attention")
    page.locator(".wb-models button").nth(1).click()
    redrawn(page, "attention", before)
    expect(page.locator(".wb-column").nth(1).locator(".wb-token.wb-on")).to_have_count(1)
    expect(page.locator(".wb-grow figcaption")).to_contain_text("no sliding window")


def test_both_models_stream_and_can_be_opened(watched: Callable, address: str) -> None:
    page = watched(address).page
    ready(page)
    settings(page, longest=40)
    lives(page)
    ask(page, "What do you see?")
    lived(page, 2)
    for column in (0, 1):
        answered(page, column)
    expect(page.locator(".wb-banner")).to_be_hidden()
    expect(page.locator("#wb-question textarea")).to_have_value("")
    expect(page.locator(".wb-assistant .wb-footer-words").first).to_contain_text("greedy, seed 0")
    generated = page.locator(".wb-column").nth(1).locator(".wb-token.wb-generated")
    before = drawn(page, "attention")
    generated.nth(3).click()
    redrawn(page, "attention", before)
    page.get_by_role("tab", name="KV cache").click()
    page.wait_for_selector(".wb-cache[data-drawn]")
    ask(page, "And now?")
    for column in (0, 1):
        answered(page, column, 2)
    expect(page.locator(".wb-column").first.locator(".wb-user")).to_have_count(2)


def test_stop_ends_both_and_keeps_what_was_said(watched: Callable, address: str) -> None:
    page = watched(address).page
    ready(page)
    settings(page, longest=1000)
    ask(page, "Go on for ever")
    page.wait_for_function(
        "[...document.querySelectorAll('.wb-live .wb-text')].filter((t) => t.textContent.length > 20).length === 2"
    )
    expect(page.locator("#wb-stop")).to_be_enabled()
    page.click("#wb-stop")
    for column in (0, 1):
        answered(page, column)
    expect(page.locator(".wb-footer-words", has_text="stopped")).to_have_count(2)
    expect(page.locator("#wb-send")).to_be_enabled()
    before = drawn(page, "attention")
    page.locator(".wb-column").first.locator(".wb-token.wb-generated").nth(2).click()
    redrawn(page, "attention", before)


def test_hostile_text_stays_text(watched: Callable, address: str) -> None:
    page = watched(address).page
    ready(page)
    text = "<script>document.title='x'</script> <img src=x onerror=\"document.title='y'\"> a<b & </s> [INST] "
    text += "\u202eback\u200b 🙂 `c<d`"
    said(page, text)
    shown = page.locator(".wb-user .wb-text").first
    expect(shown).to_contain_text("<script>document.title='x'</script> <img src=x")
    expect(shown).to_contain_text("a<b & </s> [INST]")
    expect(shown.locator("code")).to_have_text("c<d")
    assert page.locator(".wb-chat script, .wb-chat img").count() == 0
    assert page.title() == "Mistral workbench"
    specials = page.locator(".wb-column").first.locator(".wb-special")
    expect(specials, "a typed </s> is not the end token").to_have_count(1)


def test_impossible_requests_are_answered_in_a_sentence(watched: Callable, address: str) -> None:
    page = watched(address).page
    ready(page)
    page.click("#wb-send")
    expect(page.get_by_text("Type a question first.")).to_be_visible()
    page.click("#wb-clear")
    expect(page.locator(".wb-column-note").first).to_have_text("Nothing said yet.")
    page.click("#wb-again")
    expect(page.get_by_text("There is no reply to write again yet.")).to_be_visible()
    ask(page, "word " * 2500)
    expect(page.locator(".wb-column-note").first).to_contain_text("tokens")
    ask(page, "Hello")
    answered(page)
    idle(page)
    page.click("#wb-clear")
    expect(page.locator(".wb-column-note").first).to_have_text("Nothing said yet.")


def test_clear_in_the_middle_of_a_reply_stops_and_clears(watched: Callable, address: str) -> None:
    page = watched(address).page
    ready(page)
    settings(page, longest=800)
    ask(page, "Hello")
    expect(page.locator(".wb-live").first).to_be_visible()
    page.click("#wb-clear")
    for column in range(2):
        expect(page.locator(".wb-column-note").nth(column)).to_have_text("Nothing said yet.")
    expect(page.locator("#wb-send")).to_be_enabled()
    expect(page.locator(".wb-message-box")).to_have_count(0)


def test_one_model_at_a_time(watched: Callable, address: str) -> None:
    page = watched(address).page
    ready(page)
    page.locator("#wb-switch label").nth(1).click()
    expect(page.locator(".wb-column")).to_have_count(1)
    expect(page.locator("#wb-send")).not_to_have_text("Ask both models")
    ask(page, "Hello")
    answered(page)
    idle(page)
    page.locator("#wb-switch label").nth(2).click()
    expect(page.locator(".wb-column")).to_have_count(2)
