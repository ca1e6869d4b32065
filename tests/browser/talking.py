"""What the tests of the chat do again and again."""

from __future__ import annotations

import time
from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from apps.studio.presets import PRESETS

PATIENCE = 60  # seconds, as in conftest.py: a busy machine is no failure

INK = """(selector) => {
  const shown = document.querySelector(selector);
  const copy = document.createElement("canvas");  // Chromium warns of reading a page's own canvas often
  copy.width = shown.width;
  copy.height = shown.height;
  const context = copy.getContext("2d", { willReadFrequently: true });
  context.drawImage(shown, 0, 0);
  const data = context.getImageData(0, 0, copy.width, copy.height).data;
  const colours = new Set();
  let sum = 0;
  for (let i = 0; i < data.length; i += 4) {
    colours.add(data[i] << 16 | data[i + 1] << 8 | data[i + 2]);
    sum = (sum * 31 + data[i] + data[i + 2]) % 1e9;
  }
  return { colours: colours.size, sum };
}"""


DELETE = "(button) => { button.click(); const asked = button.textContent; button.click(); return asked; }"
"""Both clicks at once: the button asks whether one is sure for four seconds only, which a busy machine may take."""


def becomes(page: Page, wanted: object, look: Callable, *given: object) -> None:
    """Wait until ``look(*given)`` gives ``wanted``, for what Playwright has no expectation of; a failure shows what it
    gave last."""
    until = time.monotonic() + PATIENCE
    while (found := look(*given)) != wanted and time.monotonic() < until:
        page.wait_for_timeout(50)
    assert found == wanted


def drawn(page: Page, view: str) -> str:
    return page.locator(f".wb-{view}").get_attribute("data-drawn") or ""


def ink(page: Page, selector: str) -> int:
    """What a canvas shows, as one number."""
    return int(page.evaluate(INK, selector)["sum"])


def colourful(page: Page, selector: str) -> bool:
    return int(page.evaluate(INK, selector)["colours"]) > 20


def redrawn(page: Page, view: str, before: str) -> None:
    page.wait_for_function(
        "([view, before]) => ![undefined, before].includes(document.querySelector(`.wb-${view}`)?.dataset.drawn)",
        arg=[view, before],
    )


def ready(page: Page) -> None:
    """The page is drawn, the attention of the first token with it."""
    page.wait_for_selector(".wb-attention[data-drawn]")


def lives(page: Page) -> None:
    """From now on note whether a reply is seen while it is written, however briefly: `lived` waits for that."""
    page.evaluate("""() => {
      window.lived = 0;
      const look = () => { window.lived = Math.max(window.lived, document.querySelectorAll(".wb-live").length); };
      new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true });
    }""")


def lived(page: Page, columns: int) -> None:
    page.wait_for_function("columns => window.lived >= columns", arg=columns)


def idle(page: Page) -> None:
    """Nothing is being written."""
    expect(page.locator("#wb-send")).to_be_enabled()
    expect(page.locator(".wb-live")).to_have_count(0)


def ask(page: Page, text: str) -> None:
    """Send a question as soon as the page takes one."""
    expect(page.locator("#wb-send")).to_be_enabled()
    page.fill("#wb-question textarea", text)
    page.click("#wb-send")
    expect(page.locator(".wb-banner")).to_be_hidden()  # the recorded exchange has made room


def answered(page: Page, column: int = 0, count: int = 1) -> None:
    """The replies of a column have ended: their footers tell the length."""
    expect(footers(page, column)).to_have_count(count)


def footers(page: Page, column: int = 0) -> Locator:
    return page.locator(".wb-column").nth(column).locator(".wb-assistant .wb-footer-words", has_text="tokens")


def said(page: Page, text: str, count: int = 1, column: int = 0) -> None:
    """Ask, and wait for both models: ``count`` replies a column."""
    ask(page, text)
    for place in range(page.locator(".wb-column").count()):
        expect(page.locator(".wb-column").nth(place).locator(".wb-user")).to_have_count(count)
        answered(page, place, count)
    idle(page)


def settings(page: Page, longest: int | None = None, preset: str | None = None, seed: int | None = None) -> None:
    """Open the sampling settings and change some; each is there when this returns."""
    box = page.locator("#wb-settings")
    if not box.locator("#wb-preset").is_visible():
        box.locator("button.label-wrap").click()
    expect(box.locator("#wb-preset")).to_be_visible()
    # While the fold still opens, its inputs are put in place anew and forget what was typed.
    box.evaluate("box => Promise.allSettled(box.getAnimations({ subtree: true }).map((one) => one.finished))")
    if preset is not None:
        label = box.locator("#wb-preset label", has_text=preset)
        label.click()
        expect(label.locator("input")).to_be_checked()
        for name, value in zip(("Temperature", "Top-p"), PRESETS[preset][:2], strict=True):
            expect(box.get_by_label(f"number input for {name}")).to_have_value(f"{value:g}")
    if seed is not None:
        becomes(page, str(seed), typed, page, box.locator("#wb-seed input"), seed)
    if longest is not None:
        slider = box.get_by_label("range slider for Longest reply (tokens)")
        becomes(page, str(longest), typed, page, box.get_by_label("number input for Longest reply"), longest, slider)


def typed(page: Page, field: Locator, value: int, other: Locator | None = None) -> str:
    """What an input, or another that follows it, holds a moment after ``value`` was typed."""
    if (other or field).input_value() != str(value):
        field.fill(str(value))
        page.keyboard.press("Tab")
        page.wait_for_timeout(100)
    return (other or field).input_value()


def act(page: Page, label: str, column: int = 0, role: str = "assistant") -> None:
    """Click an action of the last message of a role."""
    message = page.locator(".wb-column").nth(column).locator(f".wb-{role}").last
    message.hover()
    message.get_by_role("button", name=label, exact=False).click()


def replies(page: Page, column: int = 0) -> list[str]:
    return page.locator(".wb-column").nth(column).locator(".wb-assistant .wb-text").all_inner_texts()
