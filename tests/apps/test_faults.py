"""What breaks while a reply is written: what came stays with a sentence, memory is freed, the next one is served.

Faults are raised within a layer of the very model that answers, at a chosen forward.
"""

from __future__ import annotations

import errno
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

import workbench as wb
from apps.server.admission import PATIENCE, REPLY, STUDY, Admission, Visitor
from apps.server.faults import DISK, HUNG, MEMORY, OTHER, SENTENCES, Faults, kind_of
from apps.server.metrics import Metrics
from apps.server.settings import Settings
from apps.studio import writing
from apps.studio.exchange import ask
from apps.studio.guards import Guards
from apps.studio.orders import Order
from apps.studio.runs import RunStore
from apps.studio.session import Column, Session
from apps.studio.shelf import Shelf
from workbench.errors import DeviceError, WorkbenchError

SHORT, LONG = wb.Sampling(max_new_tokens=6), wb.Sampling(max_new_tokens=1500)
WAIT = 60.0
"""Seconds after which what should have happened is a failure."""
CPU = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate"
"""How torch's allocator says it."""


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def hooked(model: wb.Model, hook: Callable[[int], None]) -> Iterator[None]:
    """``hook(n)`` is called in the last layer of the nth forward, from 0, for each of them."""
    seen = [0]

    def called(*_: Any) -> None:
        seen[0] += 1
        hook(seen[0] - 1)

    handle = model.module.model.layers[-1].register_forward_pre_hook(called)
    try:
        yield
    finally:
        handle.remove()


def failing(error: BaseException, at: int) -> Callable[[int], None]:
    def hook(n: int) -> None:
        if n == at:
            raise error

    return hook


@pytest.fixture
def one(names: list[str]) -> Session:
    """A tab with the second model alone."""
    return Session("me", {names[1]: Column(names[1])}, [names[1]])


def asked(session: Session, shelf: Shelf, runs: RunStore, admission: Admission, text: str = "Hello",
          sampling: wb.Sampling = SHORT, kind: str = "ask") -> Column:  # fmt: skip
    for _ in ask(session, shelf, runs, Order(kind, text), sampling, admission, "10.0.0.1"):
        pass
    assert session.rest.wait(WAIT)
    return session.columns[session.shown[0]]


def served(session: Session, shelf: Shelf, runs: RunStore, admission: Admission) -> None:
    """The next request is answered, whole, and nothing is held by the last."""
    assert admission.counts(REPLY) == (0, 0)
    column = asked(session, shelf, runs, admission, "And now?")
    assert column.note == "" and column.run is not None
    assert len(runs.get(column.run).steps) == 6
    alone = shelf.get(column.model).generate(column.conversation.fork(len(column.conversation) - 1), SHORT)
    for _ in alone:
        pass
    assert column.conversation[-1].content == alone.text


@pytest.mark.parametrize(
    ("error", "kind"),
    [(torch.OutOfMemoryError("CUDA out of memory"), MEMORY), (RuntimeError(CPU), MEMORY), (MemoryError(), MEMORY),
     (OSError(errno.ENOMEM, "Cannot allocate memory"), MEMORY), (OSError(errno.ENOSPC, "No space left"), DISK),
     (KeyError("secret"), OTHER), (SystemExit(3), OTHER)],
)  # fmt: skip
def test_a_fault_in_a_layer_keeps_the_reply_so_far(
    error: BaseException, kind: str, one: Session, shelf: Shelf, runs: RunStore, capfd: pytest.CaptureFixture[str]
) -> None:
    metrics, relieved = Metrics(), []
    admission = Admission(metrics=metrics)
    admission.faults.relief.append(lambda: relieved.append(True))
    model = shelf.get(one.shown[0])
    whole = model.generate([{"role": "user", "content": "Hello"}], SHORT, wb.Capture.nothing())
    texts = [step.text for step in whole]
    with hooked(model, failing(error, 4)):  # all but the last of the prompt, its last, then a step each
        column = asked(one, shelf, runs, admission)
    assert column.conversation[-1].role == "assistant"
    assert column.conversation[-1].content == "".join(texts[:3]), "what had come until then"
    reply = column.talk.reply(1)
    assert reply is not None and (reply.tokens, reply.run, reply.model) == (3, "", model.name)
    assert "broken off" in reply.footer
    assert column.note == f"{SENTENCES[kind]} The reply so far is kept."
    assert column.live is None and column.run is None and len(runs) == 0
    assert metrics.faults() == {kind: 1} and f'workbench_faults_total{{kind="{kind}"}} 1' in metrics.text()
    assert relieved == [True] * (kind == MEMORY), "others' caches go where memory ran out"
    assert one.prefixes.nbytes == 0
    assert "Traceback" in capfd.readouterr().err and "Traceback" not in column.note
    served(one, shelf, runs, admission)


def test_memory_that_runs_out_while_the_prompt_is_read(one: Session, shelf: Shelf, runs: RunStore) -> None:
    admission = Admission()
    with hooked(shelf.get(one.shown[0]), failing(torch.OutOfMemoryError("x"), 0)):
        column = asked(one, shelf, runs, admission)
    assert [message.role for message in column.conversation] == ["user"]
    assert column.note == SENTENCES[MEMORY]
    served(one, shelf, runs, admission)
    column = one.columns[one.shown[0]]
    assert column.conversation[0].content == "And now?", "the question that failed has made room"


def test_memory_that_runs_out_while_captures_are_assembled(
    one: Session, shelf: Shelf, runs: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reply is whole, only its insides are gone; another version of a reply as well."""
    admission = Admission()

    def full(self: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(wb.Run, "_assemble", full)
        column = asked(one, shelf, runs, admission)
    reply = column.talk.reply(1)
    assert reply is not None and (reply.tokens, reply.finish, reply.run) == (6, "length", "")
    assert column.note.endswith("The reply so far is kept.")
    asked(one, shelf, runs, admission, "", SHORT, "again")
    with monkeypatch.context() as patched:
        patched.setattr(wb.Run, "_assemble", full)
        asked(one, shelf, runs, admission, "", SHORT, "again")
    assert [bool(made and made.run) for made in column.talk.made[1]] == [False, True, False]
    served(one, shelf, runs, admission)


def test_what_failed_is_freed(one: Session, shelf: Shelf, runs: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cache, recording and the frames of the error are gone when the visitor reads the sentence."""
    held: list[weakref.ref[Any]] = []
    model = shelf.get(one.shown[0])
    generate = wb.Model.generate

    def watched(self: wb.Model, *values: Any, **named: Any) -> wb.Run:
        run = generate(self, *values, **named)
        held.extend(weakref.ref(part) for part in (run, run._decoding.cache, run._recording))
        return run

    monkeypatch.setattr(wb.Model, "generate", watched)
    with hooked(model, failing(RuntimeError(CPU), 4)):
        asked(one, shelf, runs, Admission())
    gc.collect()
    assert len(held) == 3
    assert [ref() for ref in held] == [None] * 3


def test_one_model_fails_and_the_other_answers(session: Session, shelf: Shelf, runs: RunStore) -> None:
    first, second = (shelf.get(name) for name in session.shown)
    with hooked(first, failing(torch.OutOfMemoryError("x"), 3)):
        for _ in ask(session, shelf, runs, Order("ask", "Hello"), SHORT):
            pass
    broken, fine = (session.columns[model.name] for model in (first, second))
    assert "not enough memory" in broken.note and len(broken.conversation) == 2
    assert fine.note == "" and fine.run is not None


def test_moderation_that_fails_spares_the_reply(
    one: Session, shelf: Shelf, runs: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(wb, "moderate", full)
    one.guards = Guards(moderate=True)
    column = asked(one, shelf, runs, Admission())
    assert column.run is not None and column.reply is not None
    assert column.reply.moderated.count("could not be moderated") == 2


def test_a_reply_is_cut_at_its_time_and_what_came_is_kept(one: Session, shelf: Shelf, runs: RunStore) -> None:
    clock = Clock()
    admission = Admission(Settings(reply_seconds=60), clock=clock)

    def later(n: int) -> None:
        clock.now += 10

    with hooked(shelf.get(one.shown[0]), later):
        column = asked(one, shelf, runs, admission, sampling=LONG)
    assert column.note.startswith("Stopped after 60 seconds")
    assert column.run is not None and 0 < len(runs.get(column.run).steps) < 1500
    assert admission.metrics.refusals() == {"seconds": 1} and admission.metrics.faults() == {}
    served(one, shelf, runs, Admission())


def test_a_step_that_hangs_is_left_behind(one: Session, shelf: Shelf, runs: RunStore) -> None:
    """The visitor keeps what came and the line goes on, while the step still hangs."""
    now, hangs, go = [0.0], threading.Event(), threading.Event()

    def clock() -> float:  # minutes pass in the step that hangs
        now[0] += 5.0 * hangs.is_set()
        return now[0]

    def hang(n: int) -> None:
        if n == 5:
            hangs.set()
            assert go.wait(WAIT)

    admission, model = Admission(Settings(reply_seconds=60), clock=clock), shelf.get(one.shown[0])
    with hooked(model, hang):
        for _ in ask(one, shelf, runs, Order("ask", "Hello"), LONG, admission):
            pass
    assert now[0] > 60 + PATIENCE
    column = one.columns[model.name]
    assert column.note.startswith("Stopped after 60 seconds") and "the end of a step" in column.note
    reply = column.talk.reply(1)
    assert reply is not None and 0 < reply.tokens < 6 and column.conversation[-1].content
    assert admission.metrics.faults() == {HUNG: 1} and not one.busy
    assert admission.counts(REPLY) == (0, 0), "though the step has not ended"
    go.set()
    served(one, shelf, runs, Admission())


def test_a_listener_who_goes_frees_the_turn_within_a_step(one: Session, shelf: Shelf, runs: RunStore) -> None:
    admission, steps = Admission(), [0]

    def count(n: int) -> None:
        steps[0] = n

    with hooked(shelf.get(one.shown[0]), count):
        stream = ask(one, shelf, runs, Order("ask", "Hello"), LONG, admission)
        while not one.columns[one.shown[0]].live:
            next(stream)
        stream.close()
        assert one.rest.wait(WAIT) and admission.counts(REPLY) == (0, 0)
        until = steps[0]
    column = one.columns[one.shown[0]]
    assert until < 1400 and column.run is not None, "what came is kept, for the moment of a reload"
    served(one, shelf, runs, admission)


def test_a_tab_that_closes_in_line_gives_up_its_place(one: Session, shelf: Shelf, runs: RunStore) -> None:
    """By a closed stream, and by its page that has gone while the stream waits for the line to move."""
    admission = Admission()
    with admission.turn(Visitor("another", "10.0.0.2")):
        stream = ask(one, shelf, runs, Order("ask", "Hello"), SHORT, admission, "10.0.0.1")
        next(stream), next(stream)
        assert one.columns[one.shown[0]].note.startswith("Next in line")
        stream.close()
        assert admission.counts(REPLY) == (1, 0) and not one.busy
        stream = ask(one, shelf, runs, Order("ask", "Hello"), SHORT, admission, "10.0.0.1")
        next(stream), next(stream)
        one.leave()
        assert len(list(stream)) == 1
        assert admission.counts(REPLY) == (1, 0) and not one.busy
    assert one.columns[one.shown[0]].note == "Stopped before the first word."
    served(one, shelf, runs, admission)


def test_no_thread_for_a_worker_is_a_sentence(
    one: Session, shelf: Shelf, runs: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    admission = Admission()

    def none(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none)
        column = asked(one, shelf, runs, admission)
    assert column.note == SENTENCES[OTHER]
    served(one, shelf, runs, admission)


def test_kinds_of_faults_and_a_log_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def chained() -> WorkbenchError:
        try:
            try:
                raise OSError(errno.ENOSPC, "No space left on device", "/secret/place")
            except OSError:
                raise WorkbenchError("A trial could not be written to /secret/place") from None
        except WorkbenchError as error:
            return error

    assert kind_of(WorkbenchError("x")) is None and kind_of(chained()) == DISK
    assert kind_of(torch.AcceleratorError("CUDA error: out of memory")) == MEMORY
    faults = Faults(Metrics())
    assert faults.told(chained()) == SENTENCES[DISK], "no path of the server"
    assert faults.told(WorkbenchError("The text is empty")) == "The text is empty."
    loading = DeviceError("It does not fit")
    loading.__cause__ = torch.OutOfMemoryError("x")
    assert faults.told(loading) == "It does not fit.", "a sentence that says it better"

    class Full:
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("sys.stderr", Full())
    assert faults.told(KeyError("x")) == SENTENCES[OTHER]
    monkeypatch.undo()
    assert Admission().counts(STUDY) == (0, 0) and writing.ENDS == ("done", "broken")
