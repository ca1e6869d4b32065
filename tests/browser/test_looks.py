"""The page in light, dark and narrow."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.browser.talking import becomes, drawn, ink, ready, redrawn

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(("width", "dark"), [(1360, True), (390, False)])
def test_dark_and_narrow(watched: Callable, address: str, width: int, dark: bool) -> None:
    page = watched(address, width=width, height=844, dark=dark).page
    ready(page)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(ground) < 60) == dark
    for tab in ("Logit lens", "KV cache", "Next token", "Attention"):
        page.get_by_role("tab", name=tab).click()
        page.wait_for_selector("[role=tabpanel]:not([hidden])[data-drawn]")
        becomes(page, True, page.evaluate, "document.documentElement.scrollWidth <= window.innerWidth")


def test_the_theme_switch_redraws_the_map(watched: Callable, address: str) -> None:
    page = watched(address).page
    ready(page)
    light = ink(page, ".wb-map")
    before = drawn(page, "attention")
    page.locator(".wb-header").get_by_role("radio", name="dark").click()
    redrawn(page, "attention", before)
    becomes(page, True, lambda: ink(page, ".wb-map") != light)
    page.reload()
    ready(page)
    becomes(page, True, page.evaluate, "document.body.classList.contains('dark')")  # the choice is remembered
