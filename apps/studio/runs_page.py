"""Runs: what a tab has kept and what was recorded, as a list, and one run or two opened under it."""

from __future__ import annotations

from pathlib import Path

from gradio.utils import get_upload_folder

from apps.studio.page_parts import drawn
from apps.studio.run_events import RunEvents
from apps.studio.studio import Studio


def run_events(studio: Studio) -> RunEvents:
    """The events of the runs that ``studio`` keeps, with Gradio's own folder of uploads."""
    folder, largest = Path(get_upload_folder()), studio.settings.import_mib * 2**20
    return RunEvents(studio.runs, folder, studio.pairs, largest, studio.admission.faults)


def runs_page(studio: Studio) -> None:
    """Lay out the page; its script asks the server by functions of its own, which need no queue."""
    events = run_events(studio)
    asked = [events.listed, events.seen, events.answer, events.remove, events.export, events.open]
    asked.append(studio.pairs.difference)
    drawn("runs.runs(element, server, upload)", "wb-runs", functions=asked, faults=studio.admission.faults)
