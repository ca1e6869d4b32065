"""Two strangers and one model: the second is told its place in line and then served; limits are sentences."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from apps.server.settings import Settings
from tests.browser.talking import ask, idle, settings

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser walk")]


@pytest.fixture(scope="module")
def shared(tiny_checkpoint: Callable[..., Path]) -> str:
    """The page with limits, of one model: a text of at most 200 tokens, and a reply of as many as outlast the others'
    waiting on any machine."""
    from apps.studio.launch import launch

    limits = Settings(max_new_tokens=6000, max_prompt_tokens=200, per_visitor=1, new_tokens=6000, links=False)
    model = str(tiny_checkpoint(window=24, layers=3, context=8192))
    return launch([model], port=None, browser=False, recorded=[], block=False, settings=limits)


def test_the_second_visitor_sees_a_place_in_line_and_is_served(watched: Callable, shared: str) -> None:
    one, two, three = (watched(shared).page for _ in range(3))
    for page in (one, two, three):
        expect(page.locator(".wb-column")).to_be_visible()
    settings(two, longest=5)
    ask(one, "Go on for ever")
    expect(one.locator(".wb-live")).to_have_count(1)
    ask(two, "And I?")
    expect(two.locator(".wb-column-note")).to_contain_text("Next in line")
    ask(three, "And I too?")
    expect(three.locator(".wb-column-note")).to_have_text("2nd in line: 1 other comes before this one.")
    three.click("#wb-stop")  # who waits can stop waiting
    expect(three.locator(".wb-column-note")).to_have_text("Stopped before the first word.")
    one.click("#wb-stop")
    idle(one)
    expect(two.locator(".wb-assistant .wb-footer-words")).to_contain_text("5 tokens")
    expect(two.locator(".wb-column-note")).to_have_text("")
    run = two.evaluate("window.workbench.wire.page.state.columns[0].run")
    look = "async ([run]) => (await window.workbench.wire.page.ask(run, { kind: 'open' })).error || 'seen'"
    assert two.evaluate(look, [run]) == "seen"
    assert "no longer kept" in one.evaluate(look, [run]), "another visitor's run"

    # A limit is a sentence.
    ask(two, "word " * 400)
    expect(two.locator(".wb-column-note")).to_contain_text("at most 200 on this server")
    expect(two.locator(".wb-column-note")).to_contain_text("workbench app")
    ask(two, "Short")
    expect(two.locator(".wb-assistant .wb-footer-words").filter(has_text="5 tokens")).to_have_count(2)
