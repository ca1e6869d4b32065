"""What the tests of the chat do again and again."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

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


def drawn(page: Page, view: str) -> str:
    return page.locator(f".wb-{view}").get_attribute("data-drawn") or ""


def redrawn(page: Page, view: str, before: str) -> None:
    page.wait_for_function(
        "([view, before]) => ![undefined, before].includes(document.querySelector(`.wb-${view}`)?.dataset.drawn)",
        arg=[view, before],
    )


def ready(page: Page) -> None:
    """The page is drawn, the attention of the first token with it."""
    page.wait_for_selector(".wb-attention[data-drawn]")


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
    """Open the sampling settings and change some."""
    box = page.locator("#wb-settings")
    if not box.locator("#wb-preset").is_visible():
        box.locator("button.label-wrap").click()
    if preset is not None:
        box.locator("#wb-preset label", has_text=preset).click()
    if seed is not None:
        box.locator("#wb-seed input").fill(str(seed))
        page.keyboard.press("Tab")
    if longest is not None:
        for _ in range(20):  # while the fold still opens, its inputs are put in place anew and forget what was typed
            box.get_by_label("number input for Longest reply (tokens)").fill(str(longest))
            page.keyboard.press("Tab")
            page.wait_for_timeout(150)
            if box.get_by_label("range slider for Longest reply (tokens)").input_value() == str(longest):
                break


def act(page: Page, label: str, column: int = 0, role: str = "assistant") -> None:
    """Click an action of the last message of a role."""
    message = page.locator(".wb-column").nth(column).locator(f".wb-{role}").last
    message.hover()
    message.get_by_role("button", name=label, exact=False).click()


def replies(page: Page, column: int = 0) -> list[str]:
    return page.locator(".wb-column").nth(column).locator(".wb-assistant .wb-text").all_inner_texts()
