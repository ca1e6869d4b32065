"""Which reply's tokens a column shows."""

from __future__ import annotations

from typing import Any

import workbench as wb
from apps.studio.runs import RunStore
from apps.studio.session import Column, Session
from apps.studio.strip import Strip
from workbench.errors import CaptureError
from workbench.views import tokens


def show_reply(column: Column, runs: RunStore, index: int | None = None) -> None:
    """Show the tokens of the reply at message ``index``, by default the last one; a sentence in their place where
    nothing is kept of it."""
    column.blank()
    talk = column.talk
    if index is None:
        index = len(talk) - 1
        if index < 0 or talk.said[index].role != "assistant":  # a question that waits for its answer
            return
    reply = talk.reply(index)
    if reply is None or not reply.run:
        column.note = "Nothing is kept of how this reply was written. Regenerate it to look inside."
        return
    column.used = reply.used
    try:
        inspection = runs.get(reply.run)
    except CaptureError:
        column.note = "The insides of this reply are no longer kept. Regenerate it to look inside."
        return
    column.place, column.run, column.facts = index, reply.run, facts_of(inspection)
    column.strip, column.used = Strip.of(tokens.pack(inspection, reply.run)), len(inspection.ids)


def facts_of(inspection: wb.Inspection) -> dict[str, Any]:
    """What a column says of the model of a run; ``kv_bytes``, measured, where a cache policy decided what is stored."""
    settings = inspection.provenance.get("settings", {})
    if not settings.get("cache") or inspection.kv_cache is None:
        return inspection.model
    return inspection.model | {"kv_bytes": int(inspection.kv_cache["bytes"].sum())}


def select_reply(session: Session, column: Column) -> None:
    """Select the first token that was written of the reply a column shows."""
    if column.run is not None and column.strip is not None:
        given = column.reply.given if column.reply else 0
        session.select(column.run, min(column.strip.prompt_length + given, column.used - 1))
