"""Measuring two runs exactly: an event that works in the queue of the models, and tells how far it is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import gradio as gr

from apps.server.admission import HOME, STUDY, Admission, Visitor
from apps.server.door import address
from apps.studio.pairs import Pairs
from workbench.errors import WorkbenchError

TICK = 0.2
"""Seconds between two looks at whether the measurement that waits was stopped."""
Told = dict[str, Any]
"""{"id", "run", "other", "share", "said"}: how far a measurement is; where it failed share is None and ``said`` why."""


class MeasureEvents:
    """The events of one served app. The page gives each measurement an id of its own, to stop it by."""

    def __init__(self, pairs: Pairs, admission: Admission) -> None:
        self._pairs, self._admission = pairs, admission
        self._stops: dict[tuple[str, str], threading.Event] = {}

    def measure(self, event: gr.EventData, request: gr.Request) -> Iterator[Told]:
        """Measure {"id", "run", "other", "tab"} of the event when it is its turn."""
        asked, key = _asked(event)
        told = {name: str(asked.get(name))[:80] for name in ("id", "run", "other")}
        runs = (asked.get("run"), asked.get("other"))
        host = request.client.host if request.client else ""
        client = address(host, request.headers, self._admission.settings.proxies)
        stop = threading.Event()
        try:
            if self._stops.setdefault(key, stop) is not stop:
                raise WorkbenchError("This measurement is under way already", remedy="Wait for its end")
            yield {**told, "share": 0.0, "said": ""}
            with self._admission.turn(Visitor(key[0], client), STUDY) as turn:
                for sentence in turn.waiting(stop, TICK):
                    yield {**told, "share": 0.0, "said": sentence}
                if not stop.is_set():
                    for share in self._pairs.measuring(*runs, stop, key[0]):
                        if late := turn.overdue:
                            raise WorkbenchError(late, remedy=f"Without a limit: wb.compare, or {HOME}")
                        yield {**told, "share": round(share, 3), "said": ""}
        except Exception as error:
            yield {**told, "share": None, "said": self._admission.faults.told(error)}
        finally:
            stop.set()
            if self._stops.get(key) is stop:
                del self._stops[key]

    def halt(self, event: gr.EventData) -> None:
        """Stop the measurement of the event's tab and id after its next step."""
        if (stop := self._stops.get(_asked(event)[1])) is not None:
            stop.set()


def _asked(event: gr.EventData) -> tuple[dict[str, Any], tuple[str, str]]:
    """What an event asks, and the key of tab and id."""
    asked = event._data if isinstance(event._data, dict) else {}
    return asked, (str(asked.get("tab"))[:80], str(asked.get("id"))[:80])
