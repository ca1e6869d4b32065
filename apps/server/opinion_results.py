"""What was kept of votes and feedback, to take away: tables, files, and win rates with intervals."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from apps.server.opinions import VOTE, OpinionError, read_rows
from workbench.behaviour import preference
from workbench.behaviour.preference import Outcome, Position, Tally

FORMATS = (".csv", ".jsonl", ".parquet")
BLIND, NAMED = "blind", "names shown"
"""The categories of votes: a vote on a name is not a vote on an answer."""
_SIDE = ("model", "weights", "switched", "origin", "tokens", "finish", "ids_sha256", "prompt_sha256", "key", "sampling")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


@dataclass(frozen=True)
class Wins:
    """The votes on two models: ``tallies`` over all, the blind ones and those with names (`preference.Tally`),
    ``position`` of the blind ones, and how many ``both`` and ``neither`` there are."""

    models: tuple[str, str]
    tallies: tuple[Tally, ...]
    position: Position
    both: int
    neither: int

    @property
    def sentence(self) -> str:
        """The result in words."""
        said = preference.sentence(self.tallies)
        if self.both or self.neither:
            said += f" Neither was better: {self.both} both, {self.neither} neither."
        blind = next((one.votes for one in self.tallies if one.category == BLIND), 0)
        said += f" {blind} of {self.tallies[0].votes} votes were blind."
        if self.position.n:
            at = self.position
            said += (
                f" Left was chosen in {at.first_place} of {at.n} decided blind votes ({at.low:.0%} to {at.high:.0%})."
            )
        return said


def latest(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The votes that count: of one visitor on the same two answers, the last."""
    found: dict[tuple[str, str, frozenset[str]], dict[str, Any]] = {}
    for row in rows:
        if row["kind"] == VOTE and row["left"] and row["right"]:
            answers = frozenset(
                f"{label(one)} {one.get('ids_sha256') or one.get('key', '')}" for one in (row["left"], row["right"])
            )
            found[(row["visitor"], row["item"], answers)] = row
    return list(found.values())


def wins(rows: Sequence[dict[str, Any]]) -> list[Wins]:
    """One for each pair of models that was voted on; a switched model is another model. Answers of one model to the
    same question are no pair."""
    pairs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in latest(rows):
        one, other = sorted((label(row["left"]), label(row["right"])))
        if one != other:
            pairs.setdefault((one, other), []).append(row)
    found = []
    for models, votes in sorted(pairs.items()):
        outcomes = []
        for row in votes:
            left = {"left": 1.0, "right": 0.0}.get(row["choice"], 0.5)
            value = left if label(row["left"]) == models[0] else 1 - left
            outcomes.append(Outcome(row["item"], BLIND if row["blind"] else NAMED, value))
        blind = [row["choice"] for row in votes if row["blind"] and row["choice"] in ("left", "right")]
        ties = [row["choice"] for row in votes]
        found.append(Wins(models, tuple(preference.tallies(models, outcomes)),
                          preference.position(blind.count("left"), len(blind)), ties.count("both"),
                          ties.count("neither")))  # fmt: skip
    return found


def label(side: dict[str, Any]) -> str:
    """A model as it was: its name, and what of it was switched."""
    return " · ".join(part for part in (str(side.get("model", "")), str(side.get("switched", ""))) if part)


def flat(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """A row an opinion: id, time, visitor, kind, source, blind, choice, item, comment, for either side what is known of
    it ("left model", "left weights", ...; settings as JSON), and ``said`` as JSON; None where there is nothing."""
    plain = ("id", "time", "visitor", "kind", "source", "blind", "choice", "item", "comment")
    table = []
    for row in rows:
        line = {name: row[name] for name in plain}
        for side in ("left", "right"):
            known = row[side] or {}
            for name in _SIDE:
                value = known.get(name)
                line[f"{side} {name}"] = json.dumps(value, sort_keys=True) if isinstance(value, dict) else value
        line["said"] = None if row["said"] is None else json.dumps(row["said"], ensure_ascii=False)
        table.append(line)
    names = [*plain, *(f"{side} {name}" for side in ("left", "right") for name in _SIDE), "said"]
    return pd.DataFrame(table, columns=names)


def write(folder: str | Path, out: Path, kind: str = "") -> int:
    """Write all opinions of ``folder`` as ``kind``, one of `FORMATS` (by default what ``out`` ends in); how many. CSV
    is made for spreadsheets: a text that one would compute gets an apostrophe in front. Raises OpinionError."""
    kind = kind or out.suffix.lower()
    if kind not in FORMATS:
        raise OpinionError(f"{out.name} is no format for votes and feedback", expected=" or ".join(FORMATS))
    rows = read_rows(folder)
    if kind == ".jsonl":
        lines = [json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows]
        out.write_text("".join(lines), encoding="utf-8")
    elif kind == ".csv":
        flat(rows).astype(object).map(_guarded).to_csv(out, index=False)
    else:
        texts = {name: "string" for name in flat([]).columns if name.split(" ")[-1] not in ("id", "blind", "tokens")}
        flat(rows).astype(texts | {"left tokens": "Int64", "right tokens": "Int64"}).to_parquet(out, index=False)
    return len(rows)


def _guarded(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
