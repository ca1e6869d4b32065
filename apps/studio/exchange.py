"""One question to one or two models at once: a worker thread each, one queue, a generator that ticks meanwhile."""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import workbench as wb
from apps.studio.runs import RunStore
from apps.studio.session import Column, Session
from apps.studio.shelf import Shelf
from apps.studio.strip import Strip, line
from workbench.errors import WorkbenchError
from workbench.views import tokens

if TYPE_CHECKING:
    from workbench.chat.encoding import EncodedPrompt

TICK = 0.1
"""Seconds between two updates of the page: 10 a second."""
MOST_BYTES = 512 * 2**20
"""Of one run's results: a larger capture keeps less."""
LENS_WORK_CPU, LENS_WORK_GPU = 6e10, 1e13
"""Floating-point operations that reading out the lens of all positions may take: about a second."""
OURS = "Something failed inside the workbench; the server's log has the details. You can ask again."


@dataclass(frozen=True)
class _Event:
    """What a worker reports: kind "read" (an EncodedPrompt), "step" (a Step), "done" (a Run), "error" (a sentence)."""

    model: str
    kind: str
    value: Any


def capture_for(model: wb.Model, tokens: int, new_tokens: int) -> wb.Capture:
    """Everything a click can ask for, as far as time and memory allow.

    Attention: states, from which any row is exact later; else the rows of generated tokens; else only maps, of fewer
    blocks where there are many heads. Lens: all positions, or those of generated tokens and a coarse one of the whole
    text when reading out all would keep the visitor waiting.
    """
    work = 2 * (model.layers + 1) * model.hidden * model.vocab_size  # of one position
    allowed = LENS_WORK_GPU if model.device.type == "cuda" else LENS_WORK_CPU
    lens = wb.LensCapture(positions="all")
    if work * (tokens + new_tokens) > allowed:
        lens = wb.LensCapture(blocks=64 if work * 64 * lens.per_block <= allowed else 0)
    pool = 256 if model.layers * model.heads <= 128 else 96
    choices = (
        wb.AttentionCapture(rows=None, pool=pool, states=True),
        wb.AttentionCapture(rows="last", pool=pool),
        wb.AttentionCapture(rows=None, pool=pool),
    )
    for attention in choices:
        capture = wb.Capture(attention=attention, lens=lens)
        if sum(capture.bytes(model, tokens, new_tokens).values()) <= MOST_BYTES:
            break
    return capture


def ask(session: Session, shelf: Shelf, runs: RunStore, text: str | None, sampling: wb.Sampling) -> Iterator[None]:
    """Put ``text`` to the shown models, or with None ask for another version of their last reply.

    Yields whenever the session's columns have changed, at most once a TICK. When the caller stops iterating, so do the
    models. Raises PromptError when there is nothing to ask or to repeat.
    """
    jobs = _prepare(session, text)
    events: queue.Queue[_Event] = queue.Queue()
    session.stops = [threading.Event() for _ in jobs]
    workers = [
        threading.Thread(target=_write, args=(shelf, column, said, sampling, stop, events), daemon=True)
        for (column, said, _), stop in zip(jobs, session.stops, strict=True)
    ]
    versions = {column.model: again for column, _, again in jobs}
    try:
        yield  # the question shows before any model has read it
        for worker in workers:
            worker.start()
        left, last = len(jobs), time.monotonic()
        while left:
            try:
                event = events.get(timeout=TICK)
            except queue.Empty:
                continue
            left -= _absorb(session, runs, event, versions[event.model], sampling)
            if not left or time.monotonic() - last >= TICK:
                last = time.monotonic()
                yield
    finally:
        session.stop()


def _prepare(session: Session, text: str | None) -> list[tuple[Column, wb.Conversation, bool]]:
    """(column, conversation to answer, whether the answer is another version) for every model that is asked."""
    jobs: list[tuple[Column, wb.Conversation, bool]] = []
    for name in session.shown:
        column = session.columns[name]
        if text is not None:
            column.conversation = column.settled().add("user", text)
            said, again = column.conversation, False
        else:
            settled = column.settled()
            if not len(settled):
                continue
            column.conversation, said, again = settled, settled.fork(len(settled) - 1), True
        column.note, column.live, column.strip = "", "", None
        jobs.append((column, said, again))
    if not jobs:
        raise wb.WorkbenchError("there is no reply to write again", remedy="Ask something first")
    return jobs


def _write(
    shelf: Shelf, column: Column, said: wb.Conversation, sampling: wb.Sampling, stop: threading.Event,
    events: queue.Queue[_Event],
) -> None:  # fmt: skip
    """One worker: encode, generate, report; every end is reported exactly once."""

    def report(kind: str, value: Any) -> None:
        events.put(_Event(column.model, kind, value))

    try:
        model = shelf.get(column.model)
        prompt = model.encode(said)
        report("read", prompt)
        capture = capture_for(model, len(prompt), sampling.max_new_tokens)
        run = model.generate(prompt, sampling, capture, stop)
        for step in run:
            report("step", step)
        run.inspection  # noqa: B018  assembled here, in the worker, not while the page waits
        report("done", run)
    except WorkbenchError as error:
        report("error", str(error))
    except Exception:
        traceback.print_exc()
        report("error", OURS)


def _absorb(session: Session, runs: RunStore, event: _Event, again: bool, sampling: wb.Sampling) -> int:
    """Enter one event into its column; 1 when it was the worker's last."""
    column = session.columns[event.model]
    if event.kind == "read":
        column.strip = _live_strip(column, event.value)
        column.used = len(event.value)
    elif event.kind == "step":
        column.live = (column.live or "") + event.value.text
        _extend(column.strip, event.value)
        column.used += 1
    elif event.kind == "error":
        column.note, column.live = event.value, None
        return 1
    else:
        _finish(session, column, runs, event.value, again, sampling)
        return 1
    return 0


def _finish(session: Session, column: Column, runs: RunStore, run: wb.Run, again: bool, sampling: wb.Sampling) -> None:
    inspection = run.inspection
    said = column.conversation
    column.conversation = said.add_version(-1, run.text) if again else said.add("assistant", run.text)
    column.footers[len(column.conversation) - 1] = footer(run, sampling)
    column.run, column.live = runs.add(inspection, session.owner), None
    column.strip = Strip.of(tokens.pack(inspection, column.run))
    column.used, column.facts = len(inspection.ids), inspection.model
    if not run.text.strip():
        column.note = "Stopped before the first word." if run.finish_reason == "stopped" else "The reply is empty."
    if column.model == session.shown[0]:
        first = inspection.prompt_length if len(inspection.ids) > inspection.prompt_length else len(inspection.ids) - 1
        session.select(column.run, first)


def footer(run: wb.Run, sampling: wb.Sampling) -> str:
    """Speed, length, seed and settings of a reply in one line."""
    speed = run.tokens_per_second  # 0 where the only token came with the prefill
    parts = [f"{speed:.0f} tokens/s"] if speed else []
    parts.append(f"{len(run.steps)} tokens")
    if sampling.temperature > 0:
        parts.append(f"temperature {sampling.temperature:g}, top-p {sampling.top_p:g}, seed {sampling.seed}")
    else:
        parts.append(f"greedy, seed {sampling.seed}")
    ends = {"stopped": "stopped", "length": "cut at the limit", "stop string": "stop string"}
    return " · ".join(parts + [ends[reason] for reason in [run.finish_reason or ""] if reason in ends])


def _live_strip(column: Column, prompt: EncodedPrompt) -> Strip:
    """The strip while the reply is written: the prompt's ids, no probabilities yet."""
    empty = (None, None, None, None)
    lines = [line(*token, *empty) for token in zip(prompt.tokens, prompt.ids, prompt.roles, strict=True)]
    run = f"live-{column.model}-{len(column.conversation)}-{time.monotonic_ns()}"
    return Strip(run, len(prompt), "".join(lines), live=True)


def _extend(strip: Strip | None, step: wb.Step) -> None:
    if strip is None:
        return
    best = [[piece, round(logprob, 4)] for _, piece, logprob in step.top[:3]]
    numbers = (round(step.logprob, 4), step.rank, round(step.entropy, 4))
    strip.lines += line(step.piece, step.token_id, "assistant", *numbers, best)
