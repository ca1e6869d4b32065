"""The page in Chromium: how soon it is usable, how quick a click is, how often a reply redraws it, what it weighs.

    python tests/benchmarks/page.py [--write]

Prints a table with the targets; ``--write`` puts it into tests/benchmarks/PAGE.md. The twins answer from a prompt of
some 1800 tokens; one model of random weights, with a context of 8192, holds the long conversation. Seconds are those of
this machine; medians where something is done several times.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from playwright.sync_api import Browser, Page, sync_playwright
from transformers import MistralConfig, MistralForCausalLM

from apps.studio.launch import launch
from workbench.models import save_v1_tokenizer

SENTENCE = "Tom has a red hat and Ann has a blue coat. "
CLICKS = 12
REPORT = Path(__file__).with_name("PAGE.md")

COUNT = """() => {
  window.updates = 0;
  const chat = document.querySelector("#wb-chat");
  let waiting = false;
  new MutationObserver(() => {
    if (waiting) return;
    waiting = true;  // all that changes within a frame is one update
    requestAnimationFrame(() => { waiting = false; window.updates++; });
  }).observe(chat, { subtree: true, childList: true, characterData: true });
}"""
CLICK = """([column, token]) => new Promise((done) => {
  const view = document.querySelector(".wb-attention");
  const before = view.dataset.drawn, began = performance.now();
  const look = new MutationObserver(() => {
    if (view.dataset.drawn === before) return;
    look.disconnect();
    requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)));  // after the paint
  });
  look.observe(view, { attributes: true, attributeFilter: ["data-drawn"] });
  document.querySelectorAll(".wb-column")[column].querySelector(`.wb-token[data-i="${token}"]`).click();
})"""


@dataclass
class Table:
    """Lines of the report: what was measured, its value, the target, and whether it was met."""

    lines: list[tuple[str, str, str, str]] = field(default_factory=list)

    def add(self, what: str, value: float, unit: str, most: float | None = None) -> None:
        """One line; ``most`` is the target, None for a number that has none."""
        digits = f"{value:.2f}" if value < 10 and unit == "s" else f"{value:,.0f}".replace(",", " ")
        target = "" if most is None else f"at most {most:,g} {unit}".replace(",", " ")
        self.lines.append((what, f"{digits} {unit}", target, "" if most is None else "yes" if value <= most else "no"))

    def __str__(self) -> str:
        head = ["| measured | value | target | met |", "|---|---|---|---|"]
        return "\n".join(head + [f"| {' | '.join(line)} |" for line in self.lines])


def long_model(folder: Path) -> str:
    """A model of random weights with a context of 8192 tokens and the shape of a twin."""
    config = MistralConfig(
        vocab_size=32000, hidden_size=192, intermediate_size=512, num_hidden_layers=6, num_attention_heads=8,
        num_key_value_heads=2, head_dim=64, max_position_embeddings=8192, sliding_window=512,
        tie_word_embeddings=True, initializer_range=0.1,
    )  # fmt: skip
    torch.manual_seed(0)
    MistralForCausalLM(config).save_pretrained(folder)
    save_v1_tokenizer(folder)
    return str(folder)


class Visit:
    """A page in a context of its own, and what it was sent."""

    def __init__(self, browser: Browser, address: str) -> None:
        self.page: Page = browser.new_context(viewport={"width": 1360, "height": 900}).new_page()
        self.page.set_default_timeout(60_000)
        self.streamed = 0
        self._devtools = self.page.context.new_cdp_session(self.page)
        self._devtools.send("Network.enable")
        self._devtools.send("Performance.enable")
        streams: set[str] = set()

        def opened(event: dict) -> None:
            if "event-stream" in event["response"]["mimeType"]:
                streams.add(event["requestId"])

        def received(event: dict) -> None:
            self.streamed += event["dataLength"] if event["requestId"] in streams else 0

        self._devtools.on("Network.responseReceived", opened)
        self._devtools.on("Network.dataReceived", received)
        began = time.perf_counter()
        self.page.goto(address)
        self.page.wait_for_selector("#wb-send:not([disabled])")
        self.page.wait_for_selector(".wb-column, .wb-attention[data-drawn]")
        self.usable = time.perf_counter() - began

    def metrics(self) -> dict[str, float]:
        """Chromium's own: ScriptDuration and TaskDuration in seconds, JSHeapUsedSize in bytes, Nodes."""
        return {one["name"]: one["value"] for one in self._devtools.send("Performance.getMetrics")["metrics"]}

    def longest(self, tokens: int) -> None:
        self.page.click("#wb-settings button.label-wrap")
        self.page.get_by_label("number input for Longest reply (tokens)").fill(str(tokens))
        self.page.keyboard.press("Tab")

    def ask(self, text: str) -> float:
        """Ask, wait until every reply is there; seconds."""
        self.page.wait_for_selector("#wb-send:not([disabled])")
        began = time.perf_counter()
        self.page.fill("#wb-question textarea", text)
        self.page.click("#wb-send")
        self.page.wait_for_selector("#wb-send[disabled]")
        self.page.wait_for_selector("#wb-send:not([disabled])")
        return time.perf_counter() - began


def twins(browser: Browser, table: Table) -> None:
    """The page as it ships."""
    address = launch(port=None, browser=False, block=False)
    first = Visit(browser, address)
    table.add("page usable: recorded exchange drawn, models still loading", first.usable, "s", 3)
    first.page.context.close()
    visit = Visit(browser, address)
    table.add("page usable again", visit.usable, "s", 3)
    # A question of its own replaces the recorded exchange; its reply is then asked to go on.
    visit.ask(SENTENCE * 140)
    sizes: list[int] = []
    visit.page.on(
        "response", lambda found: sizes.append(len(found.body())) if "component_server" in found.url else None
    )
    total = int(visit.page.locator(".wb-token").last.get_attribute("data-i") or 0)
    times = []
    for i in range(CLICKS):
        sizes_before = len(sizes)
        times.append(visit.page.evaluate(CLICK, [0, 40 + i * (total - 80) // CLICKS]))
        visit.page.wait_for_timeout(150)
        sizes[sizes_before:] = [sum(sizes[sizes_before:])]
    table.add(f"click to drawn, inspection of {total} tokens, median", statistics.median(times), "ms", 300)
    table.add("click to drawn, slowest", max(times), "ms")
    table.add("bytes a click, largest", max(sizes), "bytes", 1_000_000)
    visit.page.context.close()


def streaming(browser: Browser, table: Table, folder: Path) -> None:
    """A long conversation, while a reply is written behind it."""
    visit = Visit(browser, launch([long_model(folder)], port=None, browser=False, block=False, new_tokens=8))
    visit.page.evaluate(COUNT)
    written = 256
    visit.longest(written)
    for name, text in (("short", "Who has the red hat?"), ("long", SENTENCE * 440), ("long again", "Who has it?")):
        before, streamed = visit.metrics(), visit.streamed
        visit.page.evaluate("window.updates = 0")
        seconds = visit.ask(text)
        after = visit.metrics()
        updates = visit.page.evaluate("window.updates")
        if name == "long":
            continue  # most of its time is reading
        tokens = visit.page.locator(".wb-model-meter").first.inner_text().split(" / ")[0].split("\n")[-1]
        label = f"a reply of {written} tokens, {tokens.strip()} in all"
        script, work = (1e3 * (after[key] - before[key]) / updates for key in ("ScriptDuration", "TaskDuration"))
        table.add(f"updates a second, {label}", updates / seconds, "", 15)
        table.add(f"scripting an update, {label}", script, "ms")
        table.add(f"all work of the page an update, {label}", work, "ms")
        table.add(f"bytes sent for the turn, {label}", visit.streamed - streamed, "bytes")
        table.add(f"DOM nodes, {label}", visit.page.evaluate("document.querySelectorAll('*').length"), "")
        table.add(f"JavaScript heap, {label}", after["JSHeapUsedSize"] / 1e6, "MB")
    visit.page.context.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write tests/benchmarks/PAGE.md")
    asked = parser.parse_args()
    table, parts = Table(), list[Callable[[Browser], None]]()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        found = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        version = browser.version
        parts += [lambda one: twins(one, table), lambda one: streaming(one, table, Path(folder))]
        for part in parts:
            part(browser)
        browser.close()
    head = (
        f"{datetime.date.today()}, Chromium {version}, {os.cpu_count()} cores ({platform.machine()}), "
        f"torch {torch.__version__}, {torch.get_num_threads()} threads."
    )
    print(f"{head}\n\n{table}")
    if asked.write:
        text = "# The page in a browser\n\nWritten by `python tests/benchmarks/page.py --write`.\n"
        REPORT.write_text(f"{text}\n{head}\n\n{table}\n", encoding="utf-8")
    os._exit(0)  # the served pages' threads would keep the process


if __name__ == "__main__":
    main()
