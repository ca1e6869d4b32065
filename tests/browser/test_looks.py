"""The page in light, dark and narrow."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.browser.talking import becomes, drawn, ink, ready, redrawn

pytestmark = pytest.mark.browser


def test_dark_narrow_and_the_theme_switch(watched: Callable, address: str) -> None:
    page = watched(address, width=1360, height=844, dark=True).page
    ready(page)
    for width, dark in ((1360, True), (390, False)):
        page.set_viewport_size({"width": width, "height": 844})
        page.emulate_media(color_scheme="dark" if dark else "light")
        ground = "Math.max(...getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)) < 60"
        becomes(page, dark, page.evaluate, ground)
        for tab in ("Logit lens", "KV cache", "Next token", "Attention"):
            page.get_by_role("tab", name=tab).click()
            page.wait_for_selector("[role=tabpanel]:not([hidden])[data-drawn]")
            becomes(page, True, page.evaluate, "document.documentElement.scrollWidth <= window.innerWidth")

    # The switch redraws the map, and is remembered.
    page.set_viewport_size({"width": 1360, "height": 844})
    page.reload()
    ready(page)
    light = ink(page, ".wb-map")
    before = drawn(page, "attention")
    page.locator(".wb-header").get_by_role("radio", name="dark").click()
    redrawn(page, "attention", before)
    becomes(page, True, lambda: ink(page, ".wb-map") != light)
    page.reload()
    ready(page)
    becomes(page, True, page.evaluate, "document.body.classList.contains('dark')")
