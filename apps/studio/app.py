"""The page: Chat & inspect with one or two models side by side, and `launch` to serve it."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported: nothing leaves this machine

import gradio as gr

import workbench as wb
from apps.studio.examples import chips, examples
from apps.studio.exchange import ask
from apps.studio.recorded import Recorded, opening
from apps.studio.session import Column, RunStore, Session, Sessions
from apps.studio.shelf import Shelf, title
from apps.studio.state import page_state
from apps.studio.strip import Strip
from apps.studio.theme import page_css, studio_theme
from workbench.errors import WorkbenchError
from workbench.views import answer, bundle, tokens

TWINS = ("twin-v0.1", "twin-v0.2")
BOTH = "both"
MOST_CHARACTERS = 200_000
NEW_TOKENS = 64
"""The longest reply until a visitor chooses otherwise."""
STOP_SECONDS = 15.0
"""How long Clear waits for models that it has asked to stop."""
WAITING = 16
"""Visitors that may wait for a model before the next one is turned away with a sentence."""

_READY = "while (!window.workbench || !window.workbench.studio) await new Promise((r) => setTimeout(r, 10));"


def build(
    models: Sequence[str | wb.Model] = TWINS, recorded: Recorded | None = None, new_tokens: int = NEW_TOKENS
) -> gr.Blocks:
    """The page as Gradio Blocks; nothing is loaded yet. ``recorded`` is the exchange it opens with, ``new_tokens`` the
    longest reply that its settings start with."""
    shelf, runs = Shelf(models), RunStore()
    start = _Opening(shelf, runs, recorded)
    sessions = Sessions(start.session, runs)
    switches = {title(name).removeprefix("twin-"): [name] for name in shelf.names}
    if len(shelf.names) > 1:
        switches |= {BOTH: list(shelf.names)}

    def respond(text: str | None, settings: Sequence[Any], request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """Stream one exchange: (chat, composer, send, stop, again) updates."""
        session = sessions.of(request.session_hash)
        if text is not None and not text.strip():
            gr.Info("Type a question first.")
            yield page_state(session, shelf), *_skipped(4)
            return
        with session.lock:
            if session.busy:
                gr.Info("A reply is still being written. Stop it, or wait for its end.")
                yield page_state(session, shelf), *_skipped(4)
                return
            session.rest.clear()
        try:
            if session.recorded:
                start.clear(session)
            for moment, _ in enumerate(ask(session, shelf, runs, text, _sampling(settings, session, text))):
                buttons = _buttons(busy=True, clear=text is not None) if not moment else _skipped(4)
                yield page_state(session, shelf), *buttons
        except WorkbenchError as error:
            gr.Warning(str(error))
        finally:
            session.stop()
            session.rest.set()
        yield page_state(session, shelf), *_skipped(4)

    def idle() -> tuple[Any, ...]:
        """The buttons after an exchange. A step of its own: a click on Send before Gradio has closed the last one would
        be dropped without a word."""
        return _buttons(busy=False)

    # Gradio finds a request among named arguments only, so the settings are named here and not starred.
    def send(
        text: str, longest: int, temperature: float, top_p: float, top_k: int, penalty: float, seed: int,
        request: gr.Request,
    ) -> Iterator[tuple[Any, ...]]:  # fmt: skip
        yield from respond(text, (longest, temperature, top_p, top_k, penalty, seed), request)

    def again(
        longest: int, temperature: float, top_p: float, top_k: int, penalty: float, seed: int, request: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        session = sessions.of(request.session_hash)
        if session.recorded or not any(len(session.columns[name].settled()) for name in session.shown):
            gr.Info("There is no reply to write again yet.")
            yield page_state(session, shelf), *_skipped(4)
            return
        yield from respond(None, (longest, temperature, top_p, top_k, penalty, seed), request)

    def stop(request: gr.Request) -> None:
        sessions.of(request.session_hash).stop()

    def clear(request: gr.Request) -> dict[str, Any]:
        session = sessions.of(request.session_hash)
        session.stop()
        if session.rest.wait(STOP_SECONDS):
            start.clear(session)
        else:
            gr.Info("The models are still reading. Clear again when they have stopped.")
        return page_state(session, shelf)

    def show(choice: str, request: gr.Request) -> tuple[Any, ...]:
        session = sessions.of(request.session_hash)
        if session.busy:
            gr.Info("The models change when this reply has ended.")
            kept = next(name for name, models in switches.items() if models == session.shown)
            return page_state(session, shelf), gr.skip(), gr.update(value=kept)
        session.shown = list(switches[choice])
        if session.selection and not any(session.columns[n].run == session.selection["run"] for n in session.shown):
            start.select(session)
        return page_state(session, shelf), gr.update(value=_ask_label(session.shown)), gr.skip()

    def leave(request: gr.Request) -> None:
        sessions.close(request.session_hash)

    def look(request: dict[str, Any]) -> dict[str, Any]:
        """What a view asks for: a payload, or {"error": sentence}. Never runs a model."""
        try:
            run = request.get("run") if isinstance(request, dict) else None
            return answer(runs.get(run), str(run), request)
        except WorkbenchError as error:
            return {"error": str(error)}

    look.__name__ = "answer"
    first = start.session("")
    with gr.Blocks(title="Mistral workbench", fill_width=True, analytics_enabled=False) as page:
        with gr.Row(equal_height=True, elem_id="wb-top"):
            gr.HTML(
                js_on_load=f"(async () => {{ {_READY} window.workbench.studio.header(element); }})();",
                html_template="<div></div>",
                apply_default_css=False,
                head=f"<script>{bundle([Path(__file__).parent / 'studio.js'])}</script>",
                elem_id="wb-header",
            )
        with gr.Row(elem_id="wb-page-row"):
            with gr.Column(scale=9, min_width=330, elem_id="wb-left"):
                switch = gr.Radio(
                    list(switches), value=list(switches)[-1], show_label=False, container=False, elem_id="wb-switch",
                    label="Models", interactive=True, visible=len(switches) > 1,
                )  # fmt: skip
                chat = gr.HTML(
                    value=page_state(first, shelf),
                    html_template="<div></div>",
                    apply_default_css=False,
                    js_on_load=f"(async () => {{ {_READY} window.workbench.studio.chat(element, props, watch); }})();",
                    elem_id="wb-chat",
                )
                with gr.Column(elem_id="wb-composer"):
                    composer = gr.Textbox(
                        placeholder="Ask something", show_label=False, label="Question", lines=1, max_lines=8,
                        container=False, max_length=MOST_CHARACTERS, elem_id="wb-question", interactive=True,
                    )  # fmt: skip
                    with gr.Row(elem_id="wb-actions"):
                        sender = gr.Button(_ask_label(shelf.names), variant="primary", elem_id="wb-send")
                        stopper = gr.Button("Stop", elem_id="wb-stop", interactive=False)
                        repeat = gr.Button("Regenerate", elem_id="wb-again")
                        clearer = gr.Button("Clear", elem_id="wb-clear")
                with gr.Row(elem_id="wb-chips"):
                    offered = [(gr.Button(one.title, size="sm"), one.question) for one in chips(examples())]
                with gr.Accordion("Sampling settings", open=False, elem_id="wb-settings"):
                    settings = _settings(new_tokens)
            with gr.Column(scale=11, min_width=330, elem_id="wb-right"):
                gr.HTML(
                    html_template="<div></div>",
                    apply_default_css=False,
                    js_on_load=f"(async () => {{ {_READY} window.workbench.studio.inspect(element, server); }})();",
                    server_functions=[look],
                    elem_id="wb-inspector",
                )
        outputs = [chat, composer, sender, stopper, repeat]
        model_work: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1, "show_progress": "hidden"}
        quick: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
        asked = [
            event(send, [source, *settings], outputs, api_name=name, api_visibility="private", **model_work)
            for name, event, source in (
                ("ask", sender.click, composer),
                ("ask_by_key", composer.submit, composer),
                *((f"example_{i}", chip.click, gr.State(text)) for i, (chip, text) in enumerate(offered)),
            )
        ]
        asked.append(repeat.click(again, settings, outputs, api_name="again", api_visibility="private", **model_work))
        for i, event in enumerate(asked):
            event.then(idle, None, outputs[1:], api_name=f"idle_{i}", **quick)
        stopper.click(stop, None, None, api_name="stop", **quick)
        clearer.click(clear, None, chat, api_name="clear", **quick)
        switch.input(show, switch, [chat, sender, switch], api_name="show", **quick)
        page.unload(leave)
    page.queue(max_size=WAITING, default_concurrency_limit=8)
    page.shelf = shelf
    return page


class _Opening:
    """How a tab begins: with the recorded exchange, or empty."""

    def __init__(self, shelf: Shelf, runs: RunStore, recorded: Recorded | None) -> None:
        self.shelf = shelf
        self.recorded = recorded if recorded and set(shelf.names) <= set(recorded.runs) else None
        self.strips: dict[str, Strip] = {}
        if self.recorded:
            for name in shelf.names:
                runs.pin(f"recorded-{name}", self.recorded.runs[name])
                self.strips[name] = Strip.of(tokens.pack(self.recorded.runs[name], f"recorded-{name}"))

    def session(self, owner: str) -> Session:
        session = Session(owner, {name: Column(name) for name in self.shelf.names}, list(self.shelf.names))
        if self.recorded:
            session.recorded = (
                f"Recorded from the shipped twins: “{self.recorded.title}”. Ask anything to begin your own."
            )
            for name, column in session.columns.items():
                found = self.recorded.runs[name]
                reply = {"role": "assistant", "content": found.reply}
                column.conversation = wb.Conversation.of([*self.recorded.messages, reply])
                column.run, column.strip, column.facts = f"recorded-{name}", self.strips[name], found.model
                column.used = len(found.ids)
                column.footers = {len(self.recorded.messages): f"recorded · {len(found.steps)} tokens, greedy"}
            self.select(session)
        return session

    def clear(self, session: Session) -> None:
        """An empty tab in place of what was said."""
        session.recorded, session.selection = "", {}
        session.columns = {name: Column(name) for name in self.shelf.names}

    def select(self, session: Session) -> None:
        """Preselect the first token of the first shown reply."""
        column = session.columns[session.shown[0]]
        if column.run and column.strip:
            session.select(column.run, min(column.strip.prompt_length, column.used - 1))


def _settings(new_tokens: int) -> list[Any]:
    """Inputs in the order `_sampling` reads them."""
    with gr.Row():
        longest = gr.Slider(1, 1024, new_tokens, step=1, label="Longest reply (tokens)", interactive=True)
        temperature = gr.Slider(0, 2, 0, step=0.05, label="Temperature (0: greedy)", interactive=True)
    with gr.Row():
        top_p = gr.Slider(0.05, 1, 1, step=0.05, label="Top-p", interactive=True)
        top_k = gr.Slider(0, 200, 0, step=1, label="Top-k (0: off)", interactive=True)
    with gr.Row():
        penalty = gr.Slider(1, 2, 1, step=0.05, label="Repetition penalty (1: off)", interactive=True)
        seed = gr.Number(0, label="Seed", precision=0, minimum=0, interactive=True)
    return [longest, temperature, top_p, top_k, penalty, seed]


def _sampling(values: Sequence[Any], session: Session, text: str | None) -> wb.Sampling:
    """The settings of the page. Another version of a reply takes the next seed, so that it can differ."""
    longest, temperature, top_p, top_k, penalty, seed = values
    made = wb.Sampling(
        max_new_tokens=int(longest), temperature=float(temperature), top_p=float(top_p), top_k=int(top_k),
        repetition_penalty=float(penalty), seed=int(seed or 0),
    )  # fmt: skip
    if text is not None:
        return made
    if made.temperature == 0:
        gr.Info("Greedy decoding gives the same reply again; raise the temperature for another one.")
        return made
    versions = max(len(c.settled().versions[-1]) for c in session.columns.values() if len(c.settled()))
    return replace(made, seed=made.seed + versions)


def _ask_label(shown: Sequence[str]) -> str:
    return "Ask both models" if len(shown) > 1 else f"Ask {title(shown[0])}"


def _buttons(busy: bool, clear: bool = False) -> tuple[Any, ...]:
    """Updates of composer, send, stop and regenerate."""
    return (
        gr.update(value="") if clear else gr.skip(),
        gr.update(interactive=not busy),
        gr.update(interactive=busy),
        gr.update(interactive=not busy),
    )


def _skipped(count: int) -> tuple[Any, ...]:
    return tuple(gr.skip() for _ in range(count))


def launch(
    models: Sequence[str | wb.Model] = TWINS, *, host: str = "127.0.0.1", port: int | None = 7860, share: bool = False,
    browser: bool = True, recorded: Recorded | None = None, new_tokens: int = NEW_TOKENS, block: bool = True,
) -> str:  # fmt: skip
    """Serve the page, print its address, load the models meanwhile, and wait; the address, when ``block`` is False.

    ``port`` is the first to try of 50; None takes any that is free. ``recorded`` defaults to the shipped exchange.
    """
    page = build(models, recorded if recorded is not None else opening(), new_tokens)
    _, address, shared = page.launch(
        server_name=host, server_port=_free_port(host, port), share=share, inbrowser=browser, prevent_thread_lock=True,
        quiet=True, show_error=True, footer_links=[], run_history=False, ssr_mode=False, theme=studio_theme(),
        head=f"<style>{page_css()}</style>",  # not css=: Gradio would put its own container in front of every rule
    )  # fmt: skip
    print(f"The workbench is open at {shared or address}", flush=True)
    threading.Thread(target=page.shelf.warm, daemon=True).start()
    if block:
        page.block_thread()
    return str(address)


def _free_port(host: str, first: int | None) -> int:
    """The first free port of 50 from ``first`` on, or any free one for None."""
    for candidate in [0] if first is None else range(first, first + 50):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, candidate))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise WorkbenchError(f"no port of {host} from {first} on is free", remedy="Name another with --port")


if __name__ == "__main__":
    launch()
