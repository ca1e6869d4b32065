"""Steps of the walk: what is asked, answered, changed and taken along."""

from __future__ import annotations

import json
import re
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.axe import in_both_colours
from tests.browser.talking import act, answered, becomes, footers, idle, lived, lives, ready, replies, said, settings
from tests.browser.walk import Walk


def opens_on_a_recorded_exchange(walk: Walk) -> None:
    expect(walk.page.locator(".wb-banner")).to_contain_text("Recorded from")
    expect(walk.page.get_by_text("Click any token to look inside.")).to_be_visible()
    expect(walk.page.locator("#wb-inspector .wb-list .wb-row").first).to_be_visible()


def two_models_one_prompt(walk: Walk) -> None:
    settings(walk.page, longest=60)
    lives(walk.page)
    walk.page.fill("#wb-question textarea", "What do you see?")
    walk.page.click("#wb-send")
    lived(walk.page, 2)
    for place in (0, 1):
        answered(walk.page, place)
    idle(walk.page)
    assert len({text for place in (0, 1) for text in replies(walk.page, place)}) == 2, "two models, two answers"


def speed_count_and_context(walk: Walk) -> None:
    for place in (0, 1):
        expect(footers(walk.page, place)).to_contain_text(re.compile(r"\d+ tokens/s · 60 tokens · greedy, seed 0"))
        meter = walk.page.locator(".wb-model-meter").nth(place)
        expect(meter).to_contain_text(re.compile(r"7\d / 2\u2009048 tokens · KV \d[\d.]* KiB"))
        expect(meter).to_contain_text("float32 · cpu")


def seed_preset_and_versions(walk: Walk) -> None:
    settings(walk.page, longest=8, preset="Creative", seed=5)
    before = replies(walk.page)
    walk.page.click("#wb-again")
    expect(walk.page.locator(".wb-versions").filter(has_text="2 / 2")).to_have_count(2)
    idle(walk.page)
    expect(footers(walk.page)).to_contain_text("8 tokens · creative: temperature 1.1, top-p 0.98, seed 5")
    act(walk.page, "Earlier version")
    expect(walk.column().locator(".wb-assistant .wb-versions")).to_contain_text("1 / 2")
    becomes(walk.page, before, replies, walk.page)


def a_question_is_edited(walk: Walk) -> None:
    act(walk.page, "Edit and ask again", role="user")
    field = walk.page.get_by_label("Edit the question")
    walk.kept["axe"] = in_both_colours(walk.page, "#wb-chat")  # the open field is gone when the step ends
    field.fill("What do you hear?")
    field.press("Control+Enter")
    for place in (0, 1):
        expect(walk.column(place).locator(".wb-user .wb-text")).to_have_text("What do you hear?")
        answered(walk.page, place)
    idle(walk.page)


def a_question_is_taken_back(walk: Walk) -> None:
    said(walk.page, "And then?", 2)
    walk.page.get_by_role("button", name="Undo").click()
    expect(walk.page.locator("#wb-question textarea")).to_have_value("And then?")
    expect(walk.column().locator(".wb-user")).to_have_count(1)
    walk.page.fill("#wb-question textarea", "")


def conversations_stay_in_the_list(walk: Walk) -> None:
    act(walk.page, "Fork")
    expect(walk.page.locator(".wb-said")).to_contain_text("goes on from here")
    picker = walk.page.get_by_label("Conversations of this tab")
    titles = picker.locator("option").all_inner_texts()
    assert titles[0].startswith("Recorded: ")
    assert sum("What do you hear?" in title for title in titles) >= 2
    picker.select_option(label=next(title for title in titles if "What do you see?" in title))
    expect(walk.column().locator(".wb-user .wb-text").first).to_have_text("What do you see?")


def stop_keeps_what_was_said(walk: Walk) -> None:
    walk.page.click("#wb-clear")
    expect(walk.page.locator(".wb-column-note").first).to_have_text("Nothing said yet.")
    settings(walk.page, longest=1000, preset="Greedy")
    walk.page.fill("#wb-question textarea", "Go on for ever")
    walk.page.press("#wb-question textarea", "Enter")
    expect(walk.column(1).locator(".wb-live .wb-text")).not_to_be_empty()
    walk.page.click("#wb-stop")
    idle(walk.page)
    expect(walk.page.locator(".wb-footer-words", has_text="stopped")).to_have_count(2)
    settings(walk.page, longest=8)


def an_alternative_goes_on(walk: Walk) -> None:
    said(walk.page, "Once upon a time", 2)
    walk.column().locator(".wb-token.wb-generated").nth(2).click()
    chip = walk.column().locator(".wb-alternatives button").first
    piece = chip.locator(".wb-piece").inner_text()
    walk.kept["axe"] = in_both_colours(walk.page, "#wb-chat")
    chip.click()
    expect(footers(walk.page).last).to_contain_text("(3 given)")
    idle(walk.page)
    expect(walk.column().locator(".wb-token.wb-begun")).to_have_count(3)
    begun = walk.column().locator(".wb-token.wb-begun").nth(2)
    becomes(walk.page, True, lambda: begun.inner_text().startswith(piece.rstrip("…")))


def tokens_tell_their_probability(walk: Walk) -> None:
    strip = walk.column(1).locator(".wb-token.wb-generated")
    strip.first.hover()
    for word in ("id", "position", "probability", "rank", "entropy"):
        expect(walk.page.locator(".wb-tip")).to_contain_text(word)
    colour = (
        "getComputedStyle(document.querySelectorAll('.wb-column')[1].querySelector('.wb-generated')).backgroundColor"
    )
    seen = set()
    for mode in ("surprise", "entropy", "probability"):
        walk.page.get_by_role("radiogroup", name="Colour tokens by").get_by_role("radio", name=mode).click()
        walk.page.mouse.move(1, 1)
        becomes(walk.page, False, lambda: strip.first.evaluate(colour) in seen)
        seen.add(strip.first.evaluate(colour))


def an_architecture_is_switched(walk: Walk) -> None:
    walk.column().get_by_role("button", name="Switches").click()
    walk.column().get_by_role("radiogroup", name="window").get_by_role("radio", name="none").click()
    badge = walk.column().locator(".wb-column-head .wb-badge")
    expect(badge).to_contain_text("no window")
    count = footers(walk.page).count()
    said(walk.page, "Without a window", count + 1)
    expect(footers(walk.page).last).to_contain_text("no window")
    expect(walk.page.locator(".wb-models button").first).to_contain_text("no window")


def a_conversation_leaves_and_comes_back(walk: Walk) -> None:
    with walk.page.expect_download() as download:
        walk.page.get_by_role("button", name="Export").click()
    document = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    reply = document["models"][0]["messages"][-1]["versions"][0]["reply"]
    assert reply["switched"] == "no window"
    assert {"sampling", "tokens_per_second", "used", "context", "seconds"} <= set(reply)
    before = replies(walk.page)
    walk.page.get_by_label("Conversation file").set_input_files(download.value.path())
    expect(walk.page.locator(".wb-said")).to_contain_text("Imported as conversation")
    becomes(walk.page, before, replies, walk.page)
    expect(footers(walk.page).last).to_contain_text("imported")


def another_recorded_exchange_opens(walk: Walk) -> None:
    walk.page.locator(".wb-recordings-button").click()
    walk.kept["axe"] = in_both_colours(walk.page, "#wb-left")
    walk.page.get_by_role("menuitem").first.click()
    expect(walk.page.locator(".wb-banner")).to_contain_text("Recorded from")
    picker = walk.page.get_by_label("Conversations of this tab")
    titles = picker.locator("option").all_inner_texts()
    own = [title for title in titles if "Go on for ever" in title]
    picker.select_option(label=own[0])
    expect(walk.page.locator(".wb-banner")).to_be_hidden()
    expect(walk.page.locator(".wb-column").first.locator(".wb-token").first).to_be_visible()


def a_link_leads_to_the_same_place(walk: Walk) -> None:
    walk.token(4)
    walk.turn("Logit lens")
    expect(walk.page).to_have_url(re.compile("token=4.*tab=lens"))
    other = walk.watched(walk.page.url, **walk.options).page
    other.wait_for_selector(".wb-lens[data-drawn]")
    expect(other.locator(".wb-where")).to_contain_text("position 4 of")
    expect(other, "another person's tab has not the conversation, but the run").to_have_url(re.compile(r"/runs\?"))
    other.close()


def the_conversation_is_still_there(walk: Walk) -> None:
    walk.page.get_by_role("link", name="Chat & inspect").click()
    ready(walk.page)
    expect(walk.column().locator(".wb-user .wb-text").first).to_have_text("Go on for ever")
