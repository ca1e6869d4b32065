"""Everything of Chat & inspect by Tab, arrows, Enter and Escape alone; the pointer is never moved."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.talking import answered, idle, ready

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser walk")]

STOPS = """() => {
  const shown = (e) => e.checkVisibility({ visibilityProperty: true }) && e.getBoundingClientRect().width > 0;
  const label = (e) => e.getAttribute("aria-label") || e.textContent || e.name;
  const named = (e) => `${e.id || e.className} ${label(e)}`.slice(0, 80);
  const radios = (e) => e.type === "radio" && document.querySelector(`input[name="${e.name}"]:checked`) !== e;
  window.stops = [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")]
    .filter((e) => !e.disabled && e.tabIndex >= 0 && shown(e) && !radios(e));
  return window.stops.map(named);
}"""
"""Names of what Tab has to reach: of radio buttons, as everywhere, only the chosen one."""

HERE = """() => {
  const e = document.activeElement;
  const style = getComputedStyle(e);
  const marked = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0 || style.boxShadow !== "none";
  return { stop: window.stops.indexOf(e), body: e === document.body, marked: marked || !e.closest(".wb"),
    name: e.outerHTML.slice(0, 200) };
}"""


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until an element has the focus that ``selector`` describes."""
    for _ in range(150):
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab never reached {selector}")


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def test_tab_reaches_everything_and_keys_alone_do_it(watched: Callable, address: str) -> None:
    page = watched(address).page
    ready(page)
    expect(page.locator("#wb-inspector .wb-list .wb-row").first).to_be_visible()
    wanted = page.evaluate(STOPS)
    assert len(wanted) > 40
    reached, unmarked = set(), []
    for _ in range(2 * len(wanted)):
        page.keyboard.press("Tab")
        here = page.evaluate(HERE)
        if here["body"] or (here["stop"] in reached and here["stop"] >= 0):
            break
        reached.add(here["stop"])
        if not here["marked"]:
            unmarked.append(here["name"])
    assert [name for i, name in enumerate(wanted) if i not in reached] == []
    assert unmarked == [], "the focus cannot be seen there"
    page.evaluate("document.activeElement.blur()")
    works_by_keys_alone(page)


def works_by_keys_alone(page: Page) -> None:
    where = page.locator(".wb-where")
    # A question, its answers.
    tab_to(page, "#wb-question textarea")
    page.keyboard.type("By keys?")
    press(page, "Enter")
    for place in (0, 1):
        answered(page, place)
    idle(page)
    # From token to token in the first text, and an alternative of one.
    page.evaluate("document.activeElement.blur()")
    tab_to(page, ".wb-strip")
    press(page, "Home")
    expect(where).to_contain_text("position 0 of")
    press(page, "ArrowRight", "ArrowRight")
    expect(where).to_contain_text("position 2 of")
    press(page, "End")
    expect(where).to_contain_text(re.compile(r"position (\d+) of \d+"))
    expect(page.locator(".wb-strip").first).to_have_attribute("aria-activedescendant", re.compile(r"-\d+$"))
    tab_to(page, ".wb-alternatives button")
    press(page, "Enter")
    expect(page.locator(".wb-footer-words").filter(has_text="given")).to_have_count(1)
    idle(page)
    # The inspector: the model, the tab, the layer, the head, a token that is read.
    tab_to(page, "[aria-label='Model to inspect'] [role=radio]")
    press(page, "ArrowRight")
    expect(page.get_by_role("radiogroup", name="Model to inspect").get_by_role("radio").nth(1)).to_be_focused()
    tab_to(page, "[role=tab]")
    press(page, "ArrowRight")
    expect(page.get_by_role("tab", name="Logit lens")).to_be_focused()
    page.wait_for_selector(".wb-lens[data-drawn]")
    tab_to(page, ".wb-lens-grid button")
    press(page, "Enter")
    expect(where).to_contain_text("position")
    page.keyboard.press("Shift+Tab")
    while not page.evaluate("document.activeElement.matches('[role=tab]')"):
        page.keyboard.press("Shift+Tab")
    press(page, "ArrowLeft")
    tab_to(page, ".wb-slider input")
    press(page, "Home", "ArrowRight")
    expect(page.locator("#wb-inspector .wb-slider output")).to_have_text("1 / 2")
    tab_to(page, ".wb-attention .wb-action[aria-haspopup]")
    press(page, "Enter", "ArrowDown")
    expect(page.locator(".wb-attention .wb-menu:visible [role=menuitem]").nth(1)).to_be_focused()
    press(page, "Escape")
    expect(page.locator(".wb-menu:visible")).to_have_count(0)
    tab_to(page, ".wb-mosaic")
    press(page, "ArrowRight")
    expect(page.locator("#wb-inspector .wb-attention .wb-bar > output")).to_have_text("head 0")
    tab_to(page, "button.wb-row")
    press(page, "Enter")
    expect(where).to_contain_text("position")
    # Messages: the buttons of a question show themselves to the keyboard.
    page.evaluate("document.activeElement.blur()")
    tab_to(page, "[aria-label='Edit and ask again']")
    expect(page.locator(".wb-message-actions:focus-within")).to_have_css("opacity", "1")
    press(page, "Enter")
    expect(page.get_by_label("Edit the question")).to_be_focused()
    press(page, "Escape")
    # Recorded exchanges, and the way to another page.
    tab_to(page, ".wb-recordings-button")
    press(page, "Enter")
    expect(page.get_by_role("menuitem").first).to_be_focused()
    press(page, "Enter")
    expect(page.locator(".wb-banner")).to_be_visible()
    page.evaluate("document.activeElement.blur()")
    tab_to(page, "a[href*='runs']")
    press(page, "Enter")
    page.wait_for_selector(".wb-runs tbody tr")
    tab_to(page, ".wb-run-open")
    press(page, "Enter")
    page.wait_for_selector(".wb-run-view .wb-attention[data-drawn]")
