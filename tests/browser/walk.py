"""The page as a long walk (test_walk.py) finds it from step to step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

VIEWS = {"Attention": "attention", "Logit lens": "lens", "KV cache": "cache", "Next token": "next"}


@dataclass
class Walk:
    """A page on its way; ``kept`` is what a step leaves for a later one."""

    page: Page
    address: str
    watched: Callable
    folder: Path
    options: dict
    kept: dict = field(default_factory=dict)

    def column(self, place: int = 0) -> Locator:
        return self.page.locator(".wb-column").nth(place)

    def token(self, number: int, column: int = 0) -> None:
        self.column(column).locator(f".wb-token[data-i='{number}']").click()
        expect(self.page.locator(".wb-where")).to_contain_text(f"position {number} of")

    def drawn(self, view: str) -> str:
        self.page.wait_for_selector(f".wb-{view}[data-drawn]")
        return self.page.locator(f".wb-{view}").get_attribute("data-drawn") or ""

    def turn(self, tab: str) -> None:
        self.page.get_by_role("tab", name=tab).click()
        expect(self.page.get_by_role("tab", name=tab)).to_have_attribute("aria-selected", "true")

    def look_at(self, title: str = "") -> None:
        """Turn the inspector to what is called ``title``, or to the first model."""
        group = self.page.get_by_role("radiogroup", name="Model to inspect")
        radio = group.get_by_role("radio", name=title) if title else group.get_by_role("radio").first
        radio.click()
        expect(radio).to_have_attribute("aria-checked", "true")
