"""The address of the page: it says what is selected, brings it back, and never breaks the page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.talking import idle

pytestmark = pytest.mark.browser

DRAWN = ".wb-attention[data-drawn], .wb-lens[data-drawn]"


def opened(watched: Callable, address: str) -> Page:
    page: Page = watched(address).page
    page.wait_for_selector(DRAWN)
    return page


def test_the_address_follows_the_selection_and_brings_it_back(watched: Callable, address: str) -> None:
    page = opened(watched, address)
    assert "?" not in page.url, "plain until something is chosen"
    page.locator(".wb-token[data-i='5']").first.click()
    expect(page).to_have_url(re.compile(r"run=recorded-fact-.*token=5"))
    slider = page.get_by_role("slider", name="Layer").first
    slider.fill("2")
    expect(page).to_have_url(re.compile("layer=2"))
    page.locator(".wb-mosaic").focus()
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile("head=0"))
    page.get_by_role("tab", name="Logit lens").click()
    expect(page).to_have_url(re.compile("tab=lens"))
    again = watched(page.url).page
    again.wait_for_selector(".wb-lens[data-drawn]")
    expect(again.locator(".wb-where")).to_contain_text("position 5")
    expect(again.locator(".wb-token.wb-on")).to_have_attribute("data-i", "5")
    again.get_by_role("tab", name="Attention").click()
    again.wait_for_selector(".wb-attention[data-drawn*='/2/0/5/']")
    # The page that opens has nothing in its address before "share" is clicked, and all of it afterwards.
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(address)
    page.wait_for_selector(DRAWN)
    assert "?" not in page.url
    page.get_by_role("button", name="share").click()
    page.wait_for_function("navigator.clipboard.readText().then((text) => text === location.href)")
    expect(page).to_have_url(re.compile("run=recorded-fact-"))


def test_a_link_to_a_run_of_another_tab_opens_on_the_runs_page(watched: Callable, address: str) -> None:
    page = opened(watched, address)
    page.fill("#wb-question textarea", "A link to this?")
    page.click("#wb-send")
    expect(page.locator(".wb-kept")).to_contain_text("runs kept")
    idle(page)
    page.locator(".wb-token[data-i='2']").first.click()
    expect(page).to_have_url(re.compile("token=2"))
    page.reload()
    expect(page.locator(".wb-where")).to_contain_text("position 2")
    assert "/runs" not in page.url
    other = watched(page.url).page
    other.wait_for_selector(".wb-run-view .wb-attention[data-drawn]")
    expect(other).to_have_url(re.compile(r"/runs\?"))
    expect(other.locator(".wb-where")).to_contain_text("position 2")


NOWHERE = ["?run=nobody", "?run=%3Cscript%3E&token=3"]
NO_RUN = ["?run=", "?run=..%2F..%2Fetc&with=../..", "?run=" + "a" * 5000]
NONSENSE = ["layer=99&head=99&token=2&tab=%3Cb%3E", "difference=1&with=none"]
NO_NUMBER = ["token=99999999", "token=-4&layer=x&head=1e9", "token=3.5&head=-2&layer="]


def read(page: Page, query: str) -> dict[str, Any]:
    """What the page reads in an address, without being opened at it."""
    page.evaluate("query => history.replaceState(history.state, '', query)", query)
    return page.evaluate("window.workbench.permalink.linked()")


def followed(watched: Callable, links: list[str]) -> Iterator[tuple[str, Page]]:
    """The page at each link in turn: the first in a tab that has no history, the others in that same tab. A document is
    left for good between two links, so nothing that is looked for can be what the link before has shown."""
    page: Page | None = None
    for link in links:
        if page is None:
            page = watched(link).page
        else:
            page.goto("about:blank")
            page.goto(link)
        yield link[:80], page


def test_a_link_to_nothing_is_answered_and_the_opening_shown(watched: Callable, address: str) -> None:
    said = "The link leads to a run that cannot be opened"
    for link, page in followed(watched, [address + query for query in NOWHERE]):
        page.wait_for_selector(DRAWN)
        expect(page.locator("#wb-inspector"), link).to_contain_text(said)
        expect(page.locator(".wb-banner"), link).to_contain_text("Recorded")
        expect(page, link).not_to_have_url(re.compile(r"\?"))
    for query in NO_RUN:
        assert read(page, query) == {"run": "", "tab": None, "difference": False}, query[:80]
    page.goto(f"{address}runs{NO_RUN[-1]}")
    expect(page.locator(".wb-runs-page")).to_contain_text(said)


def test_nonsense_in_a_link_is_left_out(watched: Callable, address: str) -> None:
    page = opened(watched, address)
    page.locator(".wb-token[data-i='4']").first.click()
    expect(page).to_have_url(re.compile("run="))
    run = re.search(r"run=([^&]+)", page.url)
    assert run
    for nonsense in NO_NUMBER:
        found = read(page, f"?run={run[1]}&{nonsense}")
        assert found == {"run": run[1], "tab": None, "difference": False}, nonsense
    links = [f"{address}?run={run[1]}&{rest}" for rest in NONSENSE] + [f"{address}runs?run={run[1]}&{NONSENSE[0]}"]
    for link, linked in followed(watched, links):
        linked.wait_for_selector(DRAWN)
        expect(linked.locator(".wb-where"), link).to_contain_text("position")
