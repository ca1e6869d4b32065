"""Replies computed on visits to another process: the same as without, stopped in between, refused in words."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import gradio as gr
import numpy as np
import pytest

import workbench as wb
from apps.server.admission import STUDY, Admission, RefusedError, Visitor
from apps.server.faults import MEMORY, OTHER, SENTENCES, TAKEN
from apps.server.settings import Settings, read_settings
from apps.space.zerogpu import MOST, START, in_words, lent, load, seconds
from apps.studio.exchange import ask
from apps.studio.guards import Guards
from apps.studio.orders import Job, Order
from apps.studio.runs import RunStore
from apps.studio.session import Column, Session
from apps.studio.shelf import Shelf
from apps.studio.state import page_state
from apps.studio.visit import Asked, Event, Request, Visiting, plain, stop_file, visit
from apps.studio.visiting import GONE
from tests.visiting import Elsewhere
from workbench.errors import WorkbenchError

SHORT = wb.Sampling(max_new_tokens=8)
HELLO = wb.Conversation.of([{"role": "user", "content": "Hello there"}])


@pytest.fixture(scope="module")
def elsewhere(names: list[str]) -> Iterator[Elsewhere]:
    found = Elsewhere(names)
    yield found
    found.close()


def request(names: list[str], stop: str = "/nowhere/stop", **others: object) -> Request:
    asked = tuple(Asked.of(Job(Column(name), HELLO), 9) for name in names)
    given = {"asked": asked, "sampling": SHORT, "guards": Guards(), "settings": plain(Settings()), "stop": stop}
    return Request(**(given | others))  # type: ignore[arg-type]


def asked_twice(session: Session, shelf: Shelf, runs: RunStore, order: Order, **others: object) -> list[wb.Inspection]:
    for _ in ask(session, shelf, runs, order, SHORT, **others):  # type: ignore[arg-type]
        pass
    assert [column.note for column in session.columns.values()] == ["", ""]
    return [runs.get(column.run) for column in session.columns.values()]


def said(found: wb.Inspection) -> dict[str, object]:
    record = found.record.model_dump(exclude={"timings"})
    record["provenance"].pop("created")
    return record


def test_a_visit_brings_back_what_the_models_here_would_have_made(
    elsewhere: Elsewhere, names: list[str], session: Session, shelf: Shelf, runs: RunStore
) -> None:
    away = Shelf([shelf.get(name) for name in names], visiting=elsewhere)
    other = Session("you", {name: Column(name) for name in names}, list(names))
    first = session.columns[names[0]], other.columns[names[0]]
    for column in first:
        column.switches = {"window": None, "theta": 1e6}
    for one in (session, other):
        one.guards = Guards(safe_prompt=True, moderate=True)
    admission = Admission(read_settings("shared", {}, mode="zerogpu"))
    there = asked_twice(other, away, runs, Order("ask", "Where is Tom?"), admission=admission, client="1.2.3.4")
    here = asked_twice(session, shelf, runs, Order("ask", "Where is Tom?"))
    for mine, theirs in zip(here, there, strict=True):
        assert said(mine) == said(theirs)
        assert mine.arrays.keys() == theirs.arrays.keys()
        for name in mine.arrays.keys() - {"steps.seconds"}:
            np.testing.assert_array_equal(mine.arrays[name], theirs.arrays[name], err_msg=name)
        assert mine.attention is not None
        assert theirs.attention is not None
        np.testing.assert_array_equal(theirs.attention.row(3, 1), mine.attention.row(3, 1))  # a click reads it
    for mine, theirs in zip(session.columns.values(), other.columns.values(), strict=True):
        assert mine.conversation.messages == theirs.conversation.messages
        assert mine.reply is not None
        assert theirs.reply is not None
        assert (mine.reply.switched, mine.reply.moderated) == (theirs.reply.switched, theirs.reply.moderated)
        assert "question: " in mine.reply.moderated
        assert "answer: " in mine.reply.moderated
        assert mine.strip is not None
        assert theirs.strip is not None
        assert mine.strip.payload()["logprob"] == theirs.strip.payload()["logprob"]
    assert f"tokens_total {2 * 8}\n" in admission.metrics.text()
    assert sum(elsewhere.bytes) < 4 * 2**20


def test_stop_ends_a_visit_and_what_was_written_is_kept(
    elsewhere: Elsewhere, names: list[str], session: Session, shelf: Shelf, runs: RunStore
) -> None:
    away = Shelf([shelf.get(name) for name in names], visiting=elsewhere)
    for _ in ask(session, away, runs, Order("ask", "Hello"), wb.Sampling(max_new_tokens=1500)):
        if all(len(column.live or "") > 3 for column in session.columns.values()):
            session.stop()
    for column in session.columns.values():
        assert 0 < len(runs.get(column.run).steps) < 1500
        assert column.reply is not None
        assert column.reply.finish == "stopped"


def test_a_reply_that_begins_with_given_tokens(
    elsewhere: Elsewhere, names: list[str], session: Session, shelf: Shelf, runs: RunStore
) -> None:
    away = Shelf([shelf.get(name) for name in names], visiting=elsewhere)
    first = asked_twice(session, away, runs, Order("ask", "Hello"))[0]
    column = session.columns[names[0]]
    place = first.prompt_length + 2
    order = Order("continue", model=names[0], run=str(column.run), token=place, instead=1200)
    for _ in ask(session, away, runs, order, SHORT):
        pass
    found = runs.get(column.run)
    assert found.record.given == 3
    assert found.ids[: place + 1].tolist() == [*first.ids[:place].tolist(), 1200]


def test_what_crosses_the_border_holds_no_secret_and_nothing_large(names: list[str]) -> None:
    told = read_settings("none", {"WORKBENCH_PASSWORD": "hunter2", "WORKBENCH_METRICS_TOKEN": "hunter3"})
    sent = pickle.dumps(request(names, settings=plain(told)))
    assert b"hunter" not in sent
    assert len(sent) < 16_384
    assert pickle.loads(sent).asked == request(names).asked
    assert Admission(plain(told)).run_bytes == 64 * 2**20


def test_the_duration_follows_what_is_asked(names: list[str]) -> None:
    one, both = seconds(request(names[:1])), seconds(request(names))
    assert START < one <= both
    assert seconds(request(names, sampling=wb.Sampling(max_new_tokens=64))) > both
    assert seconds(request(names, guards=Guards(moderate=True))) > both
    assert seconds(request(names, sampling=wb.Sampling(max_new_tokens=10**6))) == MOST


def test_spaces_own_decorator_off_a_space(names: list[str], session: Session, runs: RunStore) -> None:
    models = load([*names, "/nowhere"])
    assert list(models) == names, "what cannot be loaded is named in the log"
    visiting = lent(models)
    shelf = Shelf(list(models.values()), visiting=visiting)
    asked_twice(session, shelf, runs, Order("ask", "Hello"))
    shelf.warm()  # nothing: the weights are of no use outside a visit
    with pytest.raises(WorkbenchError, match="only answers here"):
        shelf.get(names[0], {"window": 5})


def refusing(title: str, message: str) -> Visiting:
    def visiting(request: Request) -> Iterator[Event]:
        raise gr.Error(message, title=title, print_exception=False)
        yield

    return in_words(visiting)


@pytest.mark.parametrize(
    ("title", "message", "says", "why"),
    [
        (
            "ZeroGPU quota exceeded", "You have exceeded your free ZeroGPU quota (20s requested vs. 3s left).",
            "There is no GPU time left: You have exceeded your free ZeroGPU quota (20s requested vs. 3s left). The"
            " recorded runs stay open", "quota",
        ),
        ("ZeroGPU queue timeout", "No GPU was available after 60s", "There is no GPU at this moment: No GPU", "gpu"),
        ("ZeroGPU illegal duration", "The requested GPU duration (110s) is larger", "Ask for a shorter reply",
         "duration"),
        ("ZeroGPU worker error", "GPU task aborted", "The GPU was taken back before the reply had ended (GPU task", ""),
    ],
)  # fmt: skip
def test_a_gpu_that_is_not_lent_is_a_sentence(
    title: str, message: str, says: str, why: str, names: list[str], session: Session, shelf: Shelf, runs: RunStore
) -> None:
    """The operator sees it counted; where nothing was lent, the column offers what was recorded, until the next try."""
    away = Shelf([shelf.get(name) for name in names], visiting=refusing(title, message))
    admission = Admission()
    for _ in ask(session, away, runs, Order("ask", "Hello"), SHORT, admission):
        pass
    assert not session.busy
    assert all(says in column.note for column in session.columns.values())
    assert admission.counts("reply") == (0, 0)
    assert "Traceback" not in admission.metrics.text()
    counted = (admission.metrics.refusals(), admission.metrics.faults())
    assert counted == (({why: 1}, {}) if why else ({}, {TAKEN: 1}))
    assert [one["offers"] for one in page_state(session, shelf)["columns"]] == [bool(why)] * 2
    for _ in ask(session, shelf, runs, Order("ask", "Hello"), SHORT):
        pass
    assert not any(one["offers"] for one in page_state(session, shelf)["columns"])


def test_what_breaks_on_a_visit_is_counted_here(
    names: list[str], session: Session, shelf: Shelf, runs: RunStore
) -> None:
    """Whatever process it is paid in; the next visit begins from nothing."""
    models = {name: shelf.get(name) for name in names}

    def across(request: Request) -> Iterator[Event]:
        for event in visit(models, pickle.loads(pickle.dumps(request))):
            yield pickle.loads(pickle.dumps(event))

    def breaking(error: Exception) -> Callable[..., None]:
        def hook(*_: object) -> None:
            raise error

        return hook

    admission, away = Admission(), Shelf(list(models.values()), visiting=across)
    errors = (MemoryError("in the child"), KeyError("in the child"))
    hooks = [
        model.loaded.module.register_forward_pre_hook(breaking(error))
        for model, error in zip(models.values(), errors, strict=True)
    ]
    for _ in ask(session, away, runs, Order("ask", "Hello"), SHORT, admission):
        pass
    assert [column.note for column in session.columns.values()] == [SENTENCES[MEMORY], SENTENCES[OTHER]]
    assert admission.metrics.faults() == {MEMORY: 1, OTHER: 1}
    assert 'workbench_faults_total{kind="memory"} 1\n' in admission.metrics.text()
    for hook in hooks:
        hook.remove()
    asked_twice(session, away, runs, Order("ask", "Hello"), admission=admission)
    assert admission.metrics.faults() == {MEMORY: 1, OTHER: 1}


def test_a_visit_that_ends_without_a_word(names: list[str], session: Session, shelf: Shelf, runs: RunStore) -> None:
    def visiting(request: Request) -> Iterator[Event]:
        yield from ()

    away = Shelf([shelf.get(name) for name in names], visiting=visiting)
    admission = Admission()
    for _ in ask(session, away, runs, Order("ask", "Hello"), SHORT, admission):
        pass
    assert not session.busy
    assert [column.note for column in session.columns.values()] == [GONE, GONE]
    assert admission.metrics.faults() == {TAKEN: 1}


def test_an_end_that_cannot_be_unpacked_is_an_end(
    names: list[str], session: Session, shelf: Shelf, runs: RunStore
) -> None:
    """A reply whose arrays came back damaged: the tab is free again, and says so."""
    models = {name: shelf.get(name) for name in names}

    def damaged(request: Request) -> Iterator[Event]:
        for event in visit(models, request):
            yield replace(event, value=replace(event.value, record="{")) if event.kind == "done" else event

    away, admission = Shelf(list(models.values()), visiting=damaged), Admission(Settings(reply_seconds=60))
    for _ in ask(session, away, runs, Order("ask", "Hello"), SHORT, admission):
        pass
    assert not session.busy
    assert [column.note for column in session.columns.values()] == [SENTENCES[OTHER]] * 2
    assert admission.metrics.faults() == {OTHER: 1}


def test_the_rest_of_the_page_has_no_gpu() -> None:
    admission = Admission(read_settings("shared", {}, mode="zerogpu"))
    with pytest.raises(RefusedError, match="has a GPU only while a reply of the chat is written") as refused:
        admission.enter(Visitor("a"), STUDY)
    assert refused.value.why == "mode"
    admission.enter(Visitor("a"), chat=True).leave()


def test_the_stop_file_comes_with_the_event_and_goes_with_the_visit() -> None:
    event = threading.Event()
    with stop_file(event) as path:
        assert not Path(path).exists()
        event.set()
        until = time.monotonic() + 60
        while not Path(path).exists():
            assert time.monotonic() < until
            time.sleep(0.01)
    assert not Path(path).parent.exists()
