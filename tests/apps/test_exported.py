"""A conversation as a file: everything comes back but the insides; a malformed file is a sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest

import workbench as wb
from apps.studio.actions import act
from apps.studio.exchange import ask
from apps.studio.exported import export_chat, import_chat
from apps.studio.orders import Order
from apps.studio.session import Session
from apps.studio.state import page_state
from apps.studio.studio import Studio
from workbench.errors import FileFormatError


@pytest.fixture(scope="module")
def studio(names: list[str]) -> Studio:
    return Studio.of(names)


@pytest.fixture(scope="module")
def text(studio: Studio, names: list[str]) -> str:
    """Two questions, two versions of the last reply, one model switched."""
    session = studio.opening.session("k" * 32)
    act(studio, session, {"kind": "switch", "model": names[1], "window": "16", "theta": "own"})
    warm = wb.Sampling(max_new_tokens=5, temperature=0.7, top_p=0.9, seed=3)
    for order in (Order("ask", "Hello <b>"), Order("ask", "And now?"), Order("again")):
        for _ in ask(session, studio.shelf, studio.runs, order, warm):
            pass
    found = act(studio, session, {"kind": "export"})["file"]
    assert found["name"].endswith(".json")
    return found["text"]


def test_what_was_exported_is_imported(studio: Studio, names: list[str], text: str) -> None:
    document = json.loads(text)
    assert (document["schema"], document["version"]) == ("workbench.chat", 1)
    reply = document["models"][1]["messages"][3]["versions"][1]["reply"]
    assert reply["switched"] == "window 16"
    assert reply["sampling"]["seed"] == 3
    assert (reply["tokens"], reply["finish"]) == (5, "length")
    assert reply["seconds"] > 0
    assert reply["tokens_per_second"] > 0
    assert 0 < reply["used"] <= reply["context"] == 2048
    session = studio.opening.session("l" * 32)
    found = act(studio, session, {"kind": "import", "text": text})
    assert found["say"] == "Imported as conversation 1."
    column = page_state(session, studio.shelf)["columns"][1]
    assert [message["text"] for message in column["messages"] if message["role"] == "user"] == ["Hello <b>", "And now?"]
    assert (column["messages"][3]["version"], column["messages"][3]["versions"]) == (2, 2)
    assert column["messages"][3]["footer"].startswith("imported · window 16 · ")
    assert "balanced: temperature 0.7, top-p 0.9, seed 3" in column["messages"][3]["footer"]
    assert "Regenerate it to look inside" in column["note"]
    again = json.loads(export_chat(session))
    for model in (*document["models"], *again["models"]):
        assert model.pop("model") in names
    assert again["models"] == document["models"]
    for _ in ask(session, studio.shelf, studio.runs, Order("ask", "Still there?"), wb.Sampling(max_new_tokens=3)):
        pass
    assert session.columns[names[0]].run is not None


def test_models_of_other_names_come_by_place(names: list[str], text: str) -> None:
    document = json.loads(text)
    document["models"][0]["model"], document["models"][1]["model"] = "v0.1", "v0.2"
    talks = import_chat(json.dumps(document), names)
    assert list(talks) == names
    document["models"] = document["models"][:1]
    assert list(import_chat(json.dumps(document), names)) == names[:1]


def test_a_list_of_messages_goes_to_every_column(studio: Studio, names: list[str]) -> None:
    said = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    for file in (json.dumps(said), wb.Conversation.of(said).to_json()):
        talks = import_chat(file, names)
        assert [talk.said.as_dicts() for talk in talks.values()] == [said, said]
    session = studio.opening.session("m" * 32)
    act(studio, session, {"kind": "import", "text": json.dumps([*said, {"role": "user", "content": "And?"}])})
    for _ in ask(session, studio.shelf, studio.runs, Order("again"), wb.Sampling(max_new_tokens=3)):
        pass
    assert [len(column.talk) for column in session.columns.values()] == [4, 4], "the open question is answered"


def changed(document: Any, path: list[Any], value: Any) -> str:
    document = json.loads(json.dumps(document))
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return json.dumps(document)


VERSION = ["models", 0, "messages", 1, "versions", 0]
WRONG: list[tuple[list[Any], Any]] = [
    (["version"], 2),
    (["version"], None),
    (["models"], []),
    (["models"], "x"),
    (["models", 0], 5),
    (["models", 0, "messages"], {}),
    (["models", 0, "messages"], []),
    (["models", 0, "messages", 0], "Hello"),
    (["models", 0, "messages", 0, "role"], "wizard"),
    (["models", 0, "messages", 0, "role"], "assistant"),
    (["models", 0, "messages", 0, "versions"], []),
    (["models", 0, "messages", 0, "chosen"], 4),
    (["models", 0, "messages", 0, "chosen"], "0"),
    ([*VERSION, "text"], 7),
    ([*VERSION, "reply"], "fine"),
    ([*VERSION, "reply", "tokens"], "many"),
    ([*VERSION, "reply", "seconds"], -1),
    ([*VERSION, "reply", "used"], float("inf")),
    ([*VERSION, "reply", "sampling"], None),
    ([*VERSION, "reply", "sampling", "temperature"], "hot"),
    ([*VERSION, "reply", "sampling", "seed"], -1),
    ([*VERSION, "reply", "sampling", "spell"], 1),
]


@pytest.mark.parametrize(("path", "value"), WRONG)
def test_a_malformed_file_is_a_sentence(names: list[str], text: str, path: list[Any], value: Any) -> None:
    with pytest.raises(FileFormatError) as caught:
        import_chat(changed(json.loads(text), path, value), names)
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize(
    "file",
    ["", "{", "null", "7", "NaN", "Dear model,", '"text"', "[]", "[1]", '{"schema": "other"}', "[" * 100_000,
     '[{"role": "assistant", "content": "me first"}]',
     '[{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]',
     '[{"role": "user", "content": null}]', "x" * (9 * 2**20), '[{"role": "user", "content": "\\ud800"}]',
     '{"schema": "workbench.chat", "version": 1, "title": "\\udc00", "models": [{"messages": []}]}',
     '{"schema": "workbench.chat", "version": 1' + "0" * 5000 + "}",
     '{"schema": "workbench.chat", "version": 1, "models": ' + "[" * 10_000 + "]" * 10_000 + "}"],
)  # fmt: skip
def test_what_is_no_conversation_is_a_sentence(names: list[str], file: str) -> None:
    with pytest.raises(FileFormatError):
        import_chat(file, names)


def test_an_empty_tab_has_nothing_to_export(studio: Studio) -> None:
    session: Session = studio.opening.session("n" * 32)
    with pytest.raises(wb.WorkbenchError, match="nothing to export"):
        act(studio, session, {"kind": "export"})


@pytest.mark.parametrize("value", [10**400, 1e300])
def test_a_number_beyond_measure_is_refused_in_a_sentence(value: float) -> None:
    reply = {"sampling": {}, "tokens": value}
    messages = [
        {"role": "user", "versions": [{"text": "q"}]},
        {"role": "assistant", "versions": [{"text": "r", "reply": reply}]},
    ]
    document = {"schema": "workbench.chat", "version": 1, "models": [{"model": "a", "messages": messages}]}
    with pytest.raises(FileFormatError, match="tokens of reply 1"):
        import_chat(json.dumps(document), ["a"])
