"""The tab's guardrails: off at first, shown wherever they were on, and nothing of a reply changed by moderation."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

import workbench as wb
from apps.studio.actions import act
from apps.studio.exchange import ask
from apps.studio.exported import export_chat, import_chat
from apps.studio.guards import Guards
from apps.studio.orders import Order
from apps.studio.run_facts import settings_in_words
from apps.studio.runs import RunStore
from apps.studio.session import Session
from apps.studio.shelf import Shelf
from apps.studio.state import page_state
from apps.studio.studio import Studio
from workbench.chat.guardrails import SAFE_PROMPT
from workbench.errors import WorkbenchError

SHORT = wb.Sampling(max_new_tokens=4)
USER = {"role": "user", "content": "Hello"}


def switch(session: Session, shelf: Shelf, **guards: Any) -> dict[str, Any]:
    return act(cast(Studio, SimpleNamespace(shelf=shelf)), session, {"kind": "guard", **guards})


def test_both_on_show_everywhere(session: Session, shelf: Shelf, runs: RunStore) -> None:
    assert page_state(session, shelf)["guards"] == {"safe_prompt": False, "moderate": False}
    switch(session, shelf, safe_prompt=True, moderate=True)
    state = page_state(session, shelf)
    assert [column["switched"] for column in state["columns"]] == ["safe prompt"] * 2
    for _ in ask(session, shelf, runs, Order("ask", "Hello"), SHORT):
        pass
    column = session.columns[session.shown[0]]
    model, inspection, reply = shelf.get(column.model), runs.get(column.run), column.reply
    assert reply is not None
    prompt = model.encode([{"role": "system", "content": SAFE_PROMPT}, USER])
    assert inspection.ids[: inspection.prompt_length].tolist() == list(prompt.ids)
    assert column.conversation[0].content == "Hello", "what was said is not changed"
    verdicts = [wb.moderate(model, "Hello"), wb.moderate(model, column.conversation[-1].content, "answer")]
    assert reply.moderated == f"question: {verdicts[0].words} · answer: {verdicts[1].words}"
    assert reply.footer.startswith("safe prompt · ")
    assert reply.footer.endswith(reply.moderated)
    assert page_state(session, shelf)["columns"][0]["run_title"].endswith(" · safe prompt")
    assert settings_in_words(inspection) == "greedy, seed 0, safe prompt"
    text = export_chat(session)
    told = json.loads(text)["models"][0]["messages"][-1]["versions"][0]["reply"]
    assert (told["switched"], told["moderated"]) == ("safe prompt", reply.moderated)
    back = import_chat(text, session.shown)[column.model].reply(1)
    assert back is not None
    assert (back.switched, back.moderated) == (reply.switched, reply.moderated)


def test_off_leaves_no_trace(session: Session, shelf: Shelf, runs: RunStore) -> None:
    switch(session, shelf, safe_prompt=True, moderate=False)
    switch(session, shelf, safe_prompt=False, moderate=False)
    for _ in ask(session, shelf, runs, Order("ask", "Hello"), SHORT):
        pass
    for column in session.columns.values():
        inspection = runs.get(column.run)
        assert inspection.ids[: inspection.prompt_length].tolist() == list(shelf.get(column.model).encode([USER]).ids)
        assert column.reply is not None
        assert (column.reply.switched, column.reply.moderated) == ("", "")
        assert inspection.provenance["settings"]["safe_prompt"] is False
        assert settings_in_words(inspection) == "greedy, seed 0"


@pytest.mark.parametrize("guards", [{}, {"safe_prompt": 1, "moderate": True}, {"safe_prompt": True}])
def test_what_is_neither_on_nor_off_is_a_sentence(session: Session, shelf: Shelf, guards: dict[str, Any]) -> None:
    with pytest.raises(WorkbenchError, match="neither on nor off"):
        switch(session, shelf, **guards)
    assert session.guards == Guards()
