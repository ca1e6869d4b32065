"""A tab's second question reads only what is new; no tab meets another's caches."""

from __future__ import annotations

import numpy as np

import workbench as wb
from apps.studio.exchange import ask
from apps.studio.orders import Order
from apps.studio.runs import RunStore
from apps.studio.session import Column, Session
from apps.studio.shelf import Shelf
from apps.studio.tabs import Sessions
from apps.studio.writing import capture_for

SHORT = wb.Sampling(max_new_tokens=8)


def say(session: Session, shelf: Shelf, runs: RunStore, order: Order) -> list[wb.Inspection]:
    for _ in ask(session, shelf, runs, order, SHORT):
        pass
    return [runs.get(session.columns[name].run) for name in session.shown]


def reused(inspection: wb.Inspection) -> int:
    return int(inspection.provenance["settings"]["reused_tokens"])


def test_a_second_question_reads_only_what_is_new(session: Session, shelf: Shelf, runs: RunStore) -> None:
    text = "Tom has a red hat and Ann has a blue coat. " * 6
    first = say(session, shelf, runs, Order("ask", text))
    assert [reused(one) for one in first] == [0, 0]
    second = say(session, shelf, runs, Order("ask", "Who has the hat?"))
    for one, two in zip(first, second, strict=True):
        assert reused(two) >= one.prompt_length - 1
        model = shelf.get(two.model["name"])
        prompt = model.encode(session.columns[two.model["name"]].conversation.fork(3))
        alone = model.generate(
            prompt, SHORT, capture_for(model, len(prompt), SHORT.max_new_tokens), reuse=wb.PrefixStore()
        )  # fmt: skip
        list(alone)
        assert two.ids.tolist() == alone.inspection.ids.tolist()
        np.testing.assert_allclose(two.attention.map, alone.inspection.attention.map, atol=1e-4)
        np.testing.assert_allclose(two.attention.row(5, 1), alone.inspection.attention.row(5, 1), atol=1e-4)
        np.testing.assert_allclose(two.lens.entropy, alone.inspection.lens.entropy, atol=2e-3)
        assert two.lens.sizes["position"] == len(two.ids) - 1, "the lens of the earlier turn is there, too"
    again = say(session, shelf, runs, Order("again"))
    assert [reused(one) for one in again] == [one.prompt_length - 1 for one in again]


def test_another_tab_reads_for_itself(names: list[str], shelf: Shelf, runs: RunStore) -> None:
    one, other = (Session(owner, {name: Column(name) for name in names}, list(names)) for owner in "ab")
    for session in (one, other):
        assert [reused(found) for found in say(session, shelf, runs, Order("ask", "Tom has a hat."))] == [0, 0]


def test_tabs_that_left_or_fill_the_memory_are_forgotten(names: list[str], shelf: Shelf, runs: RunStore) -> None:
    def make(owner: str) -> Session:
        return Session(owner, {name: Column(name) for name in names}, list(names))

    open_tabs = Sessions(make, prefix_bytes=10)
    one, other = open_tabs.of("a" * 24, "page a"), open_tabs.of("b" * 24, "page b")
    for session in (one, other):
        say(session, shelf, runs, Order("ask", "Tom has a hat."))
        assert session.prefixes.nbytes > 0
    open_tabs.leave("page a")
    assert one.prefixes.nbytes == 0
    assert other.prefixes.nbytes > 0
    open_tabs.of("a" * 24)
    assert other.prefixes.nbytes == 0
