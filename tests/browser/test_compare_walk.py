"""Compare & facts from its first section to its last: drawn, named, reached by keyboard, looked at by axe-core in both
themes, wide and narrow; bad input is a sentence; one model is enough, or a sentence says that it needs two. What the
sections compute is tested section by section (test_compare_*.py)."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.axe import in_both_colours, narrow, violations
from tests.browser.talking import becomes

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser walk")]

SECTIONS = {
    "differences": "Differences", "which": "Which change", "facts": "Facts", "claims": "Claims",
    "promptlab": "Prompt lab", "memory": "Memory", "behaviour": "Behaviour", "guardrails": "Guardrails",
}  # fmt: skip
LONG = "word " * 100_000
HOSTILE = "</script><img src=x onerror=alert(1)> \U0001f3f3\ufe0f\u200d\U0001f308 \u202eright to left"


def drawn(page: Page, name: str) -> Locator:
    """The section, shown and drawn: what it said while it loaded is gone."""
    section = page.locator(f"#wb-section-{name}")
    expect(section).to_be_visible()
    expect(section.locator("> [role=status]")).to_have_text("")
    expect(section.locator(".wb-section-body > *").first).to_be_visible()
    return section


def test_every_section_in_its_looks(watched: Callable, address: str) -> None:
    page = watched(address.rstrip("/") + "/compare", width=1360, height=844, dark=True).page
    tabs = page.get_by_role("tablist", name="Sections").get_by_role("tab")
    expect(tabs).to_have_text(list(SECTIONS.values()))
    for width in (1360, 390):
        page.set_viewport_size({"width": width, "height": 844})
        lefts = set()
        tabs.first.focus()
        for place, name in enumerate(SECTIONS):
            section = drawn(page, name)
            expect(tabs.nth(place)).to_be_focused()
            part = "" if place == 0 and width == 1360 else f"#wb-section-{name}"
            found = in_both_colours(page, part) if width == 1360 else narrow(page, part)
            assert not found, f"{name}\n" + "\n".join(found)
            becomes(page, True, page.evaluate, f"document.documentElement.scrollWidth <= {width}")
            lefts.add(round(section.bounding_box()["x"]))
            page.keyboard.press("ArrowRight")
        expect(page, "behind the last section comes the first").to_have_url(re.compile("#differences$"))
        assert len(lefts) == 1, "the page stands still when a section is opened"


def test_bad_input_is_a_sentence(watched: Callable, address: str) -> None:
    page = watched(address.rstrip("/") + "/compare").page

    def refused(section: Locator, button: str, said: str) -> None:
        section.get_by_role("button", name=button, exact=True).click()
        expect(section.get_by_role("alert").filter(has_text=said)).to_be_visible()

    def opened(name: str) -> Locator:
        page.locator(f"#wb-tab-{name}").click()
        return drawn(page, name)

    section = opened("differences")
    section.get_by_label("Texts").fill("")
    refused(section, "Read the texts", "no text")
    section.get_by_label("Texts").fill(LONG)
    refused(section, "Read the texts", "too long")
    section = opened("which")
    for measure in ("loss", "retrieval"):
        section.get_by_label(measure, exact=True).uncheck()
    refused(section, "Measure", "measure")
    section = opened("facts")
    section.get_by_label("Texts to read").fill(LONG)
    refused(section, "Probe theta and window", "at most")
    section = opened("memory")
    section.get_by_label("Model").select_option("own")
    section.get_by_label("config.json, pasted").fill(HOSTILE)
    expect(section.get_by_role("alert").filter(has_text="config")).to_be_visible()
    section.get_by_label("Tokens of prompt and reply", exact=True).fill("")
    expect(section.get_by_role("alert").filter(has_text="no length")).to_be_visible()
    section = opened("behaviour")
    section.get_by_label("Items at most").fill("0")
    refused(section, "Run", "a whole number from 1")
    section = opened("guardrails")
    section.get_by_label("Moderate prompts and replies").uncheck()
    section.get_by_label("Longest reply (tokens)").fill("1")
    section.get_by_label("Prompts, one a line").fill(" \n ")
    refused(section, "Run", "prompt")
    section.get_by_label("Prompts, one a line").fill(HOSTILE)
    section.get_by_role("button", name="Run", exact=True).click()
    expect(section.get_by_role("region", name="Replies without")).to_contain_text("</script><img src=x")
    assert page.locator("img[src=x]").count() == 0


@pytest.fixture(scope="module")
def alone(models: list[str]) -> str:
    """A page with one model, which is loaded when a section first needs it."""
    from apps.studio.launch import launch

    return launch(models[:1], port=None, browser=False, block=False)


def test_one_model_is_enough(watched: Callable, alone: str) -> None:
    page = watched(alone.rstrip("/") + "/compare").page
    for name in SECTIONS:
        page.locator(f"#wb-tab-{name}").click()
        section = drawn(page, name)
        if name in ("differences", "which"):
            expect(section).to_contain_text("This needs two models.")
    assert violations(page) == []
