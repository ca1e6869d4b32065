"""What one model does for one exchange, in a thread of its own: it reads, writes, and reports every step."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass, replace
from typing import Any

import workbench as wb
from apps.server.admission import Admission
from apps.studio.guards import Guards, switched, verdict
from apps.studio.orders import Job
from apps.studio.shelf import Shelf
from apps.studio.talk import BROKEN, Reply
from workbench.errors import WorkbenchError

MOST_BYTES = 512 * 2**20
"""Of one run's results: a larger capture keeps less."""
LENS_WORK_CPU, LENS_WORK_GPU = 6e10, 1e13
"""Floating-point operations that reading out the lens of all positions may take: about a second."""
ENDS = ("done", "broken")
"""Kinds of the last event of a worker."""


@dataclass(frozen=True)
class Event:
    """What a worker reports: "read" (an EncodedPrompt), "step" (a Step), "done" (a `Made`), "broken" (a `Broken`); of a
    visit also "faults" (what broke in it, {kind: how often})."""

    model: str
    kind: str
    value: Any


@dataclass(frozen=True)
class Made:
    """A run that ended, what differed from the model as it is, and what moderation said, both in words."""

    run: wb.Run
    switched: str
    moderated: str


@dataclass(frozen=True)
class Broken:
    """A run that failed: why, in a sentence, and what was written until then, with how (None: nothing was). Where it
    ``offers`` them, the recorded exchanges are what can be looked at instead."""

    sentence: str
    text: str = ""
    reply: Reply | None = None
    offers: bool = False


def capture_for(
    model: wb.Model, tokens: int, new_tokens: int, most_bytes: int = MOST_BYTES, policy: str = ""
) -> wb.Capture:
    """Everything a click can ask for, as far as time and ``most_bytes`` allow.

    Attention: states, from which any row is exact later; else the rows of generated tokens; else only maps, of fewer
    blocks where there are many heads. Lens: all positions, or those of generated tokens and a coarse one of the whole
    text when reading out all would keep the visitor waiting. Under a cache ``policy`` rows of all tokens stand for
    states.
    """
    work = 2 * (model.layers + 1) * model.hidden * model.vocab_size  # of one position
    allowed = LENS_WORK_GPU if model.device.type == "cuda" else LENS_WORK_CPU
    lens = wb.LensCapture(positions="all")
    if work * (tokens + new_tokens) > allowed:
        lens = wb.LensCapture(blocks=64 if work * 64 * lens.per_block <= allowed else 0)
    pool = 256 if model.layers * model.heads <= 128 else 96
    choices = (
        wb.AttentionCapture(rows="all" if policy else None, pool=pool, states=not policy),
        wb.AttentionCapture(rows="last", pool=pool),
        wb.AttentionCapture(rows=None, pool=pool),
    )
    for attention in choices:
        capture = wb.Capture(attention=attention, lens=lens)
        if sum(capture.bytes(model, tokens, new_tokens).values()) <= min(MOST_BYTES, most_bytes):
            break
    return capture


class Writer:
    """One worker: `work` is what its thread runs; every end is reported to ``events`` exactly once."""

    def __init__(
        self, job: Job, sampling: wb.Sampling, stop: threading.Event, events: queue.Queue[Event], admission: Admission
    ) -> None:
        self._job, self._sampling, self._stop = job, sampling, stop
        self._events, self._admission = events, admission
        self._model: wb.Model | None = None
        self._run: wb.Run | None = None

    def work(self, shelf: Shelf, prefixes: wb.PrefixStore, guards: Guards) -> None:
        """Encode, generate, report. Whatever is raised ends here, also what would end a thread without a word."""
        try:
            made = self._write(shelf, prefixes, guards)
        except BaseException as error:
            text, reply = self._so_far()
            self._model = self._run = None  # its cache and what was recorded go before the log is written
            if not isinstance(error, WorkbenchError):
                prefixes.clear()  # of a step that broke off nothing is gone on with
            self._report("broken", Broken(self._admission.faults.told(error), text, reply))
        else:
            self._report("done", made)

    def _report(self, kind: str, value: Any) -> None:
        self._events.put(Event(self._job.column.model, kind, value))

    def _write(self, shelf: Shelf, prefixes: wb.PrefixStore, guards: Guards) -> Made:
        job, sampling, stop, admission = self._job, self._sampling, self._stop, self._admission
        model = self._model = shelf.get(job.column.model, job.column.switches)
        prompt = model.encode(guards.said(job.said))
        admission.check_prompt(len(prompt))
        self._report("read", prompt)
        if job.begin:  # the limit is of what the model writes by itself
            sampling = replace(sampling, max_new_tokens=sampling.max_new_tokens + len(job.begin))
        asked = next((one.content for one in reversed(job.said.messages) if one.role == "user"), "")
        faults = admission.faults
        verdicts = [verdict(model, asked, "prompt", stop, prefixes, faults)] if guards.moderate else []
        cache = job.column.cache
        capture = capture_for(model, len(prompt), sampling.max_new_tokens, admission.run_bytes, cache)
        given = job.begin or None
        run = self._run = model.generate(
            prompt, sampling, capture, stop, begin=given, reuse=prefixes, cache=cache or None
        )
        for step in run:
            self._report("step", step)
            admission.metrics.wrote(1)
        run.inspection  # noqa: B018  assembled here, in the worker, not while the page waits
        verdicts += [verdict(model, run.text, "answer", stop, prefixes, faults)] if guards.moderate else []
        return Made(run, switched(run, dict(model.switches)), " · ".join(one for one in verdicts if one))

    def _so_far(self) -> tuple[str, Reply | None]:
        """What was written when it failed, with how."""
        run, model = self._run, self._model
        if run is None or model is None or not run.text.strip():
            return "", None
        reply = Reply(
            model=model.name, switched=switched(run, dict(model.switches)), sampling=self._sampling,
            tokens=len(run.steps), given=sum(step.given for step in run.steps),
            tokens_per_second=run.tokens_per_second, used=len(run.prompt) + len(run.steps), context=model.context,
            finish=run.finish_reason or BROKEN,
        )  # fmt: skip
        return run.text, reply
