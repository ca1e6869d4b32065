"""Where the host has no GPU left to lend, the page leads on to what was recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import gradio as gr
import pytest
from playwright.sync_api import expect

import workbench as wb
from apps.space.zerogpu import in_words
from apps.studio.examples import fact
from apps.studio.record import record
from apps.studio.recorded import read_exchange
from apps.studio.visit import Event, Request
from tests.browser.talking import ask, idle

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser walk")]


def exhausted(request: Request) -> Iterator[Event]:
    """What `spaces` says of a visitor whose time is spent."""
    raise gr.Error("You have exceeded your free ZeroGPU quota.", title="ZeroGPU quota exceeded", print_exception=False)
    yield


@pytest.fixture(scope="module")
def lent(models: list[str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a host whose GPU is lent, and lent no longer."""
    from apps.studio.launch import launch

    folder = tmp_path_factory.mktemp("recorded")
    record([fact("What is the capital of France?")], folder, models, new_tokens=6)
    loaded = [wb.load(name) for name in models]
    return launch(loaded, port=None, browser=False, recorded=read_exchange(folder), block=False,
                  visiting=in_words(exhausted))  # fmt: skip


def test_without_a_gpu_the_recorded_exchanges_are_one_click_away(watched: Callable, lent: str) -> None:
    page = watched(lent).page
    banner, column = page.locator(".wb-banner"), page.locator(".wb-column").first
    expect(banner).to_contain_text("Recorded from")
    offer = column.get_by_role("button", name="Open a recorded exchange")
    expect(offer).to_be_hidden()
    ask(page, "Hello")
    idle(page)
    expect(column.locator(".wb-column-note")).to_contain_text("There is no GPU time left")
    expect(banner).to_be_hidden()
    offer.click()
    item = page.get_by_role("menuitem")
    expect(item).to_be_focused()
    item.click()
    expect(banner).to_contain_text("Recorded from")
    expect(column.locator(".wb-assistant")).to_have_count(1)
    expect(offer).to_be_hidden()
