"""A person walks through everything the page offers, on a narrow screen. After every step axe-core looks at what the
step has opened, in the dark and in the light, and nothing may be wider than the window. `watched` sees to it that
nothing was complained about and that no other host was asked.

Elsewhere: the retrieval grid (test_grid.py), thousands of tokens (test_long_conversation.py), the views of one report
file (test_report.py), the exact numbers of every file (test_panel_actions.py).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser import walk_chat as chat
from tests.browser import walk_inspector as inspector
from tests.browser import walk_runs as runs
from tests.browser.axe import in_both_colours
from tests.browser.talking import becomes, ready
from tests.browser.walk import Walk

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser walk")]

CHAT, LEFT, INSIDE, RUNS, WHOLE = "#wb-chat", "#wb-left", "#wb-inspector", ".wb-runs-page", ""

STEPS: list[tuple[Callable[[Walk], None], str | None]] = [
    (chat.opens_on_a_recorded_exchange, WHOLE),
    (chat.two_models_one_prompt, LEFT),
    (chat.speed_count_and_context, "#wb-top"),
    (chat.seed_preset_and_versions, CHAT),
    (chat.a_question_is_edited, None),
    (chat.a_question_is_taken_back, None),
    (chat.conversations_stay_in_the_list, "#wb-bar"),
    (chat.stop_keeps_what_was_said, CHAT),
    (chat.an_alternative_goes_on, None),
    (chat.tokens_tell_their_probability, CHAT),
    (inspector.a_token_shows_its_attention, None),
    (inspector.from_all_heads_to_one_cell, INSIDE),
    (inspector.the_lens_names_every_layer, INSIDE),
    (inspector.the_cache_says_what_it_holds, INSIDE),
    (inspector.the_next_token_and_its_rivals, INSIDE),
    (inspector.two_models_differ, None),
    (inspector.data_figure_and_code, INSIDE),
    (chat.an_architecture_is_switched, LEFT),
    (chat.a_conversation_leaves_and_comes_back, CHAT),
    (chat.another_recorded_exchange_opens, None),
    (chat.a_link_leads_to_the_same_place, None),
    (runs.runs_are_kept, RUNS),
    (runs.a_run_leaves_and_comes_back, None),
    (runs.two_runs_are_compared, WHOLE),
    (runs.a_report_opens_from_its_file, None),
    (chat.the_conversation_is_still_there, None),
]
"""What is done and seen, and the part of the page that axe-core looks at afterwards: none where the step leaves nothing
open that was not looked at before, or looked itself at what it opened and closed."""


def test_a_walk_through_everything(watched: Callable, address: str, tmp_path: Path) -> None:
    options = {"width": 390, "height": 844, "dark": True}
    walk = Walk(watched(address, **options).page, address, watched, tmp_path, options)
    ready(walk.page)
    for place, (step, part) in enumerate(STEPS):
        try:
            step(walk)
            found = walk.kept.pop("axe", [])
            if part is not None:
                found += in_both_colours(walk.page, part, light=place % 3 == 0)
            assert not found, "\n".join(found)
            becomes(walk.page, True, walk.page.evaluate, "document.documentElement.scrollWidth <= 390")
        except BaseException as error:
            error.add_note(f"in the step {step.__name__}")
            raise


def test_a_wide_screen(watched: Callable, address: str) -> None:
    page = watched(address, dark=True).page
    ready(page)
    expect(page.locator("#wb-inspector .wb-list .wb-row").first).to_be_visible()
    found = in_both_colours(page)
    assert not found, "\n".join(found)
