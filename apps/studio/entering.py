"""What a worker reports is entered into its column: text and tokens as they come, the reply when it has ended."""

from __future__ import annotations

import time
from dataclasses import replace

import workbench as wb
from apps.server.faults import Faults
from apps.studio.runs import RunStore
from apps.studio.session import Column, Session
from apps.studio.showing import facts_of, show_reply
from apps.studio.strip import Strip, line
from apps.studio.talk import Reply, Talk
from apps.studio.writing import ENDS, Broken, Event, Made
from workbench.errors import WorkbenchError
from workbench.views import tokens

UNHEARD = "Stopped before the first word."


class Entering:
    """Enters the events of one exchange. ``again`` says of each model whether its reply is another version."""

    def __init__(
        self, session: Session, runs: RunStore, again: dict[str, bool], sampling: wb.Sampling, faults: Faults
    ) -> None:
        self._session, self._runs, self._again = session, runs, again
        self._sampling, self._faults = sampling, faults

    def enter(self, event: Event) -> bool:
        """Enter one event into its column, for others all at once; whether it was the worker's last."""
        with self._session.lock:
            return self._entered(event)

    def _entered(self, event: Event) -> bool:
        column = self._session.columns[event.model]
        if event.kind == "read":
            column.strip = Strip.reading(live_name(column), event.value, column.strip)
            column.used = len(event.value)
        elif event.kind == "step":
            column.live = (column.live or "") + event.value.text
            _extend(column.strip, event.value)
            column.used += 1
        elif event.kind == "broken":
            self.broken(column, event.value)
        else:
            self._done(column, event.value)
        return event.kind in ENDS

    def broken(self, column: Column, broken: Broken) -> None:
        """A worker has failed: what it wrote stays, with the reason."""
        with self._session.lock:
            try:
                if broken.reply is not None:
                    column.talk = self._with(column, broken.text, broken.reply)
                    self._session.keep()
            except WorkbenchError as error:  # too many versions, too many characters
                broken = replace(broken, sentence=f"{broken.sentence} {error}", text="", reply=None)
            fail(column, self._runs, broken.sentence + (" The reply so far is kept." if broken.reply else ""))
            column.offers = broken.offers

    def _done(self, column: Column, made: Made) -> None:
        before = column.talk
        try:
            self._finish(column, made)
        except BaseException as error:  # a worker that is not counted as ended would leave the tab busy for ever
            kept = None
            if column.talk is before and not isinstance(error, WorkbenchError) and made.run.text.strip():
                kept = Reply.of(made.run.inspection, "", self._sampling, made.switched, moderated=made.moderated)
            self.broken(column, Broken(self._faults.told(error), made.run.text, kept))

    def _finish(self, column: Column, made: Made) -> None:
        session, runs, run, again = self._session, self._runs, made.run, self._again[column.model]
        inspection, empty = run.inspection, not run.text.strip()
        sentence = UNHEARD if run.finish_reason == "stopped" else "The reply is empty."
        if empty and again:  # an empty version in place of a good one helps nobody
            column.live = None
            show_reply(column, runs)
            column.note = sentence
            return
        kept = runs.add(inspection, session.owner)
        reply = Reply.of(inspection, kept, self._sampling, made.switched, moderated=made.moderated)
        column.talk = self._with(column, run.text, reply)
        session.keep()
        column.live, column.place, column.run = None, len(column.talk) - 1, kept
        column.strip = Strip.of(tokens.pack(inspection, column.run))
        column.used, column.facts = len(inspection.ids), facts_of(inspection)
        column.note = sentence if empty else ""
        if column.model == session.shown[0] or session.selection.get("run") not in _open_runs(session):
            generated = len(inspection.ids) > inspection.prompt_length
            first = inspection.prompt_length if generated else len(inspection.ids) - 1
            session.select(column.run, first + min(reply.given, max(0, reply.tokens - 1)))

    def _with(self, column: Column, text: str, reply: Reply) -> Talk:
        talk = column.talk
        return talk.version(text, reply) if self._again[column.model] else talk.answer(text, reply)


def fail(column: Column, runs: RunStore, sentence: str) -> None:
    """No reply came, or its insides are not kept: what was there is shown again, with the reason."""
    column.live = None
    show_reply(column, runs)
    column.note = sentence


def _open_runs(session: Session) -> list[str | None]:
    return [session.columns[name].run for name in session.shown]


def live_name(column: Column) -> str:
    """Of the strip of a reply that is being written."""
    return f"live-{column.model}-{len(column.talk)}-{time.monotonic_ns()}"


def _extend(strip: Strip | None, step: wb.Step) -> None:
    if strip is None:
        return
    best = [[piece, round(logprob, 4), token] for token, piece, logprob in step.top]
    numbers = (round(step.logprob, 4), step.rank, round(step.entropy, 4))
    strip.given += step.given
    strip.add(line(step.piece, step.token_id, "assistant", *numbers, best))
