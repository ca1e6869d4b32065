"""What Gradio is spared: an output that an event skips stays as it is, and no statistics are made of events."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import gradio as gr
import pytest
from gradio.state_holder import SessionState

from apps.server.spared import SWITCH, Page, spare
from tests.threads import awaited


@pytest.fixture
def page() -> Page:
    with Page(analytics_enabled=False) as made:
        outputs = [gr.Textbox("a"), gr.Button("b"), gr.State(0), gr.Textbox("c")]
        outputs[1].click(lambda: None, None, outputs)
    return made


@pytest.fixture
def interval() -> Iterator[None]:
    before = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize(
    "values",
    [
        (gr.skip(), gr.skip(), gr.skip(), gr.skip()),
        ("new", gr.skip(), gr.skip(), gr.skip()),
        ("new", gr.update(interactive=False), 3, gr.skip()),
        (gr.update(value="", visible=False), "more", gr.skip(), "last"),
    ],
)
def test_what_is_sent_is_what_gradio_sends(page: Page, values: tuple[Any, ...]) -> None:
    (event,) = page.fns.values()
    own, other = SessionState(page), SessionState(page)
    before = [own[one._id] for one in event.outputs]
    sent = awaited(page.postprocess_data(event, [dict(one) if isinstance(one, dict) else one for one in values], own))
    assert sent == awaited(gr.Blocks.postprocess_data(page, event, list(values), other))
    for block, made, value in zip(event.outputs, before, values, strict=True):
        if value == gr.skip():
            assert own[block._id] is made
        else:
            shown = [state.config_values[block._id]["props"].get("value") for state in (own, other)]
            assert shown[0] == shown[1]


def test_one_output_and_a_generator_that_ended_are_left_to_gradio(page: Page) -> None:
    (event,) = page.fns.values()
    ended = gr.components._Keywords.FINISHED_ITERATING
    assert awaited(page.postprocess_data(event, [ended] * 4, SessionState(page))) == [None] * 4
    with Page(analytics_enabled=False) as small:
        part = gr.Textbox("a")
        part.change(lambda: None, None, part)
    (event,) = small.fns.values()
    assert awaited(small.postprocess_data(event, "alone", SessionState(small))) == ["alone"]  # type: ignore[arg-type]


def test_no_statistics_are_made_of_events(page: Page, interval: None) -> None:
    page.queue()
    queue = page._queue
    names = ("sleep_when_free", "progress_update_sleep_when_free", "ANALYTICS_MAX_EVENTS", "ANAYLTICS_CACHE_FREQUENCY")
    assert [name for name in names if not hasattr(queue, name)] == [], "Gradio calls them otherwise by now"
    sys.setswitchinterval(before := 5 * SWITCH)
    spare(queue)
    assert sys.getswitchinterval() == pytest.approx(before), "a notebook is not touched"
    spare(queue, alone=True)
    assert sys.getswitchinterval() == pytest.approx(SWITCH)
    queue.events_recorded = 5
    record = {"time": 1.0, "status": "success", "process_time": 1.0, "function": "ask", "session_hash": "x"}
    assert queue.compute_analytics_summary([record]) == {"functions": {}}
    queue.ANAYLTICS_CACHE_FREQUENCY = 1  # as Gradio has it
    assert list(queue.compute_analytics_summary([record])["functions"]) == ["ask"]
