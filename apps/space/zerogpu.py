"""A GPU that is lent for one visit at a time: ZeroGPU of Hugging Face Spaces, through their `spaces` package.

The models are loaded when the app starts and placed on "cuda", which `spaces` only notes down; their weights are moved
to a GPU in the process that it forks for a visit. Off a Space `spaces.GPU` does nothing, and visits are paid here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import gradio as gr
import spaces
import torch

import workbench as wb
from apps.server.faults import TAKEN
from apps.studio.visit import LentError, Request, Visiting, visit
from apps.studio.writing import Event
from workbench.errors import WorkbenchError

START, READ, WRITE, MODERATE = 12.0, 0.002, 0.06, 4.0
"""Seconds, assumed and not measured on ZeroGPU: moving both 7B models to the GPU and packing results; a token that one
model reads with everything captured; one that it writes; a text that it moderates."""
MOST = 110
"""Seconds that are asked for at most: less than a visitor without an account has in a day (120)."""
ELSEWHERE = "The recorded runs stay open. More: sign in to Hugging Face, duplicate this Space, or run workbench app"


def seconds(request: Request) -> int:
    """For how long the GPU is asked for; the models take turns on it."""
    texts = 2 * len(request.asked) if request.guards.moderate else 0
    read = sum(one.tokens for one in request.asked)
    written = sum(request.sampling.max_new_tokens + len(one.begin) for one in request.asked)
    return min(MOST, math.ceil(START + READ * read + WRITE * written + MODERATE * texts))


def load(names: Sequence[str]) -> dict[str, wb.Model]:
    """The models by name, in bfloat16 on the GPU that will be lent; those that cannot be loaded are named in the log.
    To be called in the main thread, before the page is served."""
    found: dict[str, wb.Model] = {}
    lent = torch.cuda.is_available()
    for name in names:
        try:
            model = wb.load(name, device_map="cpu", dtype="bfloat16" if lent else "auto")
        except WorkbenchError as error:
            print(f"{name}: {error}", flush=True)
            continue
        if lent:
            cast(Any, model.loaded.module).to("cuda")
            model = wb.Model(replace(model.loaded, device=torch.device("cuda")))
        found[model.name] = model
    return found


def lent(models: Mapping[str, wb.Model]) -> Visiting:
    """`visit` with ``models`` on a lent GPU, in words where there is none."""

    @spaces.GPU(duration=seconds)
    def visit_gpu(request: Request) -> Iterator[Event]:
        yield from visit(models, request)

    return in_words(visit_gpu)


def in_words(visiting: Visiting) -> Visiting:
    """``visiting`` whose refusals (gr.Error of `spaces`) are raised as LentError."""

    def told(request: Request) -> Iterator[Event]:
        try:
            yield from visiting(request)
        except gr.Error as error:
            raise refusal(str(error.title), str(error.message)) from None

    return told


def refusal(title: str, message: str) -> LentError:
    """What `spaces` says of a GPU that is not lent, with what can be done."""
    message = message.strip().rstrip(".")
    if "worker" in title:
        return LentError(TAKEN, f"The GPU was taken back before the reply had ended ({message})", remedy="Ask again")
    if "illegal duration" in title:
        return LentError("duration", message, remedy=f"Ask for a shorter reply. {ELSEWHERE}")
    if "exceeded" in title:
        return LentError("quota", f"There is no GPU time left: {message}", remedy=ELSEWHERE)
    return LentError("gpu", f"There is no GPU at this moment: {message}", remedy=f"Ask again in a minute. {ELSEWHERE}")
