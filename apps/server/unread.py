"""Answers that nobody fetches. Gradio keeps what an event says until its page reads it, the last 2000 pages' answers
and any number of each; so one visitor could fill the memory, or drive everybody else's answers out."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from apps.server.door import CLIENT

EVENTS = 16
"""Events of one page whose answers may wait to be read."""
PAGES = 4
"""Pages whose answers are kept, for each tab that an address may have."""


def bound(queue: Any, tabs: int | None) -> None:
    """Bound what Gradio's ``queue`` keeps: `EVENTS` of a page, and of an address the pages of its ``tabs`` (None: as
    many as Gradio keeps); its own longest unused go first, and what they were told with them."""
    push, owners = queue.push, OrderedDict[str, str]()

    async def pushed(body: Any, request: Any, username: str | None) -> Any:
        page, client = body.session_hash, CLIENT.get()
        if len(queue.pending_event_ids_session.get(page, ())) >= EVENTS:
            return False, "Read the answers to what was asked before, then ask again.", "queue_full"
        found = await push(body=body, request=request, username=username)
        if found[0] and tabs is not None:
            owners.pop(body.session_hash, None)
            owners[body.session_hash] = client
            for gone in [one for one in owners if one not in queue.pending_messages_per_session]:
                del owners[gone]
            own = [one for one, whose in owners.items() if whose == client]
            for old in own[: -PAGES * tabs]:
                del owners[old]
                _forget(queue, old)
        return found

    queue.push = pushed


def _forget(queue: Any, page: str) -> None:
    for event in queue.pending_event_ids_session.pop(page, ()):
        if (found := queue.event_ids_to_events.get(event)) is not None:
            found.alive = False
    queue.pending_messages_per_session.pop(page, None)
