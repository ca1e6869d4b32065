"""The page's state as JSON: what `chat.js` draws. A new object each time: Gradio sends differences."""

from __future__ import annotations

import time
from typing import Any

from apps.studio.session import Column, Session
from apps.studio.shelf import Shelf


def page_state(session: Session, shelf: Shelf) -> dict[str, Any]:
    """{"columns": [...], "busy", "recorded" (a sentence or ""), "selection", "serial", "made"}.

    A column has the model's description, messages, strip, the run that can be opened, and its context meter. "made" is
    in microseconds of the server's clock: answers to two clicks may overtake each other; the page keeps the newer one.
    """
    made = time.time_ns() // 1000  # before anything is read: a state never claims to be newer than what it says
    return {
        "made": made,
        "columns": [_column(session.columns[name], shelf) for name in session.shown],
        "busy": session.busy,
        "recorded": session.recorded,
        "selection": dict(session.selection),
        "serial": session.serial,
    }


def _column(column: Column, shelf: Shelf) -> dict[str, Any]:
    described = shelf.describe(column.model, column.facts)
    messages: list[dict[str, Any]] = [
        {"role": message.role, "text": message.content, "footer": column.footers.get(i, "")}
        for i, message in enumerate(column.conversation)
    ]
    if column.live is not None:
        if messages and messages[-1]["role"] == "assistant":  # another version is being written over it
            messages.pop()
        messages.append({"role": "assistant", "text": column.live, "footer": "", "live": True})
    return described | {
        "messages": messages,
        "note": column.note,
        "strip": column.strip.as_json() if column.strip else None,
        "run": column.run,
        "used": column.used,
        "kv_bytes": _held(column.used, described.get("window")) * described.get("kv_bytes_per_token", 0),
    }


def _held(tokens: int, window: int | None) -> int:
    """Tokens whose keys and values are stored after ``tokens``: a sliding layer keeps one less than its window."""
    return tokens if window is None else min(tokens, window - 1)
