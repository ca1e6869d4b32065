"""A strip is its payload, line by line, and only ever grows while a reply is written."""

from __future__ import annotations

import itertools

import workbench as wb
from apps.studio.exchange import ask
from apps.studio.recorded import Recorded
from apps.studio.runs import RunStore
from apps.studio.session import Session
from apps.studio.shelf import Shelf
from apps.studio.strip import COLUMNS, Strip, line
from workbench.views import tokens


def test_a_strip_is_its_payload(recorded: Recorded) -> None:
    for inspection in recorded.runs.values():
        payload = tokens.pack(inspection, "r")
        again = Strip.of(payload).payload()
        assert all(again[name] == payload[name] for name in (*COLUMNS, "run", "prompt_length"))


def test_no_token_can_break_a_line() -> None:
    for piece in ("\n", "\r", "\u2028", "\u2029", "\x85", '"', "\\", "<0x0A>", "\udc80"):
        text = line(piece, 1)
        assert text.count("\n") == 1
        assert len(text.splitlines()) == 1
        assert text.isascii()


def test_a_live_strip_only_grows(session: Session, shelf: Shelf, runs: RunStore) -> None:
    name = session.shown[0]
    seen: list[Strip] = []
    for _ in ask(session, shelf, runs, "Hello", wb.Sampling(max_new_tokens=60)):
        if (strip := session.columns[name].strip) is not None:
            seen.append(Strip(**strip.as_json()))
    live = [strip for strip in seen if strip.live]
    assert live
    for earlier, later in itertools.pairwise(live):
        assert later.lines.startswith(earlier.lines)
    assert seen[-1].payload()["ids"] == runs.get(session.columns[name].run).ids.tolist()
    assert seen[-1].payload()["ids"][: len(live[-1].payload()["ids"])] == live[-1].payload()["ids"]
