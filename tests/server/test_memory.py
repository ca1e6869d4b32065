"""What Gradio keeps of connections goes when a tab is forgotten; a connection that comes back gets a new copy."""

from __future__ import annotations

from datetime import datetime, timedelta

import gradio as gr
import pytest
from gradio.state_holder import StateHolder

from apps.server.memory import HEAP, forget_pages, give_back, settle, steady_heap


@pytest.fixture
def holder() -> StateHolder:
    with gr.Blocks(analytics_enabled=False) as page:
        gr.Textbox("said", elem_id="said")
    found = StateHolder()
    found.set_blocks(page)
    return found


def test_what_was_sent_to_a_page_goes_with_it(holder: StateHolder) -> None:
    first, other = holder["first"], holder["other"]
    (part,) = [key for key, block in first.blocks_config.blocks.items() if getattr(block, "elem_id", "") == "said"]
    first._update_value_in_config(part, "a secret")
    holder.time_last_used["first"] = datetime.now() - timedelta(seconds=61)
    assert forget_pages(holder, 60) == 1
    assert list(holder.session_data) == list(holder.time_last_used) == ["other"]
    assert holder["other"] is other
    assert "a secret" not in str(holder["first"].config_values)
    assert forget_pages(holder, 60) == 0
    assert forget_pages(holder, 60, datetime.now() + timedelta(seconds=61)) == 2
    assert not holder.session_data and not holder.time_last_used


def test_memory_is_given_back_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ring:
        """Points at itself."""

    import weakref

    ring = Ring()
    ring.own = ring  # type: ignore[attr-defined]
    seen = weakref.ref(ring)
    del ring
    give_back()
    assert seen() is None
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())  # a system without it
    give_back()


def test_what_stays_for_good_is_not_looked_through_again() -> None:
    import gc

    before = len(gc.get_objects())
    try:
        settle()
        assert gc.get_freeze_count() > 10_000
        assert len(gc.get_objects()) < before / 10
    finally:
        gc.unfreeze()


def test_the_heap_is_kept_small_where_the_allocator_can_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        asked: list[tuple[int, int]] = []

        def mallopt(self, option: int, value: int) -> None:
            self.asked.append((option, value))

    monkeypatch.setattr("ctypes.CDLL", lambda name: Library())
    steady_heap()
    assert Library.asked == list(HEAP)
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())  # a system without it
    steady_heap()
    monkeypatch.setattr("ctypes.CDLL", lambda name: "/" in name)  # as Windows looks at a name
    steady_heap()
    give_back()
