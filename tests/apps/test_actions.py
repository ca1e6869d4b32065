"""What a tab does besides asking: versions, fork, undo, conversations, switches, orders about an old message."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import workbench as wb
from apps.studio.actions import act
from apps.studio.exchange import ask
from apps.studio.orders import Order
from apps.studio.session import BusyError, Session
from apps.studio.state import page_state
from apps.studio.studio import Studio

SHORT = wb.Sampling(max_new_tokens=6)
WARM = wb.Sampling(max_new_tokens=6, temperature=2.0, seed=1)
KEY = "k" * 32


@pytest.fixture(scope="module")
def studio(names: list[str]) -> Studio:
    return Studio.of(names)


@pytest.fixture
def tab(studio: Studio) -> Session:
    """A tab with one exchange of both models."""
    session = studio.opening.session(KEY)
    do(studio, session, Order("ask", "Hello"))
    return session


def do(studio: Studio, session: Session, order: Order, sampling: wb.Sampling = SHORT) -> None:
    for _ in ask(session, studio.shelf, studio.runs, order, sampling):
        pass
    assert not session.busy


def texts(session: Session, name: str) -> list[str]:
    return [message.content for message in session.columns[name].talk.said]


def test_an_older_version_shows_its_own_insides(studio: Studio, tab: Session, names: list[str]) -> None:
    column = tab.columns[names[0]]
    first, run = texts(tab, names[0]), column.run
    do(studio, tab, Order("again", model=names[0]), WARM)
    assert texts(tab, names[0]) != first
    assert column.run != run
    assert "temperature 2" in page_state(tab, studio.shelf)["columns"][0]["messages"][1]["footer"]
    act(studio, tab, {"kind": "choose", "model": names[0], "index": 1, "version": 0})
    assert texts(tab, names[0]) == first
    assert column.run == run
    assert column.strip is not None
    assert column.strip.payload()["ids"] == studio.runs.get(run).ids.tolist()
    message = page_state(tab, studio.shelf)["columns"][0]["messages"][1]
    assert (message["version"], message["versions"]) == (1, 2)
    assert "greedy" in message["footer"]
    assert tab.selection["run"] == run
    assert len(tab.columns[names[1]].talk.said.versions[1]) == 1, "the other model was not asked"


def test_an_edit_asks_both_again_and_keeps_the_old(studio: Studio, tab: Session, names: list[str]) -> None:
    do(studio, tab, Order("ask", "And now?"))
    before = texts(tab, names[0])
    do(studio, tab, Order("edit", "Good day", names[1], 0))
    for name in names:
        assert texts(tab, name)[0] == "Good day"
        assert len(texts(tab, name)) == 2
    assert tab.number == 2
    act(studio, tab, {"kind": "thread", "number": 1})
    assert texts(tab, names[0]) == before
    assert tab.columns[names[0]].run is not None


def test_an_edit_spares_a_model_that_was_asked_something_else(studio: Studio, tab: Session, names: list[str]) -> None:
    tab.shown = names[:1]
    do(studio, tab, Order("ask", "Only you"))
    tab.shown = list(names)
    other = texts(tab, names[1])
    do(studio, tab, Order("edit", "Only you!", names[0], 2))
    assert texts(tab, names[0])[2] == "Only you!"
    assert texts(tab, names[1]) == other


def test_fork_undo_and_new_lose_nothing(studio: Studio, tab: Session, names: list[str]) -> None:
    do(studio, tab, Order("ask", "Second"))
    whole = texts(tab, names[0])
    found = act(studio, tab, {"kind": "fork", "model": names[0], "index": 1})
    assert "Conversation 2" in found["say"]
    assert texts(tab, names[0]) == texts(tab, names[0])[:2] == whole[:2]
    do(studio, tab, Order("ask", "Instead"))
    found = act(studio, tab, {"kind": "undo"})
    assert found["text"] == "Instead"
    assert all(texts(tab, name) == texts(tab, name)[:2] for name in names)
    act(studio, tab, {"kind": "new"})
    assert texts(tab, names[0]) == []
    state = page_state(tab, studio.shelf)
    assert [thread["number"] for thread in state["threads"]][:2] == [1, 2]
    act(studio, tab, {"kind": "thread", "number": 1})
    assert texts(tab, names[0]) == whole


def test_a_reply_goes_on_from_another_token(studio: Studio, tab: Session, names: list[str]) -> None:
    column = tab.columns[names[0]]
    run = column.run
    inspection = studio.runs.get(run)
    place = inspection.prompt_length + 2
    assert column.strip is not None
    _, _, other = column.strip.payload()["alternatives"][place][1]
    do(studio, tab, Order("continue", model=names[0], run=str(run), token=place, instead=other))
    version = studio.runs.get(column.run)
    assert version.ids[: place + 1].tolist() == [*inspection.ids[:place].tolist(), other]
    assert len(version.ids) == place + 1 + SHORT.max_new_tokens
    alone = studio.shelf.get(names[0]).generate(
        [{"role": "user", "content": "Hello"}], wb.Sampling(max_new_tokens=9), wb.Capture.nothing(),
        begin=version.ids[inspection.prompt_length : place + 1],
    )  # fmt: skip
    for _ in alone:
        pass
    assert version.reply == alone.text
    assert len(column.talk.said.versions[1]) == 2
    assert column.reply is not None
    assert "3 given" in column.reply.footer
    assert tab.selection == {"run": column.run, "token": place + 1}, "the first token that the model chose"


@pytest.mark.parametrize(
    "order",
    [
        Order("continue", run="gone", token=20, instead=5),
        Order("continue", token=0, instead=5),
        Order("continue", token=10_000, instead=5),
        Order("again", index=0),
        Order("again", index=99),
        Order("edit", "x", index=1),
        Order("edit", "x", index=-7),
        Order("again", model="nobody"),
        Order("edit", "x", model="nobody", index=0),
        Order("sing"),
    ],
)
def test_impossible_orders_are_sentences(studio: Studio, tab: Session, names: list[str], order: Order) -> None:
    given = {"model": order.model or names[0]}
    if order.kind == "continue" and not order.run:
        given["run"] = str(tab.columns[names[0]].run)
    order = Order(**{**vars(order), **given})
    before = page_state(tab, studio.shelf)["columns"]
    with pytest.raises(wb.WorkbenchError):
        do(studio, tab, order)
    assert not tab.busy
    assert page_state(tab, studio.shelf)["columns"] == before


def test_a_token_that_cannot_begin_a_reply_is_a_sentence(studio: Studio, tab: Session, names: list[str]) -> None:
    column = tab.columns[names[0]]
    run, place = str(column.run), studio.runs.get(column.run).prompt_length
    for wrong in (2, 10**7, -1):  # the end of a text; ids that do not exist
        do(studio, tab, Order("continue", model=names[0], run=run, token=place, instead=wrong))
        assert "begin" in column.note
        assert column.run == run, "the reply that was there is shown again"


def test_a_switched_column_says_so_everywhere(studio: Studio, tab: Session, names: list[str]) -> None:
    own = tab.columns[names[0]].run
    act(studio, tab, {"kind": "switch", "model": names[0], "window": "none", "theta": "1e6"})
    state = page_state(tab, studio.shelf)["columns"][0]
    assert state["switched"] == "no window, theta 1e6"
    assert (state["window"], state["theta"]) == (None, 1e6)
    assert state["own"]["window"] == 24
    assert state["run"] == own
    assert "window" not in state["run_title"], "an earlier reply keeps its label"
    do(studio, tab, Order("again", model=names[0]))
    state = page_state(tab, studio.shelf)["columns"][0]
    assert state["run_title"].endswith("no window, theta 1e6")
    assert "no window, theta 1e6" in state["messages"][1]["footer"]
    switched = studio.runs.get(state["run"])
    assert "(no window, theta 1e6)" in switched.model["name"]
    assert switched.model["window"] is None
    assert studio.runs.get(own).model["window"] == 24
    act(studio, tab, {"kind": "switch", "model": names[0], "window": "own", "theta": "10000"})
    assert page_state(tab, studio.shelf)["columns"][0]["switched"] == ""


def test_a_column_may_have_a_cache_policy(studio: Studio, tab: Session, names: list[str]) -> None:
    column = tab.columns[names[1]]
    switch = {"kind": "switch", "model": names[1], "window": "own", "theta": "own"}
    act(studio, tab, switch | {"cache": "snapkv=8"})
    state = page_state(tab, studio.shelf)["columns"][1]
    assert (state["cache"], state["switched"]) == ("snapkv=8", "cache snapkv=8")
    do(studio, tab, Order("ask", "What is kept of a longer question?"))
    state = page_state(tab, studio.shelf)["columns"][1]
    assert state["run_title"].endswith("cache snapkv=8")
    assert "cache snapkv=8" in state["messages"][-1]["footer"]
    assert "cache" not in state["messages"][1]["footer"], "the earlier reply had none"
    runs = [tab.columns[name].run for name in names]
    found = studio.runs.get(column.run)
    assert found.provenance["settings"]["cache"] == "snapkv=8"
    assert (found.kv_cache["kept"].sum("position") == 8 + 5).all(), "the budget, and what was fed since"
    assert state["kv_bytes"] == int(found.kv_cache["bytes"].sum())
    assert found.attention.rows.sizes["query"] == len(found.ids) - 1
    assert "cache snapkv=8" in studio.runs.kept(column.run).facts.settings
    saved = act(studio, tab, {"kind": "export"})["file"]["text"]
    act(studio, tab, {"kind": "import", "text": saved})
    assert "imported · cache snapkv=8" in page_state(tab, studio.shelf)["columns"][1]["messages"][-1]["footer"]
    with pytest.raises(wb.WorkbenchError, match="is no budget"):
        act(studio, tab, switch | {"window": "8", "cache": "snapkv=some"})
    assert (column.switches, column.cache) == ({}, "snapkv=8"), "half a switch is none"
    with pytest.raises(wb.WorkbenchError, match="under the cache policy snapkv=8"):
        list(studio.pairs.measuring(*runs, threading.Event()))
    act(studio, tab, switch | {"cache": "own"})
    assert page_state(tab, studio.shelf)["columns"][1]["switched"] == ""


@pytest.mark.parametrize(
    ("window", "theta"),
    [("many", "own"), ("0", "own"), ("-4", "own"), ("2.5", "own"), (None, "own"), ("own", "0"), ("own", "nan"),
     ("own", "1e99"), (True, "own"), ("own", None), ({}, []), ("9" * 400, "own")],
)  # fmt: skip
def test_bad_switches_are_sentences(studio: Studio, tab: Session, names: list[str], window: Any, theta: Any) -> None:
    with pytest.raises(wb.WorkbenchError):
        act(studio, tab, {"kind": "switch", "model": names[0], "window": window, "theta": theta})
    assert tab.columns[names[0]].switches == {}


@pytest.mark.parametrize(
    "request_",
    [{}, {"kind": 7}, {"kind": "dance"}, {"kind": ["x"]}, {"kind": "choose"}, {"kind": "thread", "number": "1"},
     {"kind": "thread", "number": [1]},
     {"kind": "thread", "number": 99}, {"kind": "fork", "model": "x", "index": 0}, {"kind": "import"}],
)  # fmt: skip
def test_bad_requests_are_sentences(studio: Studio, tab: Session, request_: dict[str, Any]) -> None:
    with pytest.raises(wb.WorkbenchError):
        act(studio, tab, request_)


def test_nothing_is_changed_under_a_reply_that_is_being_written(studio: Studio, tab: Session) -> None:
    tab.claim()
    for kind in ("undo", "new", "fork", "choose", "thread", "switch", "import"):
        with pytest.raises(BusyError):
            act(studio, tab, {"kind": kind})
    assert act(studio, tab, {"kind": "look"}) == {}


def test_a_question_that_will_not_fit_is_told_before_it_is_asked(studio: Studio, tab: Session) -> None:
    assert act(studio, tab, {"kind": "fits", "text": "Hi", "longest": 10}) == {"fits": ""}
    assert "Too long for" in act(studio, tab, {"kind": "fits", "text": "word " * 3000, "longest": 10})["fits"]
    assert "has room for" in act(studio, tab, {"kind": "fits", "text": "word " * 1000, "longest": 2000})["fits"]


def test_a_listener_who_leaves_keeps_what_was_written(studio: Studio, tab: Session, names: list[str]) -> None:
    stream = ask(tab, studio.shelf, studio.runs, Order("ask", "Go on"), wb.Sampling(max_new_tokens=1500))
    for _ in stream:
        if all(len(tab.columns[name].live or "") > 5 for name in names):
            break
    stream.close()
    assert tab.rest.wait(10)
    for name in names:
        assert len(texts(tab, name)) == 4
        assert texts(tab, name)[3]
        reply = tab.columns[name].reply
        assert reply is not None
        assert reply.finish == "stopped"
        assert studio.runs.get(reply.run).reply == texts(tab, name)[3]


def test_an_unanswered_question_can_be_answered(studio: Studio, tab: Session, names: list[str]) -> None:
    do(studio, tab, Order("ask", "word " * 3000))
    assert "tokens" in tab.columns[names[0]].note
    do(studio, tab, Order("edit", "Short", names[0], 2))
    assert [len(texts(tab, name)) for name in names] == [4, 4]
