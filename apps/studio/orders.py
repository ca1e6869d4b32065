"""What the models of a tab are asked to do, and how its columns are made ready for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import workbench as wb
from apps.studio.runs import RunStore
from apps.studio.session import Column, Session
from apps.studio.talk import Talk


@dataclass(frozen=True)
class Order:
    """What a reply is asked for.

    kind "ask": ``text`` to every shown model; "again": another version of the reply at message ``index`` of ``model``
    (-1 the last one; "" every shown model); "edit": ``text`` instead of the question at ``index`` of ``model``, also to
    the other shown model where it was asked the same there; "continue": a version of the reply whose inspection is
    ``run`` that begins with its tokens before position ``token`` and then with the id ``instead``.
    """

    kind: str
    text: str = ""
    model: str = ""
    index: int = -1
    run: str = ""
    token: int = -1
    instead: int = -1


@dataclass(frozen=True)
class Job:
    """What one model is to do: answer ``said``, with another version of the last message or as a new one."""

    column: Column
    said: wb.Conversation
    again: bool = False
    begin: tuple[int, ...] = ()


def prepare(session: Session, runs: RunStore, order: Order) -> list[Job]:
    """The jobs of an order; the columns are ready for them. What an order would overwrite is kept as a conversation."""
    if order.kind not in _MAKERS:
        raise wb.WorkbenchError(f"the page asked for {order.kind[:40]!r}", expected=", ".join(_MAKERS))
    make = _MAKERS[order.kind]
    talks, again, begin = make(session, runs, order)
    if not talks:
        raise wb.WorkbenchError("There is no reply to write again yet", remedy="Ask something first")
    lost = any(not _follows(talk, session.columns[name].talk) for name, talk in talks.items())
    if session.recorded and order.kind == "ask":
        session.branch({name: talks.get(name, Talk()) for name in session.columns})
        for column in session.columns.values():
            column.blank()
    elif session.recorded or lost:
        session.branch(talks)
    jobs = []
    for name, talk in talks.items():
        column = session.columns[name]
        column.talk = talk
        column.blank()
        column.live = ""
        said = talk.said.fork(len(talk) - 1) if again else talk.said
        jobs.append(Job(column, said, again, begin))
    return jobs


_Prepared = tuple[dict[str, Talk], bool, tuple[int, ...]]
"""The talk of each model that is asked; whether another version of its last message is wanted; ids to begin with."""


def _follows(new: Talk, old: Talk) -> bool:
    """Whether ``new`` holds all that ``old`` says; a last question without an answer may go."""
    old = old.settled()
    return len(new) >= len(old) and new.fork(len(old)).said.versions == old.said.versions


def _to_ask(session: Session, runs: RunStore, order: Order) -> _Prepared:
    empty = bool(session.recorded)
    found = {name: Talk() if empty else session.columns[name].talk.settled() for name in session.shown}
    return {name: talk.question(order.text) for name, talk in found.items()}, False, ()


def _to_repeat(session: Session, runs: RunStore, order: Order) -> _Prepared:
    talks, again = {}, True
    for name in [order.model] if order.model else session.shown:
        talk = _column(session, name).talk
        if not len(talk):
            continue
        if order.index == -1 and talk.said[-1].role == "user":  # an imported question, or one that failed
            talks[name], again = talk, False
            continue
        index = len(talk) - 1 if order.index == -1 else order.index
        if not 0 <= index < len(talk) or talk.said[index].role != "assistant":
            raise wb.WorkbenchError(f"message {index} is no reply", remedy="Choose a reply to write again")
        talks[name] = talk.fork(index + 1)
    if not again:  # one of them has no answer yet: only those are asked
        talks = {name: talk for name, talk in talks.items() if talk.said[-1].role == "user"}
    return talks, again, ()


def _to_edit(session: Session, runs: RunStore, order: Order) -> _Prepared:
    edited = _column(session, order.model).talk
    talks = {order.model: edited.edit(order.index, order.text)}
    same = edited.said.fork(order.index + 1).messages
    for name in session.shown:
        talk = session.columns[name].talk
        if name != order.model and len(talk) > order.index:
            asked = [message for message in talk.said.fork(order.index + 1) if message.role == "user"]
            if asked == [message for message in same if message.role == "user"]:
                talks[name] = talk.edit(order.index, order.text)
    return {name: talks[name] for name in session.columns if name in talks}, False, ()


def _to_continue(session: Session, runs: RunStore, order: Order) -> _Prepared:
    talk = _column(session, order.model).talk
    place = talk.find(order.run)
    if place is None:
        raise wb.WorkbenchError("The reply to go on from is no longer there", remedy="Choose a token of a shown reply")
    inspection = runs.get(order.run)
    start = inspection.prompt_length
    if not start <= order.token < len(inspection.ids):
        raise wb.WorkbenchError(
            f"token {order.token} is not one of the reply", expected=f"{start} to {len(inspection.ids) - 1}"
        )
    begin = (*(int(token) for token in inspection.ids[start : order.token]), order.instead)
    return {order.model: talk.choose(*place)}, True, begin


def _column(session: Session, name: str) -> Column:
    if name not in session.columns:
        raise wb.WorkbenchError(f"there is no column {name[:60]!r}", expected=" or ".join(session.columns))
    return session.columns[name]


_MAKERS: dict[str, Callable[[Session, RunStore, Order], _Prepared]] = {
    "ask": _to_ask,
    "again": _to_repeat,
    "edit": _to_edit,
    "continue": _to_continue,
}
