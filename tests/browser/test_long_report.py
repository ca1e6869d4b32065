"""The report of a long prompt opens quickly, shows the whole text at a glance, and lets any token be looked into."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

import workbench as wb
from tests.browser.talking import becomes
from tests.prompts import prompt_of

pytestmark = pytest.mark.browser

TOKENS = 6000
MOST_NODES = 6000


@pytest.fixture(scope="module")
def report(tiny_checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """6000 tokens, markup among them, and a reply of 8."""
    model = wb.load(str(tiny_checkpoint(layers=2, window=1500, kv_heads=2, context=8192)))
    text = "".join(f"<b onclick=alert({i})>line {i}</b> & </script> " for i in range(400))
    ids = list(model.encode(text).ids)
    capture = wb.Capture(wb.AttentionCapture(maximum=True), wb.LensCapture(blocks=64))
    run = model.generate(prompt_of(model, (ids * 3)[:TOKENS]), wb.Sampling(max_new_tokens=8), capture)
    for _ in run:
        pass
    return run.inspection.to_html(tmp_path_factory.mktemp("long") / "r.html")


COLOURS = """canvas => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const found = new Set();
  for (let i = 0; i < data.length; i += 4) found.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
  return found.size;
}"""


def test_a_long_report_is_whole_and_quick_to_use(watched: Callable, report: Path) -> None:
    page = watched(report.as_uri()).page
    page.wait_for_selector(".wb-attention[data-drawn]")
    assert page.locator(".wb-map").evaluate(COLOURS) > 30, "the map is drawn"
    assert page.evaluate("document.querySelectorAll('*').length") < MOST_NODES
    assert page.locator(".wb-strip b").count() == 0, "markup in a token is text"
    # A late token of the strip, which opens at the reply.
    late = TOKENS - 40
    page.locator(f".wb-token[data-i='{late}']").click()
    expect(page.locator(".wb-where")).to_contain_text("position 5\u2009960 of")
    # No row of a prompt token was kept: the map tells of its block, and the page says so.
    expect(page.locator(".wb-attention .wb-message")).to_contain_text("not in this file")
    expect(page.locator(".wb-list .wb-row").first).to_be_visible()
    before = page.locator(".wb-map").evaluate("canvas => canvas.toDataURL()")
    page.get_by_label("largest share").check()
    becomes(page, True, lambda: page.locator(".wb-map").evaluate("canvas => canvas.toDataURL()") != before)
    expect(page.locator(".wb-maps figcaption").last).to_contain_text("largest share in a cell")


def test_the_whole_text_is_in_reach(watched: Callable, report: Path) -> None:
    page = watched(report.as_uri(), width=390, height=844).page
    page.wait_for_selector(".wb-attention[data-drawn]")
    line = page.locator(".wb-minimap")
    width = line.bounding_box()["width"]
    line.click(position={"x": width * 0.1, "y": 7})
    expect(page.locator(".wb-token.wb-on")).to_be_visible()
    where = page.locator(".wb-where").inner_text().replace("\u2009", "")
    assert 400 < int(where.split("position ")[1].split()[0]) < 800
    expect(page.locator(".wb-token.wb-on")).to_be_visible()
    page.locator(".wb-more").last.click()
    expect(page.locator(".wb-more").first).to_contain_text("earlier")
    page.get_by_role("tab", name="Logit lens").click()
    page.wait_for_selector(".wb-lens[data-drawn]")
    assert page.locator(".wb-coarse").evaluate(COLOURS) > 5, "the lens of the whole text is drawn"
    page.locator(".wb-coarse").click(position={"x": 2, "y": 5})
    expect(page.locator(".wb-where")).to_contain_text("position ")
    page.get_by_role("tab", name="KV cache").click()
    page.wait_for_selector(".wb-cache[data-drawn]")
    expect(page.locator(".wb-growth")).to_be_visible()
    expect(page.locator(".wb-cache-maps figcaption").first).to_contain_text("key head 1 by 2–3")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
