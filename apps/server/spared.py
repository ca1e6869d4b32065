"""What Gradio does over and over that no visitor of this page has anything of, left out: clicks wait for the same
processor and the same interpreter."""

from __future__ import annotations

import copy
import sys
from typing import Any

import gradio as gr
from gradio.block_function import BlockFunction
from gradio.state_holder import SessionState

LOOK = 0.01
"""Seconds between two looks of Gradio at its line of events; by itself a thousand times a second."""
PROGRESS = 1.0
"""Seconds between two looks for `gr.Progress`, which nothing here uses."""
SWITCH = 0.001
"""Seconds that a thread may keep the interpreter while others want it: what answers a click asks for it many times, and
would wait Python's own 5 ms each time that a longer computation has it."""


class Page(gr.Blocks):
    """Blocks that leave alone the outputs which an event skips. Gradio makes a component anew for each `gr.skip()`, in
    the thread that serves all: four of them with every token of a reply, 6 ms."""

    async def postprocess_data(
        self, block_fn: BlockFunction, predictions: list[Any] | dict[str, Any], state: SessionState | None
    ) -> list[Any]:
        """What is sent of ``predictions``, one for each output."""
        outputs = block_fn.outputs
        if not isinstance(predictions, list | tuple) or len(predictions) != len(outputs) or len(outputs) < 2:
            return await super().postprocess_data(block_fn, predictions, state)
        changed = [i for i, one in enumerate(predictions) if outputs[i].stateful or not _skipped(one)]
        sent: list[Any] = [gr.skip() for _ in outputs]
        if changed:
            part = copy.copy(block_fn)
            part.outputs = [outputs[i] for i in changed]
            values = [predictions[i] for i in changed]
            found = await super().postprocess_data(part, values if len(values) > 1 else values[0], state)
            for i, one in zip(changed, found, strict=True):
                sent[i] = one
        return sent


def spare(queue: Any, alone: bool = False) -> None:
    """Have Gradio's ``queue`` look less often, and keep no statistics of events, which it works out anew after each:
    `/metrics` has the server's own. Where this process serves ``alone``, its threads take turns more often from now on;
    a notebook's are left as they are."""
    queue.sleep_when_free, queue.progress_update_sleep_when_free = LOOK, PROGRESS
    queue.ANALYTICS_MAX_EVENTS, queue.ANAYLTICS_CACHE_FREQUENCY = 1, sys.maxsize
    if alone:
        sys.setswitchinterval(min(SWITCH, sys.getswitchinterval()))


def _skipped(value: Any) -> bool:
    return isinstance(value, dict) and value == gr.skip()
