"""Chat & inspect: one or two columns of conversation on the left, the inspector of the selected token on the right."""

from __future__ import annotations

from typing import Any

import gradio as gr

from apps.studio.chat_events import ChatEvents, ask_label
from apps.studio.examples import chips, examples
from apps.studio.page_parts import drawn
from apps.studio.settings import settings_inputs
from apps.studio.state import page_state
from apps.studio.studio import Studio

MOST_CHARACTERS = 200_000


def chat_page(page: gr.Blocks, studio: Studio, new_tokens: int) -> None:
    """Lay out the page inside ``page`` and wire its events; ``new_tokens`` is the longest reply it starts with."""
    events, choices = ChatEvents(studio), list(studio.choices)
    with gr.Row(elem_id="wb-page-row"):
        with gr.Column(scale=9, min_width=330, elem_id="wb-left"):
            switch = gr.Radio(
                choices, value=choices[-1], show_label=False, container=False, elem_id="wb-switch", label="Models",
                interactive=True, visible=len(choices) > 1,
            )  # fmt: skip
            first = page_state(studio.opening.session(""), studio.shelf)
            chat = drawn("chat.chat(element, props, watch)", "wb-chat", value=first)
            with gr.Column(elem_id="wb-composer"):
                composer = gr.Textbox(
                    placeholder="Ask something", show_label=False, label="Question", lines=1, max_lines=8,
                    container=False, max_length=MOST_CHARACTERS, elem_id="wb-question", interactive=True,
                )  # fmt: skip
                with gr.Row(elem_id="wb-actions"):
                    sender = gr.Button(ask_label(studio.shelf.names), variant="primary", elem_id="wb-send")
                    stopper = gr.Button("Stop", elem_id="wb-stop", interactive=False)
                    repeat = gr.Button("Regenerate", elem_id="wb-again")
                    clearer = gr.Button("Clear", elem_id="wb-clear")
            with gr.Row(elem_id="wb-chips"):
                offered = [(gr.Button(one.title, size="sm"), one.question) for one in chips(examples())]
            with gr.Accordion("Sampling settings", open=False, elem_id="wb-settings"):
                settings = settings_inputs(new_tokens)
        with gr.Column(scale=11, min_width=330, elem_id="wb-right"):
            drawn("host.inspect(element, server)", "wb-inspector", functions=[events.answer])
    outputs = [chat, composer, sender, stopper, repeat]
    model_work: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1, "show_progress": "hidden"}
    quick: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    asked = [
        event(events.send, [source, *settings], outputs, api_name=name, api_visibility="private", **model_work)
        for name, event, source in (
            ("ask", sender.click, composer),
            ("ask_by_key", composer.submit, composer),
            *((f"example_{i}", chip.click, gr.State(text)) for i, (chip, text) in enumerate(offered)),
        )
    ]
    asked.append(
        repeat.click(events.again, settings, outputs, api_name="again", api_visibility="private", **model_work)
    )
    for i, event in enumerate(asked):
        event.then(events.idle, None, outputs[1:], api_name=f"idle_{i}", **quick)
    stopper.click(events.stop, None, None, api_name="stop", **quick)
    clearer.click(events.clear, None, chat, api_name="clear", **quick)
    switch.input(events.show, switch, [chat, sender, switch], api_name="show", **quick)
    page.unload(events.leave)
