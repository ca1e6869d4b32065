"""One question to one or two models at once: a worker thread each, one queue, a generator that ticks meanwhile."""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import workbench as wb
from apps.server.admission import Admission, Turn, Visitor
from apps.studio.guards import Guards, switched, verdict
from apps.studio.orders import Job, Order, prepare
from apps.studio.runs import RunStore
from apps.studio.session import Column, Session
from apps.studio.shelf import Shelf
from apps.studio.showing import facts_of, show_reply
from apps.studio.strip import Strip, line
from apps.studio.talk import Reply
from workbench.errors import WorkbenchError
from workbench.views import tokens

TICK = 0.1
"""Seconds between two updates of the page: 10 a second."""
MOST_BYTES = 512 * 2**20
"""Of one run's results: a larger capture keeps less."""
LENS_WORK_CPU, LENS_WORK_GPU = 6e10, 1e13
"""Floating-point operations that reading out the lens of all positions may take: about a second."""
UNHEARD = "Stopped before the first word."
OURS = "Something failed inside the workbench; the server's log has the details. You can ask again."


@dataclass(frozen=True)
class _Event:
    """What a worker reports: "read" (an EncodedPrompt), "step" (a Step), "done" (a `Made`), "error" (a sentence)."""

    model: str
    kind: str
    value: Any


@dataclass(frozen=True)
class Made:
    """A run that ended, what differed from the model as it is, and what moderation said, both in words."""

    run: wb.Run
    switched: str
    moderated: str


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


def ask(
    session: Session, shelf: Shelf, runs: RunStore, order: Order, sampling: wb.Sampling,
    admission: Admission | None = None, client: str = "",
) -> Iterator[None]:  # fmt: skip
    """Have ``order`` answered by the models it is for, when it is the turn of the tab and its address ``client``.

    Yields whenever the session's columns have changed, at most once a TICK. When the caller stops iterating, so do the
    models; what they wrote until then is kept. Raises BusyError while another reply is being written, RefusedError when
    a limit of ``admission`` is reached, WorkbenchError when there is nothing to ask or to repeat.
    """
    admission = admission or Admission()
    stop = session.claim()
    left, again, held = 0, {}, True
    jobs: list[Job] = []
    turn: Turn | None = None
    events: queue.Queue[_Event] = queue.Queue()
    try:
        admission.check_reply(sampling.max_new_tokens)
        turn = admission.enter(Visitor(session.owner, client))
        goes_on = order.kind == "ask" and not session.recorded
        before = {name: column.strip for name, column in session.columns.items()}
        jobs = prepare(session, runs, order)
        for job in jobs:  # what the page has of the earlier turns is not sent again
            if goes_on and (earlier := before[job.column.model]) is not None:
                job.column.strip = earlier.waiting(_live_name(job.column))
        again = {job.column.model: job.again for job in jobs}
        yield  # the question shows before any model has read it
        for sentence in turn.waiting(stop, TICK):
            _note(jobs, sentence)
            yield
        if stop.is_set() and not turn.running:
            for job in jobs:
                _fail(job.column, runs, UNHEARD)
            yield
            return
        _note(jobs, "")
        given = (shelf, session.prefixes, session.guards, sampling, stop, events, admission)
        workers = [threading.Thread(target=_write, args=(job, *given), daemon=True) for job in jobs]
        for worker in workers:
            worker.start()
            left += 1
        last, late = time.monotonic(), ""
        while left:
            if not late and (late := turn.overdue):
                admission.metrics.refused("seconds")
                stop.set()
            try:
                event = events.get(timeout=TICK)
            except queue.Empty:
                continue
            left -= _absorb(session, runs, event, again[event.model], sampling)
            if not left:  # a click may follow the last state at once
                if late:
                    _note([job for job in jobs if _cut(job.column)], late)
                turn.leave()
                session.release()
                held = False
            if not left or time.monotonic() - last >= TICK:
                last = time.monotonic()
                yield
    finally:
        stop.set()
        if left and turn is not None:  # the listener has gone, perhaps for the moment that a reload takes
            rest = (session, runs, events, left, again, sampling, turn)
            threading.Thread(target=_settle, args=rest, daemon=True).start()
        elif held:
            for job in jobs:
                if job.column.live is not None:  # the listener went while it was in line
                    _fail(job.column, runs, UNHEARD)
            if turn is not None:
                turn.leave()
            session.release()


def _note(jobs: list[Job], sentence: str) -> None:
    for job in jobs:
        job.column.note = sentence


def _cut(column: Column) -> bool:
    """Whether its reply did not come to its own end."""
    return column.reply is None or column.reply.finish == "stopped"


def _settle(
    session: Session, runs: RunStore, events: queue.Queue[_Event], left: int, again: dict[str, bool],
    sampling: wb.Sampling, turn: Turn,
) -> None:  # fmt: skip
    """Enter what workers that were told to stop still report."""
    try:
        while left:
            event = events.get()
            left -= _absorb(session, runs, event, again[event.model], sampling)
    finally:
        turn.leave()
        session.release()


def _write(
    job: Job, shelf: Shelf, prefixes: wb.PrefixStore, guards: Guards, sampling: wb.Sampling, stop: threading.Event,
    events: queue.Queue[_Event], admission: Admission,
) -> None:  # fmt: skip
    """One worker: encode, generate, report; every end is reported exactly once."""

    def report(kind: str, value: Any) -> None:
        events.put(_Event(job.column.model, kind, value))

    try:
        model = shelf.get(job.column.model, job.column.switches)
        prompt = model.encode(guards.said(job.said))
        admission.check_prompt(len(prompt))
        report("read", prompt)
        if job.begin:  # the limit is of what the model writes by itself
            sampling = replace(sampling, max_new_tokens=sampling.max_new_tokens + len(job.begin))
        asked = next((one.content for one in reversed(job.said.messages) if one.role == "user"), "")
        verdicts = [verdict(model, asked, "prompt", stop, prefixes)] if guards.moderate else []
        cache = job.column.cache
        capture = capture_for(model, len(prompt), sampling.max_new_tokens, admission.run_bytes, cache)
        given = job.begin or None
        run = model.generate(prompt, sampling, capture, stop, begin=given, reuse=prefixes, cache=cache or None)
        for step in run:
            report("step", step)
            admission.metrics.wrote(1)
        run.inspection  # noqa: B018  assembled here, in the worker, not while the page waits
        verdicts += [verdict(model, run.text, "answer", stop, prefixes)] if guards.moderate else []
        made = Made(run, switched(run, dict(model.switches)), " · ".join(one for one in verdicts if one))
        report("done", made)
    except WorkbenchError as error:
        report("error", str(error))
    except Exception:
        traceback.print_exc()
        report("error", OURS)


def _absorb(session: Session, runs: RunStore, event: _Event, again: bool, sampling: wb.Sampling) -> int:
    """Enter one event into its column; 1 when it was the worker's last."""
    column = session.columns[event.model]
    if event.kind == "read":
        column.strip = Strip.reading(_live_name(column), event.value, column.strip)
        column.used = len(event.value)
    elif event.kind == "step":
        column.live = (column.live or "") + event.value.text
        _extend(column.strip, event.value)
        column.used += 1
    elif event.kind == "error":
        _fail(column, runs, event.value)
        return 1
    else:
        try:
            _finish(session, column, runs, event.value, again, sampling)
        except WorkbenchError as error:  # too many versions, too many characters
            _fail(column, runs, str(error))
        except Exception:  # a worker that is not counted as ended would leave the tab busy for ever
            traceback.print_exc()
            _fail(column, runs, OURS)
        return 1
    return 0


def _finish(session: Session, column: Column, runs: RunStore, made: Made, again: bool, sampling: wb.Sampling) -> None:
    run = made.run
    inspection, empty = run.inspection, not run.text.strip()
    sentence = UNHEARD if run.finish_reason == "stopped" else "The reply is empty."
    if empty and again:  # an empty version in place of a good one helps nobody
        column.live = None
        show_reply(column, runs)
        column.note = sentence
        return
    kept = runs.add(inspection, session.owner)
    reply = Reply.of(inspection, kept, sampling, made.switched, moderated=made.moderated)
    column.talk = column.talk.version(run.text, reply) if again else column.talk.answer(run.text, reply)
    session.keep()
    column.live, column.place, column.run = None, len(column.talk) - 1, kept
    column.strip = Strip.of(tokens.pack(inspection, column.run))
    column.used, column.facts = len(inspection.ids), facts_of(inspection)
    column.note = sentence if empty else ""
    if column.model == session.shown[0] or session.selection.get("run") not in _open_runs(session):
        first = inspection.prompt_length if len(inspection.ids) > inspection.prompt_length else len(inspection.ids) - 1
        session.select(column.run, first + min(reply.given, max(0, reply.tokens - 1)))


def _fail(column: Column, runs: RunStore, sentence: str) -> None:
    """No reply came: what was there is shown again, with the reason."""
    column.live = None
    show_reply(column, runs)
    column.note = sentence


def _open_runs(session: Session) -> list[str | None]:
    return [session.columns[name].run for name in session.shown]


def _live_name(column: Column) -> str:
    """Of the strip of a reply that is being written."""
    return f"live-{column.model}-{len(column.talk)}-{time.monotonic_ns()}"


def _extend(strip: Strip | None, step: wb.Step) -> None:
    if strip is None:
        return
    best = [[piece, round(logprob, 4), token] for token, piece, logprob in step.top]
    numbers = (round(step.logprob, 4), step.rank, round(step.entropy, 4))
    strip.given += step.given
    strip.add(line(step.piece, step.token_id, "assistant", *numbers, best))
