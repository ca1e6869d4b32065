"""The event that measures two runs, and the Stop that comes before it, in line, or twice."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gradio as gr

from apps.server.admission import STUDY, Admission, Visitor
from apps.studio.measure_events import EARLY, MeasureEvents
from apps.studio.pairs import Pairs
from apps.studio.runs import RunStore
from apps.studio.shelf import Shelf
from tests.apps.test_pairs import answered
from tests.threads import beside, until

KEY = "m" * 32
REQUEST: Any = SimpleNamespace(session_hash="page", client=None, headers={})


def test_a_measurement_and_its_stop(shelf: Shelf, runs: RunStore) -> None:
    """A Stop that overtakes its measurement holds, one in line is told, and a second of the same name is refused."""
    run, other = (runs.add(answered(shelf.get(name)), KEY) for name in shelf.names)
    admission = Admission()
    events = MeasureEvents(Pairs(runs, shelf), admission)

    def asked(name: str) -> gr.EventData:
        return gr.EventData(None, {"id": name, "run": run, "other": other, "tab": KEY})

    def end(name: str) -> tuple[Any, str]:
        last = list(events.measure(asked(name), REQUEST))[-1]
        return last["share"], last["said"]

    stopped = (None, "The measurement was stopped. Measure again.")
    events.halt(asked("early"))
    assert end("early") == stopped
    for i in range(2 * EARLY):
        events.halt(asked(f"never {i}"))
    assert len(events._early) == EARLY
    with admission.turn(Visitor("somebody"), STUDY):
        waiting = beside(lambda: end("late"))
        until(lambda: admission.counts(STUDY) == (1, 1))
        assert end("late") == (None, "This measurement is under way already. Wait for its end.")
        events.halt(asked("late"))
        assert waiting() == stopped
        assert admission.counts(STUDY) == (1, 0)
    assert end("late") == (1.0, "")
    assert events._stops == {}
