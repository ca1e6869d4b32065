"""The sampling settings of the page: their inputs, and the `Sampling` they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

import workbench as wb
from apps.studio.session import Session

NEW_TOKENS = 64
"""The longest reply until a visitor chooses otherwise."""


def settings_inputs(new_tokens: int) -> list[Any]:
    """Inputs in the order `sampling_of` reads them."""
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


def sampling_of(values: Sequence[Any], session: Session, text: str | None) -> wb.Sampling:
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
