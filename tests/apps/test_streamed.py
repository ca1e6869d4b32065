"""What a stream sends is what the page then has: Gradio sends differences only."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from gradio.utils import diff

from apps.studio.session import Session
from apps.studio.shelf import Shelf
from apps.studio.state import page_state, streamed
from apps.studio.talk import Talk


def patched(value: Any, edits: list[Any]) -> Any:
    """``value`` after the edits, as Gradio's client makes them."""
    value = deepcopy(value)
    for action, path, new in edits:
        place = value
        for key in path[:-1]:
            place = place[key]
        if action == "replace":
            place[path[-1]] = new
        elif action == "append":
            place[path[-1]] += new
        elif action == "add" and isinstance(place, list):
            place.insert(path[-1], new)
        elif action == "add":
            place[path[-1]] = new
        else:
            del place[path[-1]]
    return value


def test_two_replies_that_fail_at_once_leave_the_questions(session: Session, shelf: Shelf) -> None:
    for column in session.columns.values():
        column.talk, column.live = Talk().question("Too long"), ""
    writing = streamed(session, shelf)
    for column in session.columns.values():
        column.live, column.note = None, "It does not fit."
    failed = streamed(session, shelf)
    found = patched(writing, diff(writing, failed))
    assert found == failed
    assert list(found["columns"].values()) == page_state(session, shelf)["columns"]
    assert [len(column["messages"]) for column in found["columns"].values()] == [1, 1]
