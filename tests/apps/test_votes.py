"""Blind votes of a visitor: what the page is told, whose votes are whose, and what is turned away."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import apps.studio.vote_events as module
import workbench as wb
from apps.studio.behaviour_events import BehaviourEvents
from apps.studio.studio import Studio
from apps.studio.vote_events import VoteEvents
from tests.behaviour.test_votes import folder_of
from workbench.behaviour.suite import suite_of
from workbench.behaviour.votes import Votes
from workbench.errors import WorkbenchError

TAB = "t" * 32


@pytest.fixture
def kept(tmp_path: Path) -> tuple[VoteEvents, Path]:
    """A visitor's run with answers of "one" and "other" in it: four pairs that differ, two alike."""
    studio = Studio.of(["twin-v0.1", "twin-v0.2"])
    behaviour = BehaviourEvents(studio)
    suite = suite_of([{"prompt": "x"}])
    folder = behaviour._folder(behaviour._asked(TAB, suite, wb.Sampling(max_new_tokens=4), False))
    folder_of(folder, 6, same=2)
    return VoteEvents(studio, behaviour), folder


def test_the_page_is_told_places_and_texts_only(kept: tuple[VoteEvents, Path]) -> None:
    events, folder = kept
    request = {"tab": TAB, "run": folder.name}
    asked = events.votes_ask(request)
    assert (len(asked["ballots"]), asked["same"]) == (4, 2)
    texts = {"item", "sample", "category", "system", "turns", "left", "right", "vote"}
    assert all(set(one) == texts for one in asked["ballots"])
    for one in asked["ballots"]:  # the first model is better wherever it stands
        left = one["left"][0].startswith("one ")
        events.votes_give(request | {"item": one["item"], "sample": 0, "vote": "left" if left else "right"})
    again = events.votes_ask(request)
    assert [one | {"vote": None} for one in again["ballots"]] == asked["ballots"]
    assert all(one["vote"] in ("left", "right") for one in again["ballots"])
    found = events.votes_result(request)
    assert found["tallies"] == Votes.read(folder).as_json()["tallies"]
    assert (found["tallies"][0]["model"], found["tallies"][0]["wins"]) == ("one", 4)
    json.dumps(found, allow_nan=False)


def test_others_and_mistakes_are_turned_away(kept: tuple[VoteEvents, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    events, folder = kept
    request = {"tab": TAB, "run": folder.name}
    for wrong in ({"tab": "u" * 32}, {"run": None}, {"run": "../.."}, {"run": ["x"]}):
        for function in (events.votes_ask, events.votes_give, events.votes_result, events.votes_judge):
            with pytest.raises(WorkbenchError, match=r"no longer kept|names no item"):
                function(request | wrong)
    good = request | {"item": "0", "sample": 0, "vote": "both good"}
    for bad in ({"item": "5"}, {"item": None}, {"sample": True}, {"sample": 7}, {"vote": "one"}, {"vote": None}):
        with pytest.raises(WorkbenchError):
            events.votes_give(good | bad)
    with pytest.raises(WorkbenchError, match="No judge"):
        events.votes_judge(request | {"judge": "gpt"})
    events.votes_give(good)
    monkeypatch.setattr(module, "MOST_BYTES", 10)
    with pytest.raises(WorkbenchError, match="too many votes"):
        events.votes_give(good)
    assert len(Votes.read(folder).rows) == 1
