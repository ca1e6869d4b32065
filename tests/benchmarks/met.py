"""What the clients of load.py know of the server, and what they met there."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx

Json = dict[str, Any]

REFUSALS = {
    "per_visitor": r"A request of yours is running or waiting already\. Wait for its end, or stop it\.",
    "queue": r"Many visitors are waiting already \(\d+ in line\)\. Try again in a minute, or run it on your own .+",
    "rate": r"More than \d+ requests came from your address in a minute\. Ask again in \d+ s\.",
    "tokens": r"This is a (reply|text) of [\d,]+ tokens; expected at most [\d,]+ on this server\. Longer ones run .+",
    "sessions": r"(All \d+ places of this server are taken|\d+ tabs of your address are writing)\. .+",
    "calls": r"Too many calls came from your address\. Try again in \d+ s\.",
}
"""The sentences with which the server may refuse, by the reason in /metrics."""
QUESTIONS = (
    "What is the capital of France?", "Tom has a red hat and Ann has a blue coat. Who has the hat?",
    "Once upon a time there was a fox.", "Count from one to five.", "Name three colours.",
    "The sea is blue because", "Who wrote this?", "What comes after Monday?",
)  # fmt: skip
NEW_TOKENS = 16
TOO_LONG = 300
"""More new tokens than the server allows."""
PATIENCE = 300.0
"""Seconds that a client waits for anything."""


@dataclass
class Asked:
    """One request for a reply: ``got`` are ids (a list) or a text; ``whole`` says that it was seen to its end."""

    way: str
    model: str
    messages: list[Json]
    sampling: Json
    got: Any
    whole: bool = True


@dataclass
class Tally:
    """What all clients met. ``turns`` counts requests that were let in, ``calls`` those of the page's scripts;
    ``clicks``, ``opened`` and ``late`` (of this process itself) are seconds; ``places`` were told in line."""

    asked: list[Asked] = field(default_factory=list)
    clicks: list[float] = field(default_factory=list)
    opened: list[float] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    did: Counter[str] = field(default_factory=Counter)
    turns: int = 0
    calls: int = 0
    places: list[int] = field(default_factory=list)
    late: list[float] = field(default_factory=list)

    def refusal(self, sentence: str) -> None:
        """Count a refusal; one that is no sentence of ours is an error."""
        for why, pattern in REFUSALS.items():
            if re.fullmatch(pattern, sentence.strip()):
                self.refused[why] += 1
                return
        self.errors.append(f"not one of the stated refusals: {sentence[:300]}")


@dataclass
class Site:
    """The served page: ``address``, ids of its events and components by name, and the runs that a new tab shows."""

    address: str
    events: dict[str, int]
    parts: dict[str, int]
    first: list[Json]
    models: list[str]

    @classmethod
    async def of(cls, address: str) -> Site:
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            config = (await client.get(f"{address}/config")).json()
        parts = {one["props"]["elem_id"]: one for one in config["components"] if one["props"].get("elem_id")}
        events = {one["api_name"]: one["id"] for one in config["dependencies"] if one["api_name"]}
        columns = parts["wb-chat"]["props"]["value"]["columns"]
        return cls(address, events, {name: one["id"] for name, one in parts.items()}, columns,
                   [column["model"] for column in columns])  # fmt: skip
