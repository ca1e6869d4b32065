"""What a tab may vote on, and what is kept with it: of its own replies, to one question; and blind votes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from apps.server.opinions import VOTE, read_rows
from apps.server.settings import Settings
from apps.studio.app import build
from apps.studio.behaviour_events import BehaviourEvents
from apps.studio.exchange import ask
from apps.studio.opinion_events import OpinionEvents
from apps.studio.orders import Order
from apps.studio.sections import sentences
from apps.studio.shelf import title
from apps.studio.studio import Studio
from apps.studio.vote_events import VoteEvents
from tests.behaviour.test_votes import folder_of
from workbench.behaviour.suite import suite_of
from workbench.behaviour.votes import Votes

KEY = "k" * 32


@pytest.fixture
def studio(names: list[str], tmp_path: Path) -> Studio:
    return Studio.of(names, settings=Settings(opinions=tmp_path / "kept"))


@pytest.fixture
def give(studio: Studio) -> Callable[..., dict[str, Any]]:
    """Say something as the tab KEY."""
    assert studio.opinions is not None
    said = sentences(OpinionEvents(studio, studio.opinions).functions[0])
    return lambda kind, choice="", **more: said(
        {"tab": KEY, "kind": kind, "choice": choice, "comment": "", "runs": [], "text": False} | more
    )


def said(studio: Studio, text: str) -> list[str]:
    """The runs of both models' replies to ``text``."""
    session = studio.sessions.of(KEY)
    for _ in ask(session, studio.shelf, studio.runs, Order("ask", text), wb.Sampling(max_new_tokens=4)):
        pass
    return [str(session.columns[name].run) for name in session.shown]


def test_a_vote_is_kept_with_what_made_both_replies(
    studio: Studio, give: Callable[..., dict[str, Any]], names: list[str], tmp_path: Path
) -> None:
    runs = said(studio, "Which of you is better?")
    assert "kept" in give("vote", "left", runs=runs)
    assert "kept" in give("rating", "down", runs=runs[1:], comment="too short", text=True)
    assert "kept" in give("note", comment="Thanks")
    one, two, three = read_rows(tmp_path / "kept")
    assert (one["kind"], one["source"], one["blind"], one["said"]) == (VOTE, "chat", False, None)
    for run, name, side in zip(runs, names, (one["left"], one["right"]), strict=True):
        found = studio.runs.get(run, KEY)
        assert (side["model"], side["weights"]) == (title(name), studio.shelf.get(name).loaded.weights_hash)
        assert side["ids_sha256"] == hashlib.sha256(",".join(map(str, found.ids)).encode()).hexdigest()
        assert side["sampling"]["max_new_tokens"] == 4
    assert two["left"] == one["right"]
    assert two["said"]["left"][0] == {"role": "user", "content": "Which of you is better?"}
    assert "Which" not in json.dumps([one, three]), "text only where it was asked for"
    assert str(tmp_path) not in json.dumps([one, two, three]), "no path of this machine"
    assert names[0] not in json.dumps([one, two, three])


def test_nothing_is_asked_where_nothing_is_kept(names: list[str]) -> None:
    places = [one["props"].get("elem_id") for one in build(names).config["components"]]
    assert "wb-chat" in places
    assert "wb-opinions" not in places


def test_only_own_replies_to_one_question(studio: Studio, give: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    first = said(studio, "One")
    second = said(studio, "Two")
    bad: list[tuple[str, dict[str, Any]]] = [
        ("changed meanwhile", {"runs": ["x", second[1]]}),
        ("changed meanwhile", {"runs": second[:1]}),
        ("changed meanwhile", {"runs": [[], {}]}),
        ("changed meanwhile", {"runs": None}),
        ("changed meanwhile", {"tab": "s" * 32, "runs": second}),  # a stranger's
        ("same question", {"runs": [first[0], second[1]]}),
        ("same question", {"runs": [second[0], second[0]]}),
        ("expected left, right", {"runs": second, "choice": "middle"}),
        ("something else", {"runs": second, "choice": 1}),
        ("something else", {"runs": second, "comment": None}),
        ("changed meanwhile", {"tab": "short", "runs": second}),
    ]
    for words, request in bad:
        assert words in give("vote", **({"choice": "left"} | request)).get("error", ""), request
    assert "expected vote" in give("praise")["error"]
    assert read_rows(tmp_path / "kept") == []
    assert len(studio.sessions) == 1, "nobody's tab was made for a request"
    assert "kept" in give("vote", "neither", runs=first), "an earlier pair can be voted on as well"
    studio.runs.forget(KEY)
    assert "no longer kept" in give("vote", "left", runs=second)["error"]


def test_blind_votes_are_kept_too_and_survive_a_store_that_fails(studio: Studio, tmp_path: Path) -> None:
    behaviour = BehaviourEvents(studio)
    suite = suite_of([{"prompt": "x"}])
    folder = behaviour._folder(behaviour._asked(KEY, suite, wb.Sampling(max_new_tokens=4), False))
    folder_of(folder, 3)
    events, request = VoteEvents(studio, behaviour), {"tab": KEY, "run": folder.name, "sample": 0}
    shown = {one["item"]: one["left"][0].split(" ")[0] for one in events.votes_ask(request)["ballots"]}
    assert events.votes_give(request | {"item": "0", "vote": "left"}) == {}
    assert events.votes_give(request | {"item": "1", "vote": "both bad"}) == {}
    one, two = read_rows(tmp_path / "kept")
    assert (one["source"], one["blind"], one["choice"], two["choice"]) == ("behaviour", True, "left", "neither")
    assert (one["left"]["model"], one["left"]["weights"]) == (shown["0"], shown["0"])
    assert one["left"]["key"].startswith(shown["0"])
    assert {one["left"]["model"], one["right"]["model"]} == {"one", "other"}
    for file in (tmp_path / "kept").iterdir():
        file.unlink()
    (tmp_path / "kept" / "opinions.sqlite").write_text("no database, but more than sixteen characters " * 20)
    told = events.votes_give(request | {"item": "2", "vote": "right"})
    assert "no SQLite database" in told["said"]
    assert len(Votes.read(folder).rows) == 3, "the visitor's own votes are there"
