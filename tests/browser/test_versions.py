"""Versions of a reply, editing, undo, fork, another token: nothing that was said is lost."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.talking import act, answered, ask, becomes, footers, idle, ready, replies, said, settings

pytestmark = pytest.mark.browser


def begin(watched: Callable, address: str) -> Page:
    page = watched(address).page
    ready(page)
    said(page, "What do you see?")
    return page


def test_versions_each_with_their_insides(watched: Callable, address: str) -> None:
    page = begin(watched, address)
    settings(page, preset="Creative", seed=5)
    first = replies(page)
    page.click("#wb-again")
    expect(page.locator(".wb-versions").filter(has_text="2 / 2")).to_have_count(2)
    idle(page)
    expect(page.locator("#wb-seed")).to_contain_text("Regenerate takes 6")
    act(page, "Write another version")
    column = page.locator(".wb-column").first
    expect(column.locator(".wb-assistant .wb-versions")).to_contain_text("3 / 3")
    idle(page)
    expect(page.locator(".wb-column").nth(1).locator(".wb-assistant .wb-versions")).to_contain_text("2 / 2")
    expect(footers(page)).to_contain_text("creative: temperature 1.1, top-p 0.98, seed 6")
    assert replies(page) != first
    strip = column.locator(".wb-token").all_inner_texts()
    for place in ("2 / 3", "1 / 3"):
        column.get_by_role("button", name="Earlier version").click()
        expect(column.locator(".wb-assistant .wb-versions")).to_contain_text(place)
    expect(footers(page)).to_contain_text("greedy, seed 0")
    becomes(page, first, replies, page)
    becomes(page, True, lambda: column.locator(".wb-token").all_inner_texts() != strip)
    expect(column.get_by_role("button", name="Earlier version")).to_be_disabled()
    expect(column.locator(".wb-token.wb-on")).to_have_count(1)
    page.reload()
    ready(page)
    expect(page.locator(".wb-column").first.locator(".wb-assistant .wb-versions")).to_contain_text("1 / 3")


def test_a_question_is_edited_and_the_old_conversation_stays(watched: Callable, address: str) -> None:
    page = begin(watched, address)
    before = replies(page)
    act(page, "Edit", role="user")
    field = page.get_by_label("Edit the question")
    expect(field).to_be_focused()
    expect(field).to_have_value("What do you see?")
    page.keyboard.press("Escape")
    expect(field).to_have_count(0)
    act(page, "Edit", role="user")
    field.fill("What do you <b>hear</b>?")
    page.keyboard.press("Control+Enter")
    for column in (0, 1):
        expect(page.locator(".wb-column").nth(column).locator(".wb-user .wb-text")).to_have_text(
            "What do you <b>hear</b>?"
        )
        answered(page, column)
    idle(page)
    picker = page.get_by_label("Conversations of this tab")
    expect(picker.locator("option")).to_have_count(3)  # the recorded one, and two
    picker.select_option(label="2. What do you see?")
    expect(page.locator(".wb-user .wb-text").first).to_have_text("What do you see?")
    becomes(page, before, replies, page)


def test_undo_gives_the_question_back_and_fork_goes_on_differently(watched: Callable, address: str) -> None:
    page = begin(watched, address)
    said(page, "And then?", 2)
    whole = replies(page)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#wb-question textarea")).to_have_value("And then?")
    expect(page.locator(".wb-column").first.locator(".wb-user")).to_have_count(1)
    page.fill("#wb-question textarea", "And before?")
    page.click("#wb-send")
    for column in (0, 1):
        answered(page, column, 2)
    idle(page)
    first = page.locator(".wb-column").first.locator(".wb-assistant").first
    first.hover()
    first.get_by_role("button", name="Fork").click()
    expect(page.locator(".wb-said")).to_contain_text("goes on from here")
    for column in (0, 1):
        expect(page.locator(".wb-column").nth(column).locator(".wb-message-box")).to_have_count(2)
    page.click("#wb-clear")
    expect(page.locator(".wb-column-note").first).to_have_text("Nothing said yet.")
    page.get_by_label("Conversations of this tab").select_option(value="2")
    expect(page.locator(".wb-column").first.locator(".wb-message-box")).to_have_count(4)
    becomes(page, whole, replies, page)


def test_an_earlier_reply_is_looked_into(watched: Callable, address: str) -> None:
    page = begin(watched, address)
    said(page, "And then?", 2)
    column = page.locator(".wb-column").first
    tokens = column.locator(".wb-token").count()
    message = column.locator(".wb-assistant").first
    message.hover()
    message.get_by_role("button", name="Look inside").click()
    expect(column.locator(".wb-user")).to_have_count(2)
    page.wait_for_function(
        "n => document.querySelector('.wb-column').querySelectorAll('.wb-token').length < n", arg=tokens
    )
    expect(column.locator(".wb-token.wb-on")).to_have_count(1)


def test_a_reply_goes_on_from_another_token(watched: Callable, address: str) -> None:
    page = begin(watched, address)
    column = page.locator(".wb-column").first
    column.locator(".wb-token.wb-generated").nth(2).click()
    line = column.locator(".wb-alternatives")
    expect(line.get_by_role("button")).to_have_count(4)
    before = column.locator(".wb-token").all_inner_texts()
    place = column.locator(".wb-token:not(.wb-generated)").count() + 2
    chosen = line.get_by_role("button").nth(1)
    piece = chosen.locator(".wb-piece").inner_text()
    chosen.focus()
    page.keyboard.press("Enter")
    expect(column.locator(".wb-assistant .wb-versions")).to_contain_text("2 / 2")
    idle(page)
    after = column.locator(".wb-token").all_inner_texts()
    assert after[:place] == before[:place]
    assert after[place].startswith(piece.rstrip("…")[:4])
    expect(footers(page)).to_contain_text("(3 given)")
    expect(page.locator(".wb-where")).to_contain_text(f"position {place + 1} ")
    expect(page.locator(".wb-column").nth(1).locator(".wb-assistant .wb-versions")).to_be_hidden()
    column.get_by_role("button", name="Earlier version").click()
    expect(column.locator(".wb-assistant .wb-versions")).to_contain_text("1 / 2")
    becomes(page, before, column.locator(".wb-token").all_inner_texts)


def test_the_recorded_exchange_can_be_gone_on_with(watched: Callable, address: str) -> None:
    page = watched(address).page
    ready(page)
    page.locator(".wb-column").first.locator(".wb-alternatives").get_by_role("button").first.click()
    expect(page.locator(".wb-column").first.locator(".wb-assistant .wb-versions")).to_contain_text("2 / 2")
    idle(page)
    expect(page.locator(".wb-banner")).to_be_hidden()
    page.get_by_label("Conversations of this tab").select_option(value="1")
    expect(page.locator(".wb-banner")).to_be_visible()


def test_a_message_is_copied(watched: Callable, address: str) -> None:
    page = watched(address).page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    ready(page)
    ask(page, "<i>copy</i> me & `this`")
    answered(page)
    idle(page)
    act(page, "Copy", role="user")
    page.wait_for_function("navigator.clipboard.readText().then((text) => text === '<i>copy</i> me & `this`')")


def test_actions_are_reached_by_keyboard_and_shown_then(watched: Callable, address: str) -> None:
    page = begin(watched, address)
    actions = page.locator(".wb-column").first.locator(".wb-assistant .wb-message-actions")
    page.mouse.move(5, 5)
    expect(actions).to_have_css("opacity", "0")
    actions.get_by_role("button", name="Copy").focus()
    expect(actions).to_have_css("opacity", "1")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Write another version").first).to_be_focused()
