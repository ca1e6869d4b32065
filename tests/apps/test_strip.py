"""A strip is its payload, line by line, and only ever grows while a reply is written."""

from __future__ import annotations

import itertools
import json

import workbench as wb
from apps.studio.exchange import ask
from apps.studio.orders import Order
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
    for _ in ask(session, shelf, runs, Order("ask", "Hello"), wb.Sampling(max_new_tokens=60)):
        if (strip := session.columns[name].strip) is not None:
            seen.append(Strip(**strip.as_json()))
    live = [strip for strip in seen if strip.live]
    assert live
    for earlier, later in itertools.pairwise(live):
        assert later.lines.startswith(earlier.lines)
    assert seen[-1].payload()["ids"] == runs.get(session.columns[name].run).ids.tolist()
    assert seen[-1].payload()["ids"][: len(live[-1].payload()["ids"])] == live[-1].payload()["ids"]


def test_a_later_turn_sends_no_earlier_block_again(session: Session, shelf: Shelf, runs: RunStore) -> None:
    """What Gradio would send for the strip of a second turn is what is new, however long the first was."""
    from gradio.utils import diff

    name, short = session.shown[0], wb.Sampling(max_new_tokens=4)
    for _ in ask(session, shelf, runs, Order("ask", "Tom has a red hat. " * 150), short):
        pass
    sent, shown = 0, session.columns[name].strip
    assert shown is not None
    whole, state = len(shown.lines), shown.as_json()
    for _ in ask(session, shelf, runs, Order("ask", "Who has the hat?"), short):
        strip = session.columns[name].strip
        assert strip is not None, "the strip stays while the question is read"
        now = strip.as_json()
        sent, state = sent + len(json.dumps(diff(state, now))), now
    assert state["run"] == session.columns[name].run
    strip = session.columns[name].strip
    assert strip is not None
    assert strip.payload()["ids"] == runs.get(session.columns[name].run).ids.tolist()
    assert sent < whole / 3
    # An edit that differs early keeps nothing of what it no longer begins with.
    for _ in ask(session, shelf, runs, Order("edit", "Ann has a hat.", model=name, index=0), short):
        pass
    strip = session.columns[name].strip
    assert strip is not None
    assert strip.payload()["ids"] == runs.get(session.columns[name].run).ids.tolist()


def test_what_is_known_of_other_tokens_is_not_kept(shelf: Shelf, recorded: Recorded) -> None:
    """Only tokens that both texts begin with keep their probabilities."""
    name = shelf.names[0]
    earlier = Strip.of(tokens.pack(recorded.runs[name], "r"))
    messages = [{"role": "user", "content": "What is the hat of France?"}]
    prompt = shelf.get(name).encode(messages)
    found = Strip.reading("live", prompt, earlier).payload()
    same = next(i for i, (a, b) in enumerate(zip(earlier.payload()["ids"], prompt.ids, strict=False)) if a != b)
    assert found["ids"] == list(prompt.ids)
    assert found["logprob"][:same] == earlier.payload()["logprob"][:same]
    assert found["logprob"][1] is not None
    assert set(found["logprob"][same:]) == {None}
