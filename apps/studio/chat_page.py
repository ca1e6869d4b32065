"""Chat & inspect: one or two columns of conversation on the left, the inspector of the selected token on the right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from apps.studio.chat_events import ChatEvents, ask_label
from apps.studio.examples import chips, examples
from apps.studio.measure_events import MeasureEvents
from apps.studio.opinion_events import OpinionEvents
from apps.studio.page_parts import drawn
from apps.studio.runs_page import run_events
from apps.studio.sections import sentences
from apps.studio.settings import MOST_NEW_TOKENS, settings_inputs
from apps.studio.state import page_state
from apps.studio.studio import Studio

MOST_CHARACTERS = 200_000
KEYED = "async (_, ...values) => [await window.workbench.tab.key(), ...values]"
"""Puts the tab's key in the place of an event's first input."""

EVERY = {"trigger_mode": "multiple"}
"""For events that the server itself answers while one of them is open. Gradio's page would drop such a click without a
word, also in the moment between the last output, which the visitor sees, and the end of the event."""


def chat_page(page: gr.Blocks, studio: Studio, new_tokens: int) -> None:
    """Lay out the page inside ``page`` and wire its events; ``new_tokens`` is the longest reply it starts with."""
    events, choices, faults = ChatEvents(studio), list(studio.choices), studio.admission.faults
    key = gr.Textbox(visible=False, elem_id="wb-key")  # its value is put in by the browser, with every event
    with gr.Row(elem_id="wb-page-row"):
        with gr.Column(scale=9, min_width=330, elem_id="wb-left"):
            with gr.Row(elem_id="wb-bar"):
                switch = gr.Radio(
                    choices, value=choices[-1], show_label=False, container=False, elem_id="wb-switch", label="Models",
                    interactive=True, visible=len(choices) > 1,
                )  # fmt: skip
                drawn("menu.menu(element)", "wb-menu")
            first = page_state(studio.opening.session(""), studio.shelf)
            # Gradio finds the names of events in this text.
            order = "(order) => trigger('order', order), () => trigger('restore', {})"
            chat = drawn(
                f"chat.chat(element, props, watch, server, {order})",
                "wb-chat",
                value=first,
                functions=[events.act],
                faults=faults,
            )
            if studio.opinions is not None:
                asked_for = [sentences(one) for one in OpinionEvents(studio, studio.opinions).functions]
                drawn("opinions.opinions(element, server)", "wb-opinions", functions=asked_for, faults=faults)
            with gr.Column(elem_id="wb-composer"):
                composer = gr.Textbox(
                    placeholder="Ask something", show_label=False, label="Question", lines=1, max_lines=8,
                    container=False, max_length=MOST_CHARACTERS, elem_id="wb-question", interactive=True,
                )  # fmt: skip
                with gr.Row(elem_id="wb-actions"):
                    sender = gr.Button(ask_label(studio.shelf.names), variant="primary", elem_id="wb-send")
                    stopper = gr.Button("Stop", elem_id="wb-stop", interactive=False)
                    repeat = gr.Button("Regenerate", elem_id="wb-again")
                    drawn("composer.undo(element)", "wb-undo")
                    clearer = gr.Button("New", elem_id="wb-clear")
                drawn("composer.composer(element)", "wb-fits")
            with gr.Row(elem_id="wb-chips"):
                offered = [(gr.Button(one.title, size="sm"), one.question) for one in chips(examples())]
                told = {"exchanges": studio.opening.offered()}
                drawn("recordings.recordings(element, props)", "wb-recordings", value=told)
            with gr.Accordion("Sampling settings", open=False, elem_id="wb-settings"):
                settings = settings_inputs(new_tokens, studio.settings.max_new_tokens or MOST_NEW_TOKENS)
                drawn("guards.guards(element)", "wb-guards")
        with gr.Column(scale=11, min_width=330, elem_id="wb-right"):
            asked_for = [events.answer, studio.pairs.difference]
            drawn("host.inspect(element, server)", "wb-inspector", functions=asked_for, faults=faults)
            # Gradio finds the names of events in this text.
            asking = "(asked) => trigger('measure', asked), (asked) => trigger('halt', asked)"
            measuring = drawn(f"measuring.measuring(element, props, watch, {asking})", "wb-measuring")
            kept = run_events(studio)
            asked_for = [kept.listed, kept.seen, kept.export]
            drawn("kept.kept(element, server)", "wb-kept", functions=asked_for, faults=faults)
    outputs = [chat, composer, sender, stopper, repeat]
    # No limit of Gradio's own: who has to wait is told so by `Admission`, in the tab that waits.
    model_work: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": None, "show_progress": "hidden"}
    quick: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private", **EVERY}
    keyed = {"js": KEYED}
    asked = [
        event(send, [key, composer, *settings], outputs, api_name=name, api_visibility="private", **keyed, **model_work)
        for name, event, send in (
            ("ask", sender.click, events.send),
            ("ask_by_key", composer.submit, events.send),
            *((f"example_{i}", chip.click, _asking(events, text)) for i, (chip, text) in enumerate(offered)),
        )
    ]
    own = [key, *settings]
    for name, event, function in (("again", repeat.click, events.again), ("order", chat.order, events.ordered)):
        more = {**keyed, **model_work, **EVERY}
        asked.append(event(function, own, outputs, api_name=name, api_visibility="private", **more))
    for i, event in enumerate(asked):
        event.then(events.idle, own, [*outputs[1:], settings[-1]], api_name=f"idle_{i}", **keyed, **quick)
    stopper.click(events.stop, key, None, api_name="stop", **keyed, **quick)
    clearer.click(events.clear, key, chat, api_name="clear", **keyed, **quick)
    switch.input(events.show, [key, switch], [chat, sender, switch], api_name="show", **keyed, **quick)
    # Not page.load: a tab that is new has nothing to restore, and its visitor may be changing a setting by then.
    had = [chat, switch, sender, stopper, *settings]
    chat.restore(events.restore, key, had, api_name="restore", **keyed, **quick)
    measured = MeasureEvents(studio.pairs, studio.admission)
    again = {**model_work, **EVERY}
    measuring.measure(measured.measure, None, measuring, api_name="measure", api_visibility="private", **again)
    measuring.halt(measured.halt, None, None, api_name="halt", **quick)
    page.unload(events.leave)


def _asking(events: ChatEvents, question: str) -> Callable[..., Iterator[Any]]:
    """The event of a chip, which asks ``question`` whatever the composer holds."""

    def send(
        key: str, _: str, longest: float, temperature: float, top_p: float, top_k: float, penalty: float, seed: float,
        request: gr.Request,
    ) -> Iterator[Any]:  # fmt: skip
        yield from events.send(key, question, longest, temperature, top_p, top_k, penalty, seed, request)

    return send
