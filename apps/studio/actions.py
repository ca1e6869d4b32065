"""What a tab does without a model: choose a version, fork, undo, change conversations, switch a model's architecture,
export and import. Each returns what the page has to do besides drawing the new state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apps.studio.exported import export_chat, import_chat
from apps.studio.guards import Guards
from apps.studio.session import BusyError, Column, Session
from apps.studio.shelf import Shelf
from apps.studio.showing import select_reply, show_reply
from apps.studio.studio import Studio
from apps.studio.switching import OWN, cache_of, switches_of
from apps.studio.talk import Talk
from workbench.errors import WorkbenchError

Request = dict[str, Any]


def act(studio: Studio, session: Session, request: Request) -> dict[str, Any]:
    """Do what ``request["kind"]`` names: what the page shall do besides, as a sentence to "say", a "file" to save, a
    "text" for the composer. BusyError while a reply is being written, WorkbenchError for what cannot be done."""
    kind = request.get("kind")
    if kind == "look":
        return {}
    action = _ACTIONS.get(kind) if isinstance(kind, str) else None
    if action is None:
        raise WorkbenchError(f"the page asked for {str(kind)[:40]!r}", expected=", ".join(_ACTIONS))
    if kind == "switch" and not session.busy:
        studio.shelf.get(_column(session, request).model)  # may have to be loaded: nobody waits for the lock meanwhile
    if kind == "fits":  # changes nothing, and may wait for a model to be loaded
        return action(studio, session, request) or {}
    with session.lock:
        if session.busy and kind != "export":
            raise BusyError()
        return action(studio, session, request) or {}


def _choose(studio: Studio, session: Session, request: Request) -> None:
    column, index = _message(session, request)
    version = request.get("version")
    if isinstance(version, bool) or not isinstance(version, int):
        raise WorkbenchError("the version is no number")
    chosen = column.talk.choose(index, version)
    if len(chosen) < len(column.talk.settled()):  # what followed the other version stays in the list
        session.branch({column.model: chosen})
    else:
        column.talk = chosen
    _show(studio, session, [column])


def _open(studio: Studio, session: Session, request: Request) -> None:
    column, index = _message(session, request)
    show_reply(column, studio.runs, index)
    select_reply(session, column)


def _fork(studio: Studio, session: Session, request: Request) -> dict[str, Any]:
    column, index = _message(session, request)
    said = column.talk.said.fork(index + 1)
    questions = [message.content for message in said if message.role == "user"]
    talks = {}
    for name, other in session.columns.items():
        same = [m.content for m in other.talk.said.messages[: index + 1] if m.role == "user"] == questions
        talks[name] = other.talk.fork(index + 1) if same and len(other.talk) > index else Talk()
    before = session.number
    session.branch(talks)
    _show(studio, session)
    return {"say": f"Conversation {session.number} goes on from here. Conversation {before} is in the list."}


def _undo(studio: Studio, session: Session, request: Request) -> dict[str, Any]:
    talks, question = {}, ""
    for name in session.shown:
        talk = session.columns[name].talk
        if any(message.role == "user" for message in talk.said):
            talks[name] = talk.fork(len(talk.said.undo()))
            question = talk.said[len(talks[name])].content
    if not talks:
        raise WorkbenchError("There is nothing to undo")
    session.branch(talks)
    _show(studio, session)
    return {"text": question, "say": "The last question is back in its field; what was said stays in the list."}


def _new(studio: Studio, session: Session, request: Request) -> None:
    session.branch({name: Talk() for name in session.columns})
    _show(studio, session)


def _recorded(studio: Studio, session: Session, request: Request) -> None:
    exchange = studio.opening.exchanges.get(str(request.get("id")))
    if exchange is None:
        raise WorkbenchError("There is no recorded exchange of that name", remedy="Choose one of the list")
    session.branch({name: Talk() for name in session.columns})
    studio.opening.show(session, exchange)


def _thread(studio: Studio, session: Session, request: Request) -> None:
    number = request.get("number")
    thread = session.threads.get(number) if isinstance(number, int) else None
    if thread is None:
        raise WorkbenchError("This conversation is no longer in the list")
    session.keep()
    session.number, session.recorded = thread.number, thread.recorded
    for name, column in session.columns.items():
        column.talk = thread.talks.get(name, Talk())
    _show(studio, session)


def _switch(studio: Studio, session: Session, request: Request) -> dict[str, Any]:
    column = _column(session, request)
    switches = switches_of(studio.shelf.get(column.model), request.get("window"), request.get("theta"))
    column.switches, column.cache = switches, cache_of(request.get("cache", OWN))
    return {"say": "The switches hold from the next reply on." if len(column.talk) else ""}


def _guard(studio: Studio, session: Session, request: Request) -> dict[str, Any]:
    session.guards = Guards.of(request)
    asked = any(len(column.talk) for column in session.columns.values())
    return {"say": "The guardrails hold from the next reply on." if asked else ""}


def _export(studio: Studio, session: Session, request: Request) -> dict[str, Any]:
    if not any(len(column.talk) for column in session.columns.values()):
        raise WorkbenchError("There is nothing to export yet", remedy="Ask something first")
    return {"file": {"name": f"conversation-{session.number}.json", "text": export_chat(session)}}


def _import(studio: Studio, session: Session, request: Request) -> dict[str, Any]:
    text = request.get("text")
    if not isinstance(text, str):
        raise WorkbenchError("The file is empty", expected="a conversation exported here, or a list of messages")
    talks = import_chat(text, studio.shelf.names)
    session.branch({name: talks.get(name, Talk()) for name in session.columns})
    session.keep()
    _show(studio, session)
    return {"say": f"Imported as conversation {session.number}."}


def _fits(studio: Studio, session: Session, request: Request) -> dict[str, Any]:
    """Whether the question being typed, and a reply of some length, still fit: {"fits": a sentence, or ""}."""
    text, longest = request.get("text"), request.get("longest")
    if not isinstance(text, str) or not text.strip():
        return {"fits": ""}
    reply = longest if isinstance(longest, int) and not isinstance(longest, bool) else 0
    found = [_fit(studio.shelf, session, session.columns[name], text, reply) for name in session.shown]
    return {"fits": " ".join(sentence for sentence in found if sentence)}


def _fit(shelf: Shelf, session: Session, column: Column, text: str, reply: int) -> str:
    model = shelf.get(column.model)  # no switch changes what it reads, or how much
    talk = Talk() if session.recorded else column.talk.settled()
    tokens = len(model.encode(session.guards.said(talk.question(text).said)))
    name = shelf.label(column.model, column.switches)
    if tokens >= model.context:
        return (
            f"Too long for {name}: {tokens} tokens with what was said, of {model.context}. Shorten it, or begin anew."
        )
    if tokens + reply > model.context:
        return f"{name} has room for {model.context - tokens} tokens of reply; a longer one is cut."
    return ""


def _show(studio: Studio, session: Session, columns: list[Column] | None = None) -> None:
    for column in columns or session.columns.values():
        show_reply(column, studio.runs)
        if session.number not in session.threads and not len(column.talk):
            column.note = ""
    shown = [session.columns[name] for name in session.shown]
    kept = {column.run for column in shown if column.run}
    if columns or session.selection.get("run") not in kept:
        for column in columns or shown:
            if column.run:
                select_reply(session, column)
                break


def _column(session: Session, request: Request) -> Column:
    column = session.columns.get(str(request.get("model")))
    if column is None:
        raise WorkbenchError("there is no such column", expected=" or ".join(session.columns))
    return column


def _message(session: Session, request: Request) -> tuple[Column, int]:
    column, index = _column(session, request), request.get("index")
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(column.talk):
        raise WorkbenchError("This message is no longer there", remedy="Reload the page")
    return column, index


_ACTIONS: dict[str, Callable[[Studio, Session, Request], dict[str, Any] | None]] = {
    "choose": _choose,
    "open": _open,
    "fork": _fork,
    "undo": _undo,
    "new": _new,
    "recorded": _recorded,
    "thread": _thread,
    "switch": _switch,
    "guard": _guard,
    "export": _export,
    "import": _import,
    "fits": _fits,
}
