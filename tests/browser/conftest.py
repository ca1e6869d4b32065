"""A real Chromium, and the page served from small random-weight models. Without a browser these tests are skipped, with
a sentence; where CI says that it is CI, they fail."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

PATIENCE = 60_000  # milliseconds; a busy machine is no failure
expect.set_options(timeout=PATIENCE)
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--in-process-gpu", "--process-per-site"),  # fewer processes: a page opens in half the time
]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's chromium, Google's chrome, or the one playwright installed."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        if found is None and Path(playwright.chromium.executable_path).exists():
            found = playwright.chromium.executable_path
        if found is None:
            if os.environ.get("CI") == "true":
                pytest.fail("CI has no browser: install chromium")
            pytest.skip("no chromium on this machine: apt install chromium, or playwright install chromium")
        opened = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield opened
        opened.close()


@dataclass
class Watched:
    """A page, what it complained about, whom it asked, and what became of it."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    documents: int = 0
    closed: bool = False

    def complained(self) -> list[str]:
        """Complaints without those of a document that was left (a reload, a closed tab) while Gradio's event stream was
        open: its client then aborts the stream in its own close() and reports the lost connection (of the two, one may
        no longer be heard), and what came last is not applied to what was never drawn."""
        own = (
            "AbortError: signal is aborted",
            "Unexpected error Connection errored out.",
            "Unexpected client exception TypeError: Cannot read properties of undefined",
        )
        left = self.closed or self.documents > 1
        return [said for said in self.complaints if not (left and said.strip().startswith(own))]


class Profile:
    """A profile that all tests share: what a page has loaded, compiled and cached is there for the next, which takes
    half of what it takes in a fresh one. A page is still a tab of its own, and so a visitor of its own; what a profile
    keeps for its pages is thrown away after every test."""

    def __init__(self, browser: Browser, empty: Path) -> None:
        self.context: BrowserContext = browser.new_context(viewport={"width": 1360, "height": 900})
        self._kept = [self.context.new_page()]  # pages that stay keep their processes
        self._kept[0].goto(empty.as_uri())
        self._storage = self.context.new_cdp_session(self._kept[0])
        self._origins: set[str] = set()

    @property
    def pages(self) -> list[Page]:
        """What the running test has opened here."""
        return [page for page in self.context.pages if page not in self._kept]

    def page(self, address: str, width: int, height: int, dark: bool) -> Page:
        if address.startswith("http:"):
            origin = "/".join(address.split("/")[:3])
            if not self._origins:
                self._kept.append(self.context.new_page())
                self._kept[1].goto(f"{origin}/favicon.ico")
            self._origins.add(origin)
        page = self.context.new_page()
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme="dark" if dark else "light")
        return page

    def forget(self) -> None:
        for page in self.pages:
            page.close()
        self.context.clear_permissions()
        self.context.clear_cookies()
        for origin in self._origins:
            self._storage.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "local_storage"})


@pytest.fixture(scope="session")
def profiles(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], list[Profile]]]:
    """A function that gives all profiles, the first of them without a page: beside another page of its profile one
    would be hidden, and a hidden page draws nothing."""
    empty = tmp_path_factory.mktemp("empty") / "empty.html"
    empty.touch()
    made: list[Profile] = []

    def free_first() -> list[Profile]:
        if all(one.pages for one in made):
            made.append(Profile(browser, empty))
        return sorted(made, key=lambda one: len(one.pages))

    yield free_first
    for one in made:
        one.context.close()


@pytest.fixture
def watched(profiles: Callable[[], list[Profile]]) -> Iterator[Callable[..., Watched]]:
    """A function that opens an address in a new tab; at the end nothing may have been complained about, and nobody but
    the page's own host asked."""
    made: list[Watched] = []

    def open_page(address: str, width: int = 1360, height: int = 900, dark: bool = False) -> Watched:
        found = Watched(profiles()[0].page(address, width, height, dark))
        made.append(found)
        found.page.set_default_timeout(PATIENCE)
        host = address.split("/")[2] if "://" in address else ""

        def note(request: str) -> None:
            own = request.startswith(("data:", "blob:")) or (host and request.split("/")[2] == host)
            if not own and request != address:
                found.strangers.append(request)

        def begun(_: Page) -> None:
            found.documents += 1

        def closed(_: Page) -> None:
            found.closed = True

        found.page.on("domcontentloaded", begun)
        found.page.on("close", closed)
        found.page.on("request", lambda request: note(request.url))
        found.page.on("websocket", lambda socket: note(socket.url))
        found.page.on("console", lambda m: found.complaints.append(m.text) if m.type in ("error", "warning") else None)
        found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
        found.page.goto(address)
        return found

    yield open_page
    told = [found.complained() for found in made]
    for profile in profiles():
        profile.forget()
    assert told == [[] for _ in made]
    for found in made:
        assert found.complained() == []
        assert found.strangers == []


@pytest.fixture(scope="session")
def models(tiny_checkpoint: Callable[..., Path]) -> list[str]:
    """Two small models: the first with a window of 24 tokens."""
    return [str(tiny_checkpoint(window=24, layers=3)), str(tiny_checkpoint(seed=1, layers=3))]


@pytest.fixture(scope="session")
def address(models: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page, served and warm, opening on an exchange recorded from the two models."""
    import gradio as gr

    from apps.studio.examples import fact
    from apps.studio.launch import launch
    from apps.studio.record import record
    from apps.studio.recorded import read_exchange

    folder = tmp_path_factory.mktemp("recorded")
    record([fact("What is the capital of France?")], folder, models, new_tokens=24)
    yield launch(models, port=None, browser=False, recorded=read_exchange(folder), new_tokens=12, block=False)
    running = [page for page in gr.Blocks.get_instances() if page.is_running]
    for page in running:
        page.server.force_exit = True  # a tab may still listen: one server after the other would wait 5 seconds for it
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda page: page.close(verbose=False), running))
