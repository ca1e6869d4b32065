"""Measuring two runs exactly: an event that works in the queue of the models, and tells how far it is."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import gradio as gr

from apps.server.admission import HOME, STUDY, Admission, Visitor
from apps.server.door import address
from apps.studio.pairs import Pairs
from workbench.errors import WorkbenchError

TICK = 0.2
"""Seconds between two looks at whether the measurement that waits was stopped."""
EARLY = 64
"""Stops that came before their measurement, and are remembered for it."""
Told = dict[str, Any]
"""{"id", "run", "other", "share", "said"}: how far a measurement is; where it failed share is None and ``said`` why."""


class MeasureEvents:
    """The events of one served app. The page gives each measurement an id of its own, to stop it by."""

    def __init__(self, pairs: Pairs, admission: Admission) -> None:
        self._pairs, self._admission = pairs, admission
        self._stops: dict[tuple[str, str], threading.Event] = {}
        self._early: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._lock = threading.Lock()

    def measure(self, event: gr.EventData, request: gr.Request) -> Iterator[Told]:
        """Measure {"id", "run", "other", "tab"} of the event when it is its turn."""
        asked, key = _asked(event)
        told = {name: str(asked.get(name))[:80] for name in ("id", "run", "other")}
        runs = (asked.get("run"), asked.get("other"))
        host = request.client.host if request.client else ""
        client = address(host, request.headers, self._admission.settings.proxies)
        stop = threading.Event()
        try:
            with self._lock:
                known = self._stops.setdefault(key, stop)
                if known is stop and key in self._early:
                    del self._early[key]
                    stop.set()
            if known is not stop:
                raise WorkbenchError("This measurement is under way already", remedy="Wait for its end")
            yield {**told, "share": 0.0, "said": ""}
            with self._admission.turn(Visitor(key[0], client), STUDY) as turn:
                for sentence in turn.waiting(stop, TICK):
                    yield {**told, "share": 0.0, "said": sentence}
                if stop.is_set():
                    raise WorkbenchError("The measurement was stopped", remedy="Measure again")
                for share in self._pairs.measuring(*runs, stop, key[0]):
                    if late := turn.overdue:
                        raise WorkbenchError(late, remedy=f"Without a limit: wb.compare, or {HOME}")
                    yield {**told, "share": round(share, 3), "said": ""}
        except Exception as error:
            yield {**told, "share": None, "said": self._admission.faults.told(error)}
        finally:
            stop.set()
            with self._lock:
                if self._stops.get(key) is stop:
                    del self._stops[key]

    def halt(self, event: gr.EventData) -> None:
        """Stop the measurement of the event's tab and id after its next step. The click may overtake the one that
        begins it: then it ends as soon as it begins."""
        key = _asked(event)[1]
        with self._lock:
            if (stop := self._stops.get(key)) is not None:
                stop.set()
                return
            self._early[key] = None
            while len(self._early) > EARLY:
                self._early.popitem(last=False)


def _asked(event: gr.EventData) -> tuple[dict[str, Any], tuple[str, str]]:
    """What an event asks, and the key of tab and id."""
    asked = event._data if isinstance(event._data, dict) else {}
    return asked, (str(asked.get("tab"))[:80], str(asked.get("id"))[:80])
