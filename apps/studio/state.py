"""The page's state as JSON: what `chat.js` draws. A new object each time: Gradio sends differences."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from apps.studio.guards import Guards
from apps.studio.session import Column, Session
from apps.studio.shelf import Shelf
from apps.studio.switching import policies


def page_state(session: Session, shelf: Shelf) -> dict[str, Any]:
    """{"columns": [...], "busy", "guards", "recorded" (a sentence or ""), "selection", "serial", "number" and
    "threads" (of the tab's conversations), "policies" (of caches, to choose from), "made"}.

    A column has the model's description, its switches, messages, strip, the run that can be opened, and its context
    meter. "made" is in microseconds of the server's clock: answers to two clicks may overtake each other; the page
    keeps the newer one.
    """
    with session.lock:  # no half of what another thread enters
        return _state(session, shelf)


def _state(session: Session, shelf: Shelf) -> dict[str, Any]:
    made = time.time_ns() // 1000  # before anything is read: a state never claims to be newer than what it says
    threads = dict(session.threads)
    present = session.present()
    threads[present.number] = present
    return {
        "made": made,
        "columns": [_column(session.columns[name], shelf, session.guards) for name in session.shown],
        "busy": session.busy,
        "guards": asdict(session.guards),
        "recorded": session.recorded,
        "selection": dict(session.selection),
        "serial": session.serial,
        "number": session.number,
        "policies": policies(),
        "threads": [
            {"number": number, "title": thread.title, "recorded": bool(thread.recorded)}
            for number, thread in sorted(threads.items())
        ],
    }


def streamed(session: Session, shelf: Shelf) -> dict[str, Any]:
    """`page_state` for a stream, with the columns by tone and not in a list. Gradio 6.31 sends only what has changed
    (`gradio.utils.diff`), and where two lists inside one list grow shorter at once it deletes the wrong message."""
    state = page_state(session, shelf)
    return state | {"columns": {column["tone"]: column for column in state["columns"]}}


def _column(column: Column, shelf: Shelf, guards: Guards) -> dict[str, Any]:
    base = shelf.describe(column.model, column.facts)
    own = {name: base.get(name) for name in ("window", "theta")}
    described = base | column.switches
    facts = column.facts or described
    reply = column.reply
    return described | {
        "own": own,
        "cache": column.cache,
        "switched": guards.label(column.switches, column.cache),
        "messages": _messages(column),
        "note": column.note or base.get("failed", ""),
        "offers": column.offers,
        "strip": column.strip.as_json() if column.strip else None,
        "run": column.run,
        "run_title": " · ".join(part for part in (base["title"], reply.switched if reply else "") if part),
        "used": column.used,
        "kv_bytes": _kv_bytes(column, facts, described.get("kv_bytes_per_token", 0)),
    }


def _messages(column: Column) -> list[dict[str, Any]]:
    """{"role", "text", "footer", "version" (1 is the first), "versions", "run"}; the one being written has "live"."""
    talk, found = column.talk, []
    for i, message in enumerate(talk.said):
        reply = talk.reply(i)
        found.append(
            {
                "role": message.role,
                "text": message.content,
                "footer": reply.footer if reply else "",
                "version": talk.said.chosen[i] + 1,
                "versions": len(talk.said.versions[i]),
                "open": i == column.place,
                "inside": bool(reply and reply.run),
            }
        )
    if column.live is not None:
        if found and found[-1]["role"] == "assistant":  # another version is being written over it
            found.pop()
        found.append({"role": "assistant", "text": column.live, "footer": "", "live": True})
    return found


def _kv_bytes(column: Column, facts: dict[str, Any], each: int) -> int | None:
    """Bytes of keys and values of what is shown; under a cache policy measured, None while that is not known."""
    if column.cache and column.run is None and column.used:
        return None
    return facts["kv_bytes"] if "kv_bytes" in facts else _held(column.used, facts.get("window")) * each


def _held(tokens: int, window: int | None) -> int:
    """Tokens whose keys and values are stored after ``tokens``: a sliding layer keeps one less than its window."""
    return tokens if window is None else min(tokens, window - 1)
