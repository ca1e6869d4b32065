"""The sampling settings of the page: their inputs, and the `Sampling` they stand for."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

import workbench as wb
from apps.studio.presets import CUSTOM, PRESETS
from workbench.errors import SamplingError

NEW_TOKENS = 64
"""The longest reply until a visitor chooses otherwise."""
MOST_NEW_TOKENS = 1024
"""The longest reply that the page offers."""


SEED = "Seed"


def settings_inputs(new_tokens: int, most: int = MOST_NEW_TOKENS) -> list[Any]:
    """Inputs in the order `sampling_of` reads them; the presets above them follow and lead in the browser. ``most`` is
    the longest reply that can be chosen, ``new_tokens`` the one it starts with."""
    preset = gr.Radio([*PRESETS, CUSTOM], value="Greedy", label="Preset", interactive=True, elem_id="wb-preset")
    with gr.Row():
        longest = gr.Slider(1, most, min(new_tokens, most), step=1, label="Longest reply (tokens)", interactive=True)
        seed = gr.Number(0, label=SEED, precision=0, minimum=0, interactive=True, elem_id="wb-seed")
    with gr.Row():
        temperature = gr.Slider(0, 2, 0, step=0.05, label="Temperature (0: greedy)", interactive=True)
        top_p = gr.Slider(0.05, 1, 1, step=0.01, label="Top-p", interactive=True)
    with gr.Row():
        top_k = gr.Slider(0, 200, 0, step=1, label="Top-k (0: off)", interactive=True)
        penalty = gr.Slider(1, 2, 1, step=0.05, label="Repetition penalty (1: off)", interactive=True)
    own = [temperature, top_p, top_k, penalty]
    known = json.dumps(PRESETS)
    private: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    preset.input(
        None, [preset, *own], own, js=f"(name, ...now) => ({known})[name] || now", api_name="preset", **private
    )
    match = f"""(...now) => {{
        const greedy = (values) => now[0] === 0 && values[0] === 0 && now[3] === values[3];
        const same = (values) => greedy(values) || values.every((value, i) => value === now[i]);
        const found = Object.entries({known}).find(([, values]) => same(values));
        return found ? found[0] : {json.dumps(CUSTOM)};
    }}"""
    for place, setting in enumerate(own):
        setting.change(None, own, preset, js=match, api_name=f"preset_{place}", **private)
    return [longest, temperature, top_p, top_k, penalty, seed]


def sampling_of(values: Sequence[Any], used: Collection[int] = ()) -> wb.Sampling:
    """The settings of the page. Another version takes the next seed that none of those ``used`` was, so that it can
    differ; greedy decoding looks at no seed. SamplingError for what is no finite number."""
    if not all(_finite(value) for value in values):
        raise SamplingError("A sampling setting is empty or not finite", expected="a number", remedy="Fill it in")
    longest, temperature, top_p, top_k, penalty, seed = values
    made = wb.Sampling(
        max_new_tokens=int(longest), temperature=float(temperature), top_p=float(top_p), top_k=int(top_k),
        repetition_penalty=float(penalty), seed=int(seed),
    )  # fmt: skip
    return made if made.temperature == 0 else replace(made, seed=next_seed(made.seed, used))


def next_seed(seed: int, used: Collection[int]) -> int:
    """The first seed from ``seed`` on that was not ``used``."""
    while seed in used:
        seed += 1
    return seed


def seed_label(values: Sequence[Any], used: Collection[int]) -> str:
    """What stands over the seed: which one another version of the last reply would take."""
    seed, temperature = values[5], values[1]
    if not used or not _finite(seed) or not temperature:
        return SEED
    return f"{SEED} (Regenerate takes {next_seed(int(seed), used)})"


def _finite(value: Any) -> bool:
    """Whether it is a number that both int and float take."""
    return isinstance(value, int | float) and -1e300 < value < 1e300
