"""axe-core in the page: what a person with a screen reader, a keyboard or weak eyes would stumble over."""

from __future__ import annotations

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

from tests.browser.talking import becomes

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

# What fades in or out has its colours when it is done; a caret that blinks is never done.
_RUN = """async ([include, tags]) => {
  const ends = document.getAnimations().filter((one) => one.effect.getComputedTiming().endTime < 1e4);
  await Promise.race([Promise.allSettled(ends.map((one) => one.finished)), new Promise((go) => setTimeout(go, 1000))]);
  const found = await axe.run(include ? { include: [[include]] } : document,
    { runOnly: { type: tags.includes("best-practice") ? "tag" : "rule", values: tags },
      resultTypes: ["violations"], preload: false });
  const why = (node) => ([...node.any, ...node.all, ...node.none][0] || {}).message;
  return found.violations.flatMap((rule) => rule.nodes.map((node) =>
    [rule.id, node.target.join(" "), node.html.slice(0, 160), why(node)].join(" | ")));
}"""


_THEMED = """dark => [document.body.classList.contains("dark"), document.documentElement.dataset.theme === "dark"]
  .includes(true) === dark"""


def violations(page: Page, include: str = "") -> list[str]:
    """One line a violation of the page as it is now, or of the first element that ``include`` selects. No rule is left
    out, and nothing is exempt."""
    return _looked(page, include, TAGS)


def contrast(page: Page, include: str = "") -> list[str]:
    """What is wrong of the contrast alone, the one rule that colours decide."""
    return _looked(page, include, ["color-contrast"])


def narrow(page: Page, include: str = "") -> list[str]:
    """What the width of a page decides: targets that are too small or too near, regions that keys cannot scroll."""
    return _looked(page, include, ["target-size", "scrollable-region-focusable"])


def _looked(page: Page, include: str, tags: list[str]) -> list[str]:
    if not page.evaluate("typeof axe === 'object'"):
        page.evaluate(AXE_SCRIPT)
    return list(page.evaluate(_RUN, [include, tags]))


def in_both_colours(page: Page, include: str = "", light: bool = True) -> list[str]:
    """`violations` of a page in the dark, and its `contrast` in the ``light``."""
    found = violations(page, include)
    if not light:
        return found
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        becomes(page, True, page.evaluate, _THEMED, scheme == "dark")
        if scheme == "light":
            found += [f"{line} | light" for line in contrast(page, include)]
    return found
