"""Blind votes: two models' answers to the same item, shown left and right in a drawn order, names hidden.

Votes are kept in the folder of the answers (``votes.jsonl``): item, sample, what stood left and right, the vote, the
voter and the time. A later vote of the same voter on the same pair replaces the earlier one; nothing is erased.
"""

from __future__ import annotations

import datetime
import importlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from workbench.behaviour import journal, preference
from workbench.behaviour.answers import Answers
from workbench.behaviour.preference import Outcome, Position, Tally
from workbench.behaviour.suite import Item
from workbench.errors import ComparisonError, WorkbenchError
from workbench.models.given import path_given
from workbench.results import Result
from workbench.results.markup import flat

FILE = "votes.jsonl"
TIES = ("both good", "both bad", "tie")
"""Votes for neither answer; "tie" does not say which."""
CHOICES = ("left", "right", *TIES)
_NEEDED = {"item": str, "sample": int, "left": str, "right": str, "keys": list, "vote": str, "voter": str}


@dataclass(frozen=True)
class Pair:
    """The answers of ``first`` and ``second`` to an item, one text a turn; ``keys`` are those of their rows."""

    item: Item
    sample: int
    first: str
    second: str
    answers: tuple[tuple[str, ...], tuple[str, ...]]
    keys: tuple[str, str]

    @property
    def place(self) -> tuple[str, int]:
        return self.item.id, self.sample


@dataclass(frozen=True)
class Ballot:
    """One question to a voter. ``left`` and ``right`` are the answers, one text a turn; the names are in ``shown``
    (left, right), which a blind vote does not show."""

    pair: Pair
    swapped: bool

    @property
    def left(self) -> tuple[str, ...]:
        return self.pair.answers[int(self.swapped)]

    @property
    def right(self) -> tuple[str, ...]:
        return self.pair.answers[int(not self.swapped)]

    @property
    def shown(self) -> tuple[str, str]:
        """The models' names, left and right."""
        return (self.pair.second, self.pair.first) if self.swapped else (self.pair.first, self.pair.second)


def two_of(answers: Answers, models: Sequence[str] | None = None) -> tuple[str, str]:
    """The two models to compare: those named, or the folder's first two. Raises ComparisonError."""
    names = list(answers.models[:2] if models is None else models)
    if len(names) != 2 or len(set(names)) != 2:
        raise ComparisonError(f"{len(set(names))} models are to be compared", expected="answers of two",
                              remedy="Run the suite with another model into the same folder")  # fmt: skip
    for name in names:
        if name not in answers.models:
            raise ComparisonError(f"There are no answers of {name[:80]!r}", expected=" or ".join(answers.models))
    return names[0], names[1]


def pairs(answers: Answers, models: Sequence[str] | None = None) -> tuple[list[Pair], int]:
    """What both models answered, in the suite's order, and how many pairs are left out because the answers are the same
    to the letter: there is nothing to prefer. Answers that ended in an error are left out as well."""
    first, second = two_of(answers, models)
    items = {item.id: item for item in answers.suite.items}
    rows: dict[tuple[str, int], dict[str, dict[str, Any]]] = {}
    for row in answers.rows:
        if row["model"] in (first, second) and not row.get("error"):
            rows.setdefault((row["item"], row.get("sample", 0)), {})[row["model"]] = row
    found, same = [], 0
    for (item, sample), by_model in rows.items():
        if len(by_model) < 2:
            continue
        one, other = by_model[first], by_model[second]
        texts = tuple(one["answers"]), tuple(other["answers"])
        if texts[0] == texts[1]:
            same += 1
        else:
            found.append(Pair(items[item], sample, first, second, texts, (one["key"], other["key"])))
    return found, same


class Poll:
    """The votes of ``voter`` on two models' answers in a folder. ``seed`` draws which model stands left: half of the
    suite's places each (one more where they are odd), the same for the same suite and seed, whatever is answered yet.

    Raises FileFormatError for a folder without answers, ComparisonError where there are no two models.
    """

    def __init__(
        self, folder: str | Path, models: Sequence[str] | None = None, *, voter: str = "me", seed: int = 0
    ) -> None:
        if not isinstance(voter, str) or not voter.strip() or len(voter) > 80:
            raise WorkbenchError("The voter has no name", expected="1 to 80 characters")
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise WorkbenchError(f"seed is {seed!r}", expected="a whole number of at least 0")
        self.folder, self.voter, self.seed = path_given(folder, "folder"), voter, seed
        self.answers = Answers.read(folder)
        self.models = two_of(self.answers, models)
        found, self.same = pairs(self.answers, self.models)
        swapped = swaps(self.answers, seed)
        self.ballots = tuple(Ballot(pair, swapped[pair.place]) for pair in found)

    def votes(self) -> dict[tuple[str, int], str]:
        """This voter's votes by (item, sample): one of `CHOICES`, left and right as this poll shows the pair."""
        found = {}
        latest = _latest(self.folder)
        for ballot in self.ballots:
            row = latest.get((*ballot.pair.place, frozenset(ballot.pair.keys), self.voter))
            if row is not None:
                turned = {"left": "right", "right": "left"} if row["left"] != ballot.shown[0] else {}
                found[ballot.pair.place] = turned.get(row["vote"], row["vote"])
        return found

    def open(self) -> list[Ballot]:
        """What this voter has not voted on yet."""
        done = self.votes()
        return [ballot for ballot in self.ballots if ballot.pair.place not in done]

    def vote(self, ballot: Ballot, choice: str) -> None:
        """Keep a vote, one of `CHOICES`. Raises WorkbenchError for another word, FileFormatError where it cannot be
        written."""
        if choice not in CHOICES:
            raise WorkbenchError(f"The vote is {str(choice)[:40]!r}", expected=", ".join(CHOICES))
        pair, (left, right) = ballot.pair, ballot.shown
        keys = list(reversed(pair.keys)) if ballot.swapped else list(pair.keys)
        row = {
            "item": pair.item.id, "sample": pair.sample, "left": left, "right": right, "keys": keys, "vote": choice,
            "voter": self.voter, "seed": self.seed,
            "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }  # fmt: skip
        journal.append(self.folder / FILE, row)

    def ballot(self, item: str, sample: int) -> Ballot:
        """The ballot of a place. Raises WorkbenchError where there is none."""
        for one in self.ballots:
            if one.pair.place == (item, sample):
                return one
        raise WorkbenchError(f"There is no pair of answers to {str(item)[:60]!r}", expected="an item both answered")


def swaps(answers: Answers, seed: int) -> dict[tuple[str, int], bool]:
    """For every place of the suite, (item, sample): whether the second model stands left."""
    samples = int(answers.provenance.get("samples", 1))
    places = [(item.id, sample) for item in answers.suite.items for sample in range(samples)]
    drawn = np.random.default_rng(seed).permutation(len(places)) % 2 == 1
    return dict(zip(places, drawn.tolist(), strict=True))


@dataclass(frozen=True, eq=False)
class Votes(Result):
    """The counted votes on two models. ``rows`` are those that count, ``tallies`` wins, ties and losses by category and
    model, ``position`` how often the left one won; ``pairs`` can be voted on, ``same`` more have the same answers.
    ``ties`` counts the votes for neither by what was said (`TIES`)."""

    models: tuple[str, str]
    rows: tuple[dict[str, Any], ...]
    tallies: tuple[Tally, ...]
    position: Position
    ties: dict[str, int]
    pairs: int
    same: int
    provenance: dict[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, folder: str | Path, models: Sequence[str] | None = None, voter: str | None = None) -> Votes:
        """Count the votes in a folder, of one ``voter`` or of all. Votes on answers that are no longer those of the
        folder do not count. Raises FileFormatError, ComparisonError."""
        answers = Answers.read(folder)
        names = two_of(answers, models)
        found, same = pairs(answers, names)
        known = {(*pair.place, frozenset(pair.keys)): pair for pair in found}
        rows, outcomes = [], []
        for key, row in _latest(Path(folder)).items():
            if (pair := known.get(key[:3])) is None or voter not in (None, key[3]):
                continue
            left = {"left": 1.0, "right": 0.0}.get(row["vote"], 0.5)
            value = left if row["left"] == names[0] else 1 - left
            rows.append(row | {"category": pair.item.category})
            outcomes.append(Outcome(pair.item.id, pair.item.category, value))
        decided = [row["vote"] for row in rows if row["vote"] not in TIES]
        ties = {word: sum(row["vote"] == word for row in rows) for word in TIES}
        place = preference.position(decided.count("left"), len(decided))
        about = {name: answers.provenance["models"].get(name) for name in names}
        made = {"suite": answers.provenance.get("suite"), "models": about, "intervals": "95 %"}
        return cls(names, tuple(rows), tuple(preference.tallies(names, outcomes)), place, ties, len(found), same, made)

    @cached_property
    def sentence(self) -> str:
        """The result in words, with the position check."""
        found = preference.sentence(self.tallies)
        if any(self.ties.values()):
            found += f" Neither was better: {', '.join(f'{n} {word}' for word, n in self.ties.items() if n)}."
        if self.position.n:
            at = self.position
            found += f" Left was chosen in {at.first_place} of {at.n} decided votes ({at.low:.0%} to {at.high:.0%})."
        return found + (f" {self.same} pairs are the same to the letter and were not asked." if self.same else "")

    def table(self) -> pd.DataFrame:
        """`Tally` by model and category."""
        return preference.table(self.tallies)

    def to_csv(self, path: str | Path) -> None:
        """Write `table` as CSV."""
        self.table().to_csv(path)

    def as_json(self) -> dict[str, Any]:
        """The result as JSON-able data; None where there is no number."""
        return {
            "models": list(self.models), "tallies": preference.plain(self.tallies),
            "position": preference.plain([self.position])[0], "ties": self.ties, "pairs": self.pairs,
            "same": self.same, "sentence": self.sentence, "votes": list(self.rows), "provenance": self.provenance,
        }  # fmt: skip

    def to_dataframe(self) -> pd.DataFrame:
        """`table` as a flat one: a row a model and category."""
        return flat(self.table())

    def figure(self) -> Any:
        """A plotly figure: win rates with their intervals by model and category. Raises WorkbenchError without plotly
        or without votes."""
        return importlib.import_module("workbench.figures.dots").wins_figure(self.to_dataframe())

    def __repr__(self) -> str:
        return f"Votes({self.models[0]} against {self.models[1]}: {len(self.rows)} votes on {self.pairs} pairs)"


def _latest(folder: Path) -> dict[tuple[str, int, frozenset[str], str], dict[str, Any]]:
    """(item, sample, keys of the two answers, voter) -> the last vote on it."""
    found = {}
    for row in journal.lines(folder / FILE, _NEEDED):
        if row["vote"] in CHOICES and len(row["keys"]) == 2 and all(isinstance(key, str) for key in row["keys"]):
            found[(row["item"], row["sample"], frozenset(row["keys"]), row["voter"])] = row
    return found
