"""Versions of a reply, editing, undo, fork, another token: nothing that was said is lost."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.talking import act, answered, becomes, footers, idle, ready, replies, said, settings

pytestmark = pytest.mark.browser


def test_versions_undo_and_fork(watched: Callable, address: str) -> None:
    page = watched(address).page
    ready(page)
    # The recorded exchange can be gone on with, and stays.
    column = page.locator(".wb-column").first
    column.locator(".wb-alternatives").get_by_role("button").first.click()
    expect(column.locator(".wb-assistant .wb-versions")).to_contain_text("2 / 2")
    idle(page)
    expect(page.locator(".wb-banner")).to_be_hidden()
    picker = page.get_by_label("Conversations of this tab")
    picker.select_option(value="1")
    expect(page.locator(".wb-banner")).to_be_visible()
    page.click("#wb-clear")
    expect(page.locator(".wb-column-note").first).to_have_text("Nothing said yet.")

    # Versions, each with its insides.
    said(page, "What do you see?")
    settings(page, preset="Creative", seed=5)
    first = replies(page)
    page.click("#wb-again")
    expect(page.locator(".wb-versions").filter(has_text="2 / 2")).to_have_count(2)
    idle(page)
    expect(page.locator("#wb-seed")).to_contain_text("Regenerate takes 6")
    act(page, "Write another version")
    versions = column.locator(".wb-assistant .wb-versions")
    expect(versions).to_contain_text("3 / 3")
    idle(page)
    expect(page.locator(".wb-column").nth(1).locator(".wb-assistant .wb-versions")).to_contain_text("2 / 2")
    expect(footers(page)).to_contain_text("creative: temperature 1.1, top-p 0.98, seed 6")
    assert replies(page) != first
    strip = column.locator(".wb-token").all_inner_texts()
    for place in ("2 / 3", "1 / 3"):
        column.get_by_role("button", name="Earlier version").click()
        expect(versions).to_contain_text(place)
    expect(footers(page)).to_contain_text("greedy, seed 0")
    becomes(page, first, replies, page)
    becomes(page, True, lambda: column.locator(".wb-token").all_inner_texts() != strip)
    expect(column.get_by_role("button", name="Earlier version")).to_be_disabled()
    expect(column.locator(".wb-token.wb-on")).to_have_count(1)
    page.reload()
    ready(page)
    expect(versions).to_contain_text("1 / 3")
    becomes(page, first, replies, page)

    # Undo gives the question back, and the conversation goes on differently; the earlier one stays.
    settings(page, preset="Greedy")
    said(page, "And then?", 2)
    whole = replies(page)
    was = picker.input_value()
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#wb-question textarea")).to_have_value("And then?")
    expect(column.locator(".wb-user")).to_have_count(1)
    said(page, "And before?", 2)

    # An earlier reply is looked into.
    tokens = column.locator(".wb-token").count()
    earlier = column.locator(".wb-assistant").first
    earlier.hover()
    earlier.get_by_role("button", name="Look inside").click()
    becomes(page, True, lambda: 0 < column.locator(".wb-token").count() < tokens)
    expect(column.locator(".wb-user")).to_have_count(2)
    expect(column.locator(".wb-token.wb-on")).to_have_count(1)

    # A fork goes on from a reply with what was said up to it.
    earlier.hover()
    earlier.get_by_role("button", name="Fork").click()
    expect(page.locator(".wb-said")).to_contain_text("goes on from here")
    for place in (0, 1):
        expect(page.locator(".wb-column").nth(place).locator(".wb-message-box")).to_have_count(2)
    page.click("#wb-clear")
    expect(page.locator(".wb-column-note").first).to_have_text("Nothing said yet.")
    picker.select_option(value=was)
    expect(column.locator(".wb-message-box")).to_have_count(4)
    becomes(page, whole, replies, page)


def test_an_edit_another_token_and_a_copy(watched: Callable, address: str) -> None:
    page = watched(address).page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    ready(page)
    said(page, "What do you see?")
    column = page.locator(".wb-column").first

    # A reply goes on from another token.
    column.locator(".wb-token.wb-generated").nth(2).click()
    line = column.locator(".wb-alternatives")
    expect(line.get_by_role("button")).to_have_count(4)
    before = column.locator(".wb-token").all_inner_texts()
    place = column.locator(".wb-token:not(.wb-generated)").count() + 2
    expect(page.locator(".wb-where")).to_contain_text(f"position {place} ")
    chosen = line.get_by_role("button").nth(1)
    piece = chosen.locator(".wb-piece").inner_text()
    chosen.focus()
    page.keyboard.press("Enter")
    expect(column.locator(".wb-assistant .wb-versions")).to_contain_text("2 / 2")
    idle(page)
    expect(page.locator(".wb-where")).to_contain_text(f"position {place + 1} ")
    becomes(page, True, lambda: column.locator(".wb-token").all_inner_texts()[:place] == before[:place])
    after = column.locator(".wb-token").all_inner_texts()
    assert after[place].startswith(piece.rstrip("…")[:4])
    expect(footers(page)).to_contain_text("(3 given)")
    expect(page.locator(".wb-column").nth(1).locator(".wb-assistant .wb-versions")).to_be_hidden()
    column.get_by_role("button", name="Earlier version").click()
    expect(column.locator(".wb-assistant .wb-versions")).to_contain_text("1 / 2")
    becomes(page, before, column.locator(".wb-token").all_inner_texts)

    # Actions are reached by keyboard, and shown then.
    actions = column.locator(".wb-assistant .wb-message-actions")
    page.mouse.move(5, 5)
    page.evaluate("document.activeElement.blur()")
    expect(actions).to_have_css("opacity", "0")
    actions.get_by_role("button", name="Copy").focus()
    expect(actions).to_have_css("opacity", "1")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Write another version").first).to_be_focused()

    # A question is edited, and the old conversation stays.
    before = replies(page)
    act(page, "Edit", role="user")
    field = page.get_by_label("Edit the question")
    expect(field).to_be_focused()
    expect(field).to_have_value("What do you see?")
    page.keyboard.press("Escape")
    expect(field).to_have_count(0)
    act(page, "Edit", role="user")
    field.fill("What do you <b>hear</b> & `this`?")
    page.keyboard.press("Control+Enter")
    for place in (0, 1):
        expect(page.locator(".wb-column").nth(place).locator(".wb-user .wb-text")).to_have_text(
            "What do you <b>hear</b> & this?"
        )
        answered(page, place)
    idle(page)
    act(page, "Copy", role="user")
    page.wait_for_function("navigator.clipboard.readText().then((text) => text.endsWith('<b>hear</b> & `this`?'))")
    picker = page.get_by_label("Conversations of this tab")
    expect(picker.locator("option")).to_have_count(3)  # the recorded one, and two
    picker.select_option(label="2. What do you see?")
    expect(page.locator(".wb-user .wb-text").first).to_have_text("What do you see?")
    becomes(page, before, replies, page)
