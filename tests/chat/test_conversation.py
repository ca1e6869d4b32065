"""Conversations: versions, edits, forks, and their JSON form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.texts import texts
from workbench.chat import Conversation, Message
from workbench.chat import conversation as module
from workbench.errors import FileFormatError, PromptError

CHAT = Conversation.of(
    [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "q1"},
        {"role": "assistant", "content": "a1"},
        {"role": "user", "content": "q2"},
        {"role": "assistant", "content": "a2"},
    ],
    title="a chat",
)


def said(conversation: Conversation) -> str:
    return " ".join(message.content for message in conversation)


def test_changes_return_new_conversations() -> None:
    assert said(CHAT.add("user", "q3")) == "s q1 a1 q2 a2 q3"
    assert said(CHAT.undo()) == "s q1 a1"
    assert said(CHAT.undo().undo()) == "s"
    assert said(CHAT.undo().undo().undo()) == ""
    assert said(CHAT.edit(1, "other")) == "s other"
    assert said(CHAT.edit(-2, "other")) == "s q1 a1 other"
    assert said(CHAT.fork(3)) == "s q1 a1"
    assert said(CHAT) == "s q1 a1 q2 a2"
    assert CHAT[-1] == Message("assistant", "a2")
    assert len(CHAT) == 5


def test_versions_of_a_reply() -> None:
    again = CHAT.add_version(-1, "b2").add_version(-1, "c2")
    assert said(again) == "s q1 a1 q2 c2"
    assert again.versions[-1] == ("a2", "b2", "c2")
    assert said(again.choose(-1, 0)) == "s q1 a1 q2 a2"
    assert said(again.choose(-1, 1).add("user", "q3")) == "s q1 a1 q2 b2 q3"
    assert again.choose(-1, 0).versions == again.versions
    earlier = again.add_version(2, "b1")
    assert said(earlier) == "s q1 b1"
    assert earlier.versions[2] == ("a1", "b1")


contents = st.lists(st.tuples(st.sampled_from(module.ROLES), st.lists(texts, min_size=1, max_size=3)), max_size=6)


@given(contents, texts, st.data())
def test_json_keeps_everything(entries: list[tuple[Any, list[str]]], title: str, data: st.DataObject) -> None:
    chosen = tuple(data.draw(st.integers(0, len(versions) - 1)) for _, versions in entries)
    conversation = Conversation(
        tuple(role for role, _ in entries), tuple(tuple(versions) for _, versions in entries), chosen, title
    )
    assert Conversation.from_json(conversation.to_json()) == conversation
    assert Conversation.from_json(conversation.to_json().encode()) == conversation
    assert Conversation.from_json(json.dumps(conversation.as_dicts())).messages == conversation.messages


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "chat.json"
    CHAT.save(path)
    assert Conversation.open(path) == CHAT
    assert [file.name for file in tmp_path.iterdir()] == ["chat.json"]
    with pytest.raises(FileFormatError, match="cannot be read"):
        Conversation.open(tmp_path / "nowhere.json")


def document(**changes: Any) -> str:
    return json.dumps(json.loads(CHAT.to_json()) | changes)


MALFORMED: dict[str, tuple[str, str]] = {
    "cut short": (CHAT.to_json()[:-9], "not JSON"),
    "nothing": ("", "not JSON"),
    "nested without end": ("[" * 10**5, "not JSON"),
    "a number": ("7", "not a conversation"),
    "another schema": (document(schema="x"), "not a conversation"),
    "a later version": (document(version=2), "newer workbench"),
    "no messages": (document(messages=None), "no list of messages"),
    "title is a number": (document(title=3), "title is not text"),
    "message is text": (document(messages=["x"]), "message 0 lacks"),
    "no versions": (document(messages=[{"role": "user"}]), "message 0 lacks"),
    "empty versions": (document(messages=[{"role": "user", "versions": []}]), "shows version 0 of 0"),
    "version is a number": (document(messages=[{"role": "user", "versions": [7]}]), "is a int"),
    "choice outside": (document(messages=[{"role": "user", "versions": ["x"], "chosen": 1}]), "shows version 1 of 1"),
    "negative choice": (document(messages=[{"role": "user", "versions": ["x"], "chosen": -1}]), "version -1"),
    "choice is a truth value": (document(messages=[{"role": "user", "versions": ["x"], "chosen": True}]), "lacks"),
    "role": (document(messages=[{"role": "root", "versions": ["x"]}]), "not a role"),
    "role is a list": (document(messages=[{"role": [], "versions": ["x"]}]), "not a role"),
    "too many messages": (document(messages=[{"role": "user", "versions": ["x"]}] * 2001), "2001 messages"),
    "too many versions": (document(messages=[{"role": "user", "versions": ["x"] * 101}]), "101 versions"),
    "bare list without roles": ('[{"content": "x"}]', "cannot be made"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_files_are_one_sentence(case: str) -> None:
    text, sentence = MALFORMED[case]
    with pytest.raises(FileFormatError, match=sentence) as caught:
        Conversation.from_json(text)
    assert "\n" not in str(caught.value)


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 50)
    path = tmp_path / "large.json"
    path.write_text(CHAT.to_json())
    with pytest.raises(FileFormatError, match="at most 50"):
        Conversation.open(path)
    monkeypatch.setattr(module, "MAX_CHARACTERS", 10)
    with pytest.raises(PromptError, match="at most 10"):
        Conversation().add("user", "x" * 11)


@pytest.mark.parametrize(
    "change",
    [
        lambda: Conversation().undo(),
        lambda: CHAT.fork(6),
        lambda: CHAT.fork(-1),
        lambda: CHAT.edit(5, "x"),
        lambda: CHAT.choose(0, 1),
        lambda: CHAT.add("tool", "x"),  # type: ignore[arg-type]
        lambda: CHAT.add("user", None),  # type: ignore[arg-type]
        lambda: CHAT.add("user", "half a \ud83e"),
        lambda: CHAT[9],
    ],
)
def test_impossible_changes_are_one_sentence(change: Any) -> None:
    with pytest.raises(PromptError):
        change()
