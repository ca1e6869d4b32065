"""A person walks through everything the page offers, in two sessions: wide and light, narrow and dark. After every step
axe-core looks at what the step has opened, and nothing may be wider than the window. `watched` sees to it that nothing
was complained about and that no other host was asked.

Elsewhere: the retrieval grid (test_grid.py), thousands of tokens (test_long_conversation.py), the views of one report
file (test_report.py), the exact numbers of every file (test_panel_actions.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.axe import violations
from tests.browser.talking import act, answered, footers, idle, ready, replies, said, settings

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser walk")]

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


def opens_on_a_recorded_exchange(walk: Walk) -> None:
    expect(walk.page.locator(".wb-banner")).to_contain_text("Recorded from")
    expect(walk.page.get_by_text("Click any token to look inside.")).to_be_visible()
    expect(walk.page.locator("#wb-inspector .wb-list .wb-row").first).to_be_visible()


def two_models_one_prompt(walk: Walk) -> None:
    settings(walk.page, longest=60)
    walk.page.fill("#wb-question textarea", "What do you see?")
    walk.page.click("#wb-send")
    for place in (0, 1):
        expect(walk.column(place).locator(".wb-live")).to_have_count(1)
    expect(walk.page.locator("#wb-send")).to_be_disabled()
    for place in (0, 1):
        answered(walk.page, place)
    idle(walk.page)
    assert len({text for place in (0, 1) for text in replies(walk.page, place)}) == 2, "two models, two answers"


def speed_count_and_context(walk: Walk) -> None:
    for place in (0, 1):
        expect(footers(walk.page, place)).to_contain_text(re.compile(r"\d+ tokens/s · 60 tokens · greedy, seed 0"))
        meter = walk.page.locator(".wb-model-meter").nth(place)
        expect(meter).to_contain_text(re.compile(r"7\d / 2\u2009048 tokens · KV \d[\d.]* KiB"))
        expect(meter).to_contain_text("float32 · cpu")


def seed_preset_and_versions(walk: Walk) -> None:
    settings(walk.page, longest=8, preset="Creative", seed=5)
    before = replies(walk.page)
    walk.page.click("#wb-again")
    expect(walk.page.locator(".wb-versions").filter(has_text="2 / 2")).to_have_count(2)
    idle(walk.page)
    expect(footers(walk.page)).to_contain_text("8 tokens · creative: temperature 1.1, top-p 0.98, seed 5")
    act(walk.page, "Earlier version")
    expect(walk.column().locator(".wb-assistant .wb-versions")).to_contain_text("1 / 2")
    assert replies(walk.page) == before


def a_question_is_edited(walk: Walk) -> None:
    act(walk.page, "Edit and ask again", role="user")
    field = walk.page.get_by_label("Edit the question")
    walk.kept["axe"] = violations(walk.page, "#wb-chat")  # the open field is gone when the step ends
    field.fill("What do you hear?")
    field.press("Control+Enter")
    for place in (0, 1):
        expect(walk.column(place).locator(".wb-user .wb-text")).to_have_text("What do you hear?")
        answered(walk.page, place)
    idle(walk.page)


def a_question_is_taken_back(walk: Walk) -> None:
    said(walk.page, "And then?", 2)
    walk.page.get_by_role("button", name="Undo").click()
    expect(walk.page.locator("#wb-question textarea")).to_have_value("And then?")
    expect(walk.column().locator(".wb-user")).to_have_count(1)
    walk.page.fill("#wb-question textarea", "")


def conversations_stay_in_the_list(walk: Walk) -> None:
    act(walk.page, "Fork")
    expect(walk.page.locator(".wb-said")).to_contain_text("goes on from here")
    picker = walk.page.get_by_label("Conversations of this tab")
    titles = picker.locator("option").all_inner_texts()
    assert titles[0].startswith("Recorded: ")
    assert sum("What do you hear?" in title for title in titles) >= 2
    picker.select_option(label=next(title for title in titles if "What do you see?" in title))
    expect(walk.column().locator(".wb-user .wb-text").first).to_have_text("What do you see?")


def stop_keeps_what_was_said(walk: Walk) -> None:
    walk.page.click("#wb-clear")
    expect(walk.page.locator(".wb-column-note").first).to_have_text("Nothing said yet.")
    settings(walk.page, longest=1000, preset="Greedy")
    walk.page.fill("#wb-question textarea", "Go on for ever")
    walk.page.press("#wb-question textarea", "Enter")
    expect(walk.column(1).locator(".wb-live .wb-text")).not_to_be_empty()
    walk.page.click("#wb-stop")
    idle(walk.page)
    expect(walk.page.locator(".wb-footer-words", has_text="stopped")).to_have_count(2)
    settings(walk.page, longest=8)


def an_alternative_goes_on(walk: Walk) -> None:
    said(walk.page, "Once upon a time", 2)
    walk.column().locator(".wb-token.wb-generated").nth(2).click()
    chip = walk.column().locator(".wb-alternatives button").first
    piece = chip.locator(".wb-piece").inner_text()
    walk.kept["axe"] = violations(walk.page, "#wb-chat")
    chip.click()
    expect(footers(walk.page).last).to_contain_text("(3 given)")
    idle(walk.page)
    expect(walk.column().locator(".wb-token.wb-begun")).to_have_count(3)
    assert walk.column().locator(".wb-token.wb-begun").nth(2).inner_text().startswith(piece.rstrip("…"))


def tokens_tell_their_probability(walk: Walk) -> None:
    strip = walk.column(1).locator(".wb-token.wb-generated")
    strip.first.hover()
    for word in ("id", "position", "probability", "rank", "entropy"):
        expect(walk.page.locator(".wb-tip")).to_contain_text(word)
    colour = (
        "getComputedStyle(document.querySelectorAll('.wb-column')[1].querySelector('.wb-generated')).backgroundColor"
    )
    seen = set()
    for mode in ("surprise", "entropy", "probability"):
        walk.page.get_by_role("radiogroup", name="Colour tokens by").get_by_role("radio", name=mode).click()
        walk.page.mouse.move(1, 1)
        seen.add(strip.first.evaluate(colour))
    assert len(seen) == 3, seen


def a_token_shows_its_attention(walk: Walk) -> None:
    walk.look_at()
    walk.token(9)
    walk.turn("Attention")
    before = walk.drawn("attention")
    walk.token(5)
    walk.page.wait_for_function("was => document.querySelector('.wb-attention').dataset.drawn !== was", arg=before)
    expect(walk.page.locator("#wb-inspector .wb-list").first).to_contain_text("reads")
    assert 0 < walk.page.locator("#wb-inspector .wb-list").first.locator(".wb-row").count() <= 8


def from_all_heads_to_one_cell(walk: Walk) -> None:
    walk.page.get_by_role("slider", name="Layer").fill("2")
    expect(walk.page.locator("#wb-inspector .wb-slider output")).to_have_text("2 / 2")
    walk.page.locator(".wb-mosaic").click(position={"x": 110, "y": 40})
    expect(walk.page.locator("#wb-inspector .wb-attention .wb-bar > output")).to_have_text("head 0")
    expect(walk.page.locator(".wb-head-facts")).to_contain_text("reaches back")
    over = walk.page.locator(".wb-over")
    box = over.bounding_box()
    assert box
    over.click(position={"x": 70, "y": box["height"] * 0.6})
    expect(walk.page.locator(".wb-where")).not_to_contain_text("position 5 of")
    walk.page.get_by_label("hide the sink").check()
    expect(walk.page.locator(".wb-grow figcaption")).to_contain_text("sink left out")
    expect(walk.page.locator(".wb-grow figcaption")).to_contain_text("outside the window of 24 tokens")
    walk.page.get_by_label("hide the sink").uncheck()


def the_lens_names_every_layer(walk: Walk) -> None:
    walk.turn("Logit lens")
    walk.drawn("lens")
    expect(walk.page.locator(".wb-lens-grid tbody th")).to_have_text(["output", "2", "1", "embed"])
    for mode in ("rank of the actual token", "distance to the output"):
        walk.page.get_by_role("radio", name=mode).click()
    expect(walk.page.locator(".wb-lens-chart")).to_contain_text("came next")


def the_cache_says_what_it_holds(walk: Walk) -> None:
    walk.turn("KV cache")
    walk.drawn("cache")
    expect(walk.page.locator(".wb-cache")).to_contain_text(re.compile(r"The cache holds \d"))
    expect(walk.page.locator(".wb-cache")).to_contain_text("The window of 24 has dropped the first")
    expect(walk.page.locator(".wb-cache-bars .wb-row")).to_have_count(3)


def the_next_token_and_its_rivals(walk: Walk) -> None:
    walk.turn("Next token")
    walk.drawn("next")
    lists = walk.page.locator(".wb-next .wb-list")
    expect(lists).to_have_count(2)
    assert lists.nth(1).locator(".wb-row").count() >= 5


def two_models_differ(walk: Walk) -> None:
    walk.look_at("difference")
    expect(walk.page.locator(".wb-parting")).to_contain_text("The answers")
    walk.kept["axe"] = []
    for tab in VIEWS:
        walk.turn(tab)
        expect(walk.page.locator("[role=tabpanel]:visible")).not_to_be_empty()
        walk.page.wait_for_function("document.querySelector('[role=tabpanel]:not([hidden])').dataset.drawn")
        walk.kept["axe"] += violations(walk.page, "#wb-inspector")
    walk.look_at()


def data_figure_and_code(walk: Walk) -> None:
    walk.turn("Attention")
    walk.drawn("attention")
    head = walk.page.locator("#wb-inspector .wb-attention .wb-actions").first
    head.get_by_role("button", name=re.compile("^data", re.I)).click()
    walk.kept["axe"] = violations(walk.page, "#wb-inspector")
    with walk.page.expect_download() as table:
        head.get_by_role("menuitem", name=re.compile("^CSV")).first.click()
    assert "head 0" in Path(table.value.path()).read_text(encoding="utf-8-sig").splitlines()[0]
    head.get_by_role("button", name=re.compile("^figure", re.I)).click()
    with walk.page.expect_download() as figure:
        head.get_by_role("menuitem", name=re.compile("SVG")).click()
    assert "<svg" in Path(figure.value.path()).read_text()[:400]
    head.get_by_role("button", name=re.compile("^code", re.I)).click()
    expect(walk.page.locator(".wb-attention .wb-code pre")).to_contain_text("import workbench as wb")


def an_architecture_is_switched(walk: Walk) -> None:
    walk.column().get_by_role("button", name="Switches").click()
    walk.column().get_by_role("radiogroup", name="window").get_by_role("radio", name="none").click()
    badge = walk.column().locator(".wb-column-head .wb-badge")
    expect(badge).to_contain_text("no window")
    count = footers(walk.page).count()
    said(walk.page, "Without a window", count + 1)
    expect(footers(walk.page).last).to_contain_text("no window")
    expect(walk.page.locator(".wb-models button").first).to_contain_text("no window")


def a_conversation_leaves_and_comes_back(walk: Walk) -> None:
    with walk.page.expect_download() as download:
        walk.page.get_by_role("button", name="Export").click()
    document = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    reply = document["models"][0]["messages"][-1]["versions"][0]["reply"]
    assert reply["switched"] == "no window"
    assert {"sampling", "tokens_per_second", "used", "context", "seconds"} <= set(reply)
    before = replies(walk.page)
    walk.page.get_by_label("Conversation file").set_input_files(download.value.path())
    expect(walk.page.locator(".wb-said")).to_contain_text("Imported as conversation")
    assert replies(walk.page) == before
    expect(footers(walk.page).last).to_contain_text("imported")


def another_recorded_exchange_opens(walk: Walk) -> None:
    walk.page.locator(".wb-recordings-button").click()
    walk.kept["axe"] = violations(walk.page, "#wb-left")
    walk.page.get_by_role("menuitem").first.click()
    expect(walk.page.locator(".wb-banner")).to_contain_text("Recorded from")
    picker = walk.page.get_by_label("Conversations of this tab")
    titles = picker.locator("option").all_inner_texts()
    own = [title for title in titles if "Go on for ever" in title]
    picker.select_option(label=own[0])
    expect(walk.page.locator(".wb-banner")).to_be_hidden()
    expect(walk.page.locator(".wb-column").first.locator(".wb-token").first).to_be_visible()


def a_link_leads_to_the_same_place(walk: Walk) -> None:
    walk.token(4)
    walk.turn("Logit lens")
    expect(walk.page).to_have_url(re.compile("token=4.*tab=lens"))
    other = walk.watched(walk.page.url, **walk.options).page
    other.wait_for_selector(".wb-lens[data-drawn]")
    expect(other.locator(".wb-where")).to_contain_text("position 4 of")
    assert "/runs?" in other.url, "another person's tab has not the conversation, but the run"
    other.context.close()


def runs_are_kept(walk: Walk) -> None:
    walk.page.locator(".wb-kept a").click()
    walk.page.wait_for_selector(".wb-runs tbody tr")
    expect(walk.page.locator("h1")).to_have_count(1)
    walk.kept["axe"] = violations(walk.page)
    walk.page.locator(".wb-run-open").first.click()
    walk.page.wait_for_selector(".wb-run-view .wb-attention[data-drawn]")


def a_run_leaves_and_comes_back(walk: Walk) -> None:
    row = walk.page.locator(".wb-runs tbody tr").first
    row.get_by_role("button", name=re.compile("^Save ")).click()
    walk.kept["axe"] = violations(walk.page, ".wb-runs")
    file = walk.folder / "one.inspection"
    with walk.page.expect_download() as download:
        row.get_by_role("menuitem", name="Inspection file").click()
    download.value.save_as(file)
    walk.page.locator("input[type=file]").set_input_files(file)
    expect(walk.page.locator(".wb-runs tbody tr").first).to_contain_text("from a file")
    walk.page.wait_for_selector(".wb-run-view .wb-attention[data-drawn]")


def two_runs_are_compared(walk: Walk) -> None:
    for place in (0, 2):
        walk.page.locator(".wb-runs tbody tr").nth(place).locator("input").check()
    walk.page.get_by_role("button", name="Compare these two").click()
    expect(walk.page.locator(".wb-run-view .wb-tokens")).to_have_count(2)
    expect(walk.page.get_by_role("radio", name="difference")).to_have_attribute("aria-checked", "true")
    expect(walk.page.locator(".wb-parting")).to_be_visible()


def a_report_opens_from_its_file(walk: Walk) -> None:
    row = walk.page.locator(".wb-runs tbody tr").first
    row.get_by_role("button", name=re.compile("^Save ")).click()
    with walk.page.expect_download() as download:
        row.get_by_role("menuitem", name="HTML report").click()
    file = walk.folder / "report.html"
    download.value.save_as(file)
    report = walk.watched(file.as_uri(), **walk.options).page
    report.wait_for_selector(".wb-attention[data-drawn]")
    walk.kept["axe"] = violations(report)
    for tab, view in VIEWS.items():
        report.get_by_role("tab", name=tab).click()
        report.wait_for_selector(f".wb-{view}[data-drawn]")
        walk.kept["axe"] += violations(report, ".wb-inspector")
    report.context.close()


def the_conversation_is_still_there(walk: Walk) -> None:
    walk.page.get_by_role("link", name="Chat & inspect").click()
    ready(walk.page)
    expect(walk.column().locator(".wb-user .wb-text").first).to_have_text("Go on for ever")


CHAT, LEFT, INSIDE, RUNS, WHOLE = "#wb-chat", "#wb-left", "#wb-inspector", ".wb-runs-page", ""

STEPS: list[tuple[Callable[[Walk], None], str]] = [
    (opens_on_a_recorded_exchange, WHOLE),
    (two_models_one_prompt, LEFT),
    (speed_count_and_context, "#wb-top"),
    (seed_preset_and_versions, CHAT),
    (a_question_is_edited, CHAT),
    (a_question_is_taken_back, CHAT),
    (conversations_stay_in_the_list, "#wb-bar"),
    (stop_keeps_what_was_said, CHAT),
    (an_alternative_goes_on, CHAT),
    (tokens_tell_their_probability, CHAT),
    (a_token_shows_its_attention, INSIDE),
    (from_all_heads_to_one_cell, INSIDE),
    (the_lens_names_every_layer, INSIDE),
    (the_cache_says_what_it_holds, INSIDE),
    (the_next_token_and_its_rivals, INSIDE),
    (two_models_differ, INSIDE),
    (data_figure_and_code, INSIDE),
    (an_architecture_is_switched, LEFT),
    (a_conversation_leaves_and_comes_back, CHAT),
    (another_recorded_exchange_opens, LEFT),
    (a_link_leads_to_the_same_place, INSIDE),
    (runs_are_kept, WHOLE),
    (a_run_leaves_and_comes_back, RUNS),
    (two_runs_are_compared, WHOLE),
    (a_report_opens_from_its_file, RUNS),
    (the_conversation_is_still_there, WHOLE),
]
"""What is done and seen, and the part of the page that axe-core looks at afterwards."""


@pytest.mark.parametrize(("width", "dark"), [(1360, False), (390, True)], ids=["wide and light", "narrow and dark"])
def test_a_walk_through_everything(watched: Callable, address: str, tmp_path: Path, width: int, dark: bool) -> None:
    options = {"width": width, "height": 844, "dark": dark}
    walk = Walk(watched(address, **options).page, address, watched, tmp_path, options)
    ready(walk.page)
    for step, part in STEPS:
        try:
            step(walk)
            found = walk.kept.pop("axe", []) + violations(walk.page, part)
            assert not found, "\n".join(found)
            assert walk.page.evaluate("document.documentElement.scrollWidth") <= width
        except BaseException as error:
            error.add_note(f"in the step {step.__name__}")
            raise


@pytest.mark.parametrize(("width", "dark"), [(1360, True), (390, False)], ids=["wide and dark", "narrow and light"])
def test_the_other_looks(watched: Callable, address: str, width: int, dark: bool) -> None:
    """The colours are those of the walk, the widths too: here only that the two go together."""
    page = watched(address, width=width, height=844, dark=dark).page
    ready(page)
    expect(page.locator("#wb-inspector .wb-list .wb-row").first).to_be_visible()
    found = violations(page)
    assert not found, "\n".join(found)
