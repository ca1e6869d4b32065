"""What the buttons of Chat & inspect do. Every event brings the key of its tab."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from apps.server.door import CLIENT, address
from apps.studio.actions import act
from apps.studio.exchange import ask
from apps.studio.looking import looked
from apps.studio.orders import Order
from apps.studio.session import BusyError, Session
from apps.studio.settings import sampling_of, seed_label
from apps.studio.shelf import title
from apps.studio.state import page_state, streamed
from apps.studio.studio import Studio
from workbench.errors import WorkbenchError

STOP_SECONDS = 15.0
"""How long a new conversation waits for models that it has asked to stop."""

Update = tuple[Any, ...]
"""Updates of (chat, composer, send, stop, again)."""


class ChatEvents:
    """The events of one served app."""

    def __init__(self, studio: Studio) -> None:
        self.studio, self.shelf, self.runs = studio, studio.shelf, studio.runs

    def respond(self, key: str, order: Order, settings: Sequence[Any], request: gr.Request) -> Iterator[Update]:
        """Stream one exchange."""
        session = self._tab(key, request)
        try:
            if order.kind in ("ask", "edit") and not order.text.strip():
                raise WorkbenchError("Type a question first")
            session.settings = list(settings)
            sampling = sampling_of(settings, _used_seeds(session, order))
            asked = ask(session, self.shelf, self.runs, order, sampling, self.studio.admission, self._client(request))
            for moment, _ in enumerate(asked):
                now = buttons(busy=True, clear=order.kind == "ask") if not moment else _skipped(4)
                yield streamed(session, self.shelf), *now
        except BusyError as error:
            gr.Info(str(error))
        except Exception as error:
            gr.Warning(self.studio.admission.faults.told(error))
        yield streamed(session, self.shelf), *_skipped(4)
        yield _skipped(5)  # Gradio sends what came last once more, in full

    # Gradio finds a request among named arguments only, so the settings are named here and not starred.
    def send(
        self, key: str, text: str, longest: float, temperature: float, top_p: float, top_k: float, penalty: float,
        seed: float, request: gr.Request,
    ) -> Iterator[Update]:  # fmt: skip
        settings = (longest, temperature, top_p, top_k, penalty, seed)
        yield from self.respond(key, Order("ask", text or ""), settings, request)

    def again(
        self, key: str, longest: float, temperature: float, top_p: float, top_k: float, penalty: float, seed: float,
        request: gr.Request,
    ) -> Iterator[Update]:  # fmt: skip
        settings = (longest, temperature, top_p, top_k, penalty, seed)
        yield from self.respond(key, Order("again"), settings, request)

    def ordered(
        self, key: str, longest: float, temperature: float, top_p: float, top_k: float, penalty: float, seed: float,
        request: gr.Request, event: gr.EventData,
    ) -> Iterator[Update]:  # fmt: skip
        """An action of a message: regenerate, edit, continue from a token."""
        settings = (longest, temperature, top_p, top_k, penalty, seed)
        yield from self.respond(key, _order(event._data), settings, request)

    def idle(
        self, key: str, longest: float, temperature: float, top_p: float, top_k: float, penalty: float, seed: float,
        request: gr.Request,
    ) -> Update:  # fmt: skip
        """The buttons after an exchange, and the seed that another version would take. A step of its own: a click on
        Send before Gradio has closed the last one would be dropped without a word."""
        session = self._tab(key, request)
        if session.busy:  # with another exchange: its own end frees them
            return _skipped(5)
        label = seed_label((longest, temperature, top_p, top_k, penalty, seed), _used_seeds(session, Order("again")))
        return *buttons(busy=False), gr.update(label=label)

    def stop(self, key: str, request: gr.Request) -> None:
        self._tab(key, request).stop()

    def clear(self, key: str, request: gr.Request) -> dict[str, Any]:
        """Stop, and begin a new conversation."""
        session = self._tab(key, request)
        session.stop()
        if session.rest.wait(STOP_SECONDS):
            if error := self.act({"key": key, "kind": "new"}).get("error"):  # another exchange was quicker
                gr.Info(error)
        else:
            gr.Info("The models are still reading. Try again when they have stopped.")
        return page_state(session, self.shelf)

    def show(self, key: str, choice: str, request: gr.Request) -> Update:
        """Updates of (chat, send, switch)."""
        session = self._tab(key, request)
        choices = self.studio.choices
        if choice not in choices:
            raise gr.Error("There is no such choice of models. Reload the page.", print_exception=False)
        with session.lock:  # no reply begins between the look at it and the change
            if session.busy:
                gr.Info("The models change when this reply has ended.")
                return page_state(session, self.shelf), gr.skip(), gr.update(value=_choice(choices, session))
            session.shown = list(choices[choice])
            if session.selection and not any(session.columns[n].run == session.selection["run"] for n in session.shown):
                self.studio.opening.select(session)
        return page_state(session, self.shelf), gr.update(value=ask_label(session.shown)), gr.skip()

    def restore(self, key: str, request: gr.Request) -> Update:
        """What a tab that was here before had; updates of (chat, switch, send, stop, settings...)."""
        known = self.studio.sessions.knows(key)
        session = self._tab(key, request)
        if not known:
            return _skipped(10)
        settings = [gr.update(value=value) for value in session.settings] or _skipped(6)
        return (
            page_state(session, self.shelf), gr.update(value=_choice(self.studio.choices, session)),
            gr.update(value=ask_label(session.shown)), gr.update(interactive=session.busy), *settings,
        )  # fmt: skip

    def leave(self, request: gr.Request) -> None:
        self.studio.sessions.leave(request.session_hash)

    def act(self, request: dict[str, Any]) -> dict[str, Any]:
        """What a tab does without a model: {"state", and what else the page has to do}, or {"error": sentence}."""
        try:
            if not isinstance(request, dict):
                raise WorkbenchError("the page sent something else than a request")
            session = self.studio.sessions.of(request.get("key"), client=CLIENT.get())
            try:
                found = act(self.studio, session, request)
            except WorkbenchError as error:
                found = {"error": str(error)}
            if session.notice:
                found, session.notice = {"say": session.notice} | found, ""
            return found if "fits" in found else found | {"state": page_state(session, self.shelf)}
        except WorkbenchError as error:
            return {"error": str(error)}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """What a view asks for: a payload, or {"error": sentence}. Never runs a model."""
        try:
            run, tab = (request.get("run"), request.get("tab")) if isinstance(request, dict) else (None, None)
            return looked(self.runs.get(run, str(tab)), str(run), request)
        except WorkbenchError as error:
            return {"error": str(error)}

    def _tab(self, key: str, request: gr.Request) -> Session:
        try:
            session = self.studio.sessions.of(key, request.session_hash, self._client(request))
        except WorkbenchError as error:
            raise gr.Error(str(error), print_exception=False) from None
        if session.notice:
            gr.Info(session.notice)
            session.notice = ""
        return session

    def _client(self, request: gr.Request) -> str:
        """The address that a request comes from."""
        host = request.client.host if request.client else ""
        return address(host, request.headers, self.studio.settings.proxies)


def ask_label(shown: Sequence[str]) -> str:
    return "Ask both models" if len(shown) > 1 else f"Ask {title(shown[0])}"


def buttons(busy: bool, clear: bool = False) -> Update:
    """Updates of composer, send, stop and regenerate."""
    return (
        gr.update(value="") if clear else gr.skip(),
        gr.update(interactive=not busy),
        gr.update(interactive=busy),
        gr.update(interactive=not busy),
    )


def _choice(choices: dict[str, list[str]], session: Session) -> str:
    return next(name for name, models in choices.items() if models == session.shown)


def _order(found: Any) -> Order:
    """The order that the page sent; what is missing or of another type stays as `Order` has it."""
    found = found if isinstance(found, dict) else {}
    words = {name: found[name] for name in ("kind", "text", "model", "run") if isinstance(found.get(name), str)}
    numbers = {
        name: found[name]
        for name in ("index", "token", "instead")
        if isinstance(found.get(name), int) and not isinstance(found.get(name), bool)
    }
    return Order(**({"kind": ""} | words), **numbers)


def _used_seeds(session: Session, order: Order) -> set[int]:
    """Seeds that a new version shall not take again."""
    if order.kind not in ("again", "continue"):
        return set()
    names = [order.model] if order.model in session.columns else session.shown
    return set().union(*(session.columns[name].talk.seeds(order.index) for name in names))


def _skipped(count: int) -> Update:
    return tuple(gr.skip() for _ in range(count))
