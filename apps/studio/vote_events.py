"""Blind votes on the page: the pairs of a visitor's run without their names, each vote, and the result when asked."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from apps.server.door import CLIENT
from apps.server.opinions import VOTE, Opinion, OpinionError, digest
from apps.studio.behaviour_events import BehaviourEvents
from apps.studio.jobs import Told
from apps.studio.opinion_events import public_name
from apps.studio.studio import Studio
from workbench.behaviour.judge import Verdicts, judge_suite
from workbench.behaviour.votes import FILE, Ballot, Poll, Votes
from workbench.errors import WorkbenchError
from workbench.models.switches import describe

MOST_BYTES = 4 * 2**20
"""Of the votes on one run: a vote that replaces another is a line more."""

CHOSEN = {"both good": "both", "both bad": "neither", "tie": "neither"}
"""Votes for neither answer, as the server's store has them."""


class VoteEvents:
    """The names of what stands left and right stay here (`Ballot.shown`): the page is told places and texts."""

    def __init__(self, studio: Studio, behaviour: BehaviourEvents) -> None:
        self._studio = studio
        self._behaviour = behaviour
        self._lock = threading.Lock()

    @property
    def functions(self) -> list[Callable[[Any], dict[str, Any]]]:
        return [self.votes_ask, self.votes_give, self.votes_result, self.votes_judge]

    def votes_ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"ballots": [{"item", "sample", "category", "system", "turns", "left", "right", "vote"}], "same"} for
        {"run": the run's name}: every pair that can be voted on, ``vote`` null where there is none yet."""
        poll = self._poll(request)
        votes = poll.votes()
        return {"ballots": [_blind(one, votes.get(one.pair.place)) for one in poll.ballots], "same": poll.same}

    def votes_give(self, request: dict[str, Any]) -> dict[str, Any]:
        """Keep the vote {"run", "item", "sample", "vote"}; {"said": a sentence} where the server's own store of votes
        did not take it: it is in the visitor's folder all the same."""
        item, sample, vote = request.get("item"), request.get("sample"), request.get("vote")
        if not isinstance(item, str) or isinstance(sample, bool) or not isinstance(sample, int):
            raise WorkbenchError("The vote names no item", remedy="Reload the page")
        poll = self._poll(request)
        with self._lock:
            file = poll.folder / FILE
            if file.exists() and file.stat().st_size > MOST_BYTES:
                raise WorkbenchError(
                    "There are too many votes on these answers", remedy="Run the suite with another seed"
                )
            ballot = poll.ballot(item, sample)
            poll.vote(ballot, str(vote))
        if self._studio.opinions is None:
            return {}
        try:
            self._studio.opinions.keep(_opinion(poll, ballot, str(vote)), str(request.get("tab")), CLIENT.get())
        except OpinionError as error:
            return {"said": str(error)}
        return {}

    def votes_result(self, request: dict[str, Any]) -> dict[str, Any]:
        """The result with names, `Votes.as_json`; its ``votes`` are {"item", "sample", "category", "left", "right",
        "vote", "time"}."""
        found = Votes.read(self._folder(request)).as_json()
        told = ("item", "sample", "category", "left", "right", "vote", "time")
        return found | {"votes": [{name: row.get(name) for name in told} for row in found["votes"]]}

    def votes_judge(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"job"} for {"run", "judge": a model of the shelf}: it judges every pair in both orders, and grades
        answers to items with a reference. The job's result: {"verdicts": [`Verdicts.as_json` of each judge]}."""
        folder, name = self._folder(request), request.get("judge")
        if name not in self._studio.shelf.names:
            raise WorkbenchError("No judge was chosen", expected=" or ".join(self._studio.shelf.names))

        def work(stop: threading.Event) -> Generator[Told, None, Any]:
            yield {"share": 0.0, "said": f"loading {name}"}
            for step in judge_suite(self._studio.shelf.get(str(name)), folder, stop=stop):
                yield {"share": step.share, "said": f"{step.done} of {step.of} verdicts"}
            return {"verdicts": [one.as_json() for one in Verdicts.read(folder)]}

        return {"job": self._studio.jobs.start(str(request.get("tab", "")), work, "workbench suite judge")}

    def _folder(self, request: dict[str, Any]) -> Path:
        return self._behaviour.folder_of(str(request.get("tab", "")), request.get("run"))

    def _poll(self, request: dict[str, Any]) -> Poll:
        """The visitor's poll: the draw of left and right is the visitor's own, and the same after a reload."""
        drawn = hashlib.sha256(f"{request.get('tab')}/{request.get('run')}".encode()).digest()
        return Poll(self._folder(request), seed=int.from_bytes(drawn[:6]))


def _opinion(poll: Poll, ballot: Ballot, vote: str) -> Opinion:
    """The vote as the server keeps it: blind, with what is known of both models."""
    study, item = poll.answers.provenance, ballot.pair.item
    sides = []
    for name, key in zip(ballot.shown, reversed(ballot.pair.keys) if ballot.swapped else ballot.pair.keys, strict=True):
        about = study["models"].get(name) or {}
        same = about.get("identity") or {}
        sides.append({
            "model": public_name(name, about), "weights": str(same.get("weights", "")), "origin": "behaviour",
            "key": key, "switched": describe(same.get("switches") or {}), "sampling": study.get("sampling"),
        })  # fmt: skip
    choice = CHOSEN.get(vote, vote)
    return Opinion(VOTE, choice, "behaviour", True, digest(item.system, *item.turns), left=sides[0], right=sides[1])


def _blind(ballot: Ballot, vote: str | None) -> dict[str, Any]:
    pair = ballot.pair
    return {
        "item": pair.item.id, "sample": pair.sample, "category": pair.item.category, "system": pair.item.system,
        "turns": list(pair.item.turns), "left": list(ballot.left), "right": list(ballot.right), "vote": vote,
    }  # fmt: skip
