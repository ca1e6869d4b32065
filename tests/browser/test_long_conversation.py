"""A conversation of thousands of tokens in the page: what is sent and what is drawn does not grow with it.

Budgets are in bytes and DOM nodes, which a busy machine does not change.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.talking import answered, ask, becomes, idle, settings

pytestmark = pytest.mark.browser

LONG = "Tom has a red hat and Ann has a blue coat. " * 430
TOKENS = 5000
MOST_NODES = 5000
WRITTEN = 300
MOST_BYTES_A_TURN = 450_000 + 500 * WRITTEN
"""The state once (Gradio sends the first of a stream whole), and every new token with its alternatives about twice:
never the conversation at every update."""


@pytest.fixture(scope="module")
def long_address(tiny_checkpoint: Callable[..., Path]) -> str:
    """One small model with a window of 512 tokens and a context of 8192."""
    from apps.studio.launch import launch

    folder = str(tiny_checkpoint(window=512, context=8192, seed=2))
    return launch([folder], port=None, browser=False, new_tokens=8, block=False)


class Wire:
    """Sizes of the pieces in which the page's event streams arrive."""

    def __init__(self, page: Page) -> None:
        self.sizes: list[int] = []
        self._streams: set[str] = set()
        session = page.context.new_cdp_session(page)
        session.send("Network.enable")
        session.on("Network.responseReceived", self._opened)
        session.on("Network.dataReceived", self._received)

    def _opened(self, event: dict) -> None:
        if "event-stream" in event["response"]["mimeType"]:
            self._streams.add(event["requestId"])

    def _received(self, event: dict) -> None:
        if event["requestId"] in self._streams:
            self.sizes.append(event["dataLength"])


def nodes(page: Page) -> int:
    return int(page.evaluate("document.querySelectorAll('*').length"))


def test_a_long_conversation_stays_small(watched: Callable, long_address: str) -> None:
    page = watched(long_address).page
    wire = Wire(page)
    ask(page, LONG)
    answered(page)
    idle(page)
    expect(page.locator(".wb-minimap"), "more tokens than the page draws").to_have_count(1)

    def used() -> int:
        return int(page.locator(".wb-model-meter").inner_text().replace("\u2009", "").split(" / ")[0].split()[-1])

    becomes(page, True, lambda: used() > TOKENS)
    assert nodes(page) < MOST_NODES
    settings(page, longest=WRITTEN)
    wire.sizes.clear()
    ask(page, "Who has the hat?")
    # The window of the strip goes along with the reply that is written.
    page.wait_for_function("Number([...document.querySelectorAll('.wb-token')].at(-1)?.dataset.i) > 5200")
    assert nodes(page) < MOST_NODES
    answered(page, 0, 2)
    idle(page)
    assert nodes(page) < MOST_NODES
    assert sum(wire.sizes) < MOST_BYTES_A_TURN, wire.sizes
    numbers = page.evaluate("[...document.querySelectorAll('.wb-token')].map((token) => Number(token.dataset.i))")
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "each token once, in order"
    # The whole text is in reach, and its insides are those of all turns.
    line = page.locator(".wb-minimap")
    line.click(position={"x": line.bounding_box()["width"] * 0.2, "y": 7})
    expect(page.locator(".wb-token.wb-on")).to_be_visible()
    selected = int(page.locator(".wb-token.wb-on").get_attribute("data-i") or -1)
    assert 800 < selected < 1400
    page.wait_for_function(
        "token => document.querySelector('.wb-attention')?.dataset.drawn?.includes(`/${token}/`)", arg=selected
    )
    expect(page.locator(".wb-list h2").first).to_contain_text("reads")
