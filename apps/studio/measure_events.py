"""Measuring two runs exactly: an event that works in the queue of the models, and tells how far it is."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Iterator
from typing import Any

import gradio as gr

from apps.studio.pairs import Pairs
from workbench.errors import WorkbenchError

Told = dict[str, Any]
"""{"id", "run", "other", "share", "said"}: how far a measurement is; where it failed share is None and ``said`` why."""


class MeasureEvents:
    """The events of one served app. The page gives each measurement an id of its own, to stop it by."""

    def __init__(self, pairs: Pairs) -> None:
        self._pairs = pairs
        self._stops: dict[str, threading.Event] = {}

    def measure(self, event: gr.EventData) -> Iterator[Told]:
        """Measure {"id", "run", "other"} of the event."""
        asked = event._data if isinstance(event._data, dict) else {}
        told = {name: str(asked.get(name))[:80] for name in ("id", "run", "other")}
        stop = self._stops[told["id"]] = threading.Event()
        try:
            yield {**told, "share": 0.0, "said": ""}
            for share in self._pairs.measuring(asked.get("run"), asked.get("other"), stop):
                yield {**told, "share": round(share, 3), "said": ""}
        except WorkbenchError as error:
            yield {**told, "share": None, "said": str(error)}
        except Exception:
            traceback.print_exc()
            yield {**told, "share": None, "said": "The measurement failed; the server's log has the details."}
        finally:
            stop.set()
            self._stops.pop(told["id"], None)

    def halt(self, event: gr.EventData) -> None:
        """Stop the measurement of the event's id after its next step."""
        asked = event._data if isinstance(event._data, dict) else {}
        if (stop := self._stops.get(str(asked.get("id"))[:80])) is not None:
            stop.set()
