"""The chat as the kernel knows it: questions in, parts of replies out, what was said, Stop, what a notebook saves."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from workbench.errors import CaptureError, PromptError, SamplingError, WorkbenchError
from workbench.inspection import Run
from workbench.widgets import Chat, Switchboard
from workbench.widgets.writing import TICK

HOSTILE = "Say a < b & </script><b>bold</b>."


@pytest.fixture(scope="module")
def models(tiny_checkpoint: Callable[..., Path]) -> tuple[wb.Model, wb.Model]:
    return wb.load(str(tiny_checkpoint(window=24))), wb.load(str(tiny_checkpoint(seed=1)))


class Heard(list[Any]):
    """What a chat sent to its pages, with the time."""

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [content for _, content in self if content.get("chat") == kind]


@pytest.fixture
def opened() -> Iterator[Callable[..., tuple[Chat, Heard]]]:
    made: list[Chat] = []

    def open_chat(*models: wb.Model, **more: Any) -> tuple[Chat, Heard]:
        chat = Chat(*models, **{"sampling": wb.Sampling(max_new_tokens=6)} | more)
        made.append(chat)
        heard = Heard()
        chat.send = lambda content, buffers=None: heard.append((time.monotonic(), content))
        return chat, heard

    yield open_chat
    for chat in made:
        chat.close()
        chat.wait(60)


Open = Callable[..., tuple[Chat, Heard]]


def asked(chat: Chat, **request: Any) -> Any:
    """What the answer to a message of the page holds."""
    assert chat.comm is not None
    data = {"method": "custom", "content": {"id": "x.1", "ask": request}}
    answers: list[Any] = []
    send = chat.send
    chat.send = lambda content, buffers=None: answers.append(content) if "id" in content else send(content)
    try:
        chat.comm.handle_msg({"content": {"data": data}, "buffers": []})
    finally:
        chat.send = send
    (answer,) = answers
    return answer.get("answer", answer.get("error"))


def test_a_reply_streams_and_is_the_one_that_generate_writes(opened: Open, models: tuple[wb.Model, wb.Model]) -> None:
    chat, heard = opened(models[0])
    chat.ask(HOSTILE)
    found = chat.wait(60)
    alone = models[0].generate([{"role": "user", "content": HOSTILE}], wb.Sampling(max_new_tokens=6))
    for _ in alone:
        pass
    assert chat.messages == [
        {"role": "user", "content": HOSTILE},
        {"role": "assistant", "content": alone.text, "model": chat.names[0]},
    ]
    assert isinstance(found, wb.Inspection)
    assert found is chat.last is chat.inspections[0]
    assert list(found.ids) == list(alone.inspection.ids)
    assert [content["chat"] for _, content in heard][:2] == ["begun", "part"]
    assert [content["chat"] for _, content in heard][-1] == "over"
    # The parts fit together without a gap: the prompt and the reply, as the token view takes them.
    rows: list[Any] = []
    text = ""
    for part in heard.of("part"):
        assert (part["first"], part["at"]) == (len(rows), len(text))
        rows += part["rows"]
        text += part["text"]
    assert [row[1] for row in rows] == list(found.ids)[: len(rows)]
    assert len(rows) >= found.prompt_length
    assert all(row[3] is None for row in rows[: found.prompt_length])
    json.dumps(heard[:], allow_nan=False)
    # The answer to the views is that of the inspector.
    name = chat.names[0]
    assert asked(chat, kind="open", run=name)["tokens"]["ids"] == list(found.ids)
    assert chat.selection == {"run": name, "token": found.prompt_length, "layer": 1, "head": None}


def test_at_most_twelve_updates_a_second(opened: Open, models: tuple[wb.Model, wb.Model]) -> None:
    chat, heard = opened(*models, sampling=wb.Sampling(max_new_tokens=48), capture=wb.Capture.nothing())
    chat.ask("Again and again.")
    chat.wait(120)
    for side in (0, 1):
        times = [at for at, content in heard if content.get("chat") == "part" and content["side"] == side]
        steps = times[1:]  # the first one is the prompt
        assert all(b - a >= 0.9 * 2 * TICK for a, b in itertools.pairwise(steps)), "of two models half each"
        assert len(steps) < 24, "not one a token"


def test_two_models_and_their_difference(opened: Open, models: tuple[wb.Model, wb.Model]) -> None:
    chat, _ = opened(*models)
    chat.ask("One.")
    first = chat.wait(60)
    assert isinstance(first, wb.Comparison)
    assert chat.difference
    assert [run["name"] for run in chat.runs] == chat.names
    chat.ask("Two.")
    second = chat.wait(60)
    assert second is not first
    assert len(chat.inspections) == 4
    assert chat.turn == 1
    # Each goes on from its own words.
    for side, model in enumerate(models):
        mine = [one for one in chat.messages if one.get("model", chat.names[side]) == chat.names[side]]
        prompt = model.encode(mine[:-1])
        assert tuple(chat.inspections[2 + side].ids[: len(prompt)]) == prompt.ids
    # An earlier reply is opened from Python and by the page.
    chat.turn = 0
    assert chat.answer({"kind": "open", "run": chat.names[1]})["tokens"]["ids"] == list(chat.inspections[1].ids)
    assert asked(chat, kind="turn", turn=1) == {}
    assert chat.turn == 1
    assert asked(chat, kind="difference", part="aligned")["run"]
    talk = asked(chat, kind="talk")
    assert [turn["question"] for turn in talk["turns"]] == ["One.", "Two."]
    assert "tokens" in talk["turns"][0]["replies"][0]["footer"]
    assert asked(chat, kind="turn", turn=7).startswith("There is no turn 7")


def test_stop_ends_it_before_the_next_token(
    opened: Open, models: tuple[wb.Model, wb.Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    third, go = threading.Event(), threading.Event()
    walk = Run.__next__

    def held(run: Run) -> Any:
        if len(run.steps) == 3:
            third.set()
            assert go.wait(60)
        return walk(run)

    monkeypatch.setattr(Run, "__next__", held)
    chat, heard = opened(models[0], sampling=wb.Sampling(max_new_tokens=500))
    chat.ask("Go on for ever.")
    assert third.wait(60)
    assert chat.busy
    with pytest.raises(WorkbenchError, match="being written"):
        chat.ask("Another.")
    assert "being written" in asked(chat, kind="clear")
    live = asked(chat, kind="talk")["live"]  # a page that opens now
    assert len(live["parts"][0]["rows"]) >= 15
    assert asked(chat, kind="stop") == {}
    go.set()
    found = chat.wait(60)
    assert isinstance(found, wb.Inspection)
    assert found.record.finish_reason == "stopped"
    assert len(found.steps) == 3
    assert not chat.busy
    assert heard.of("over") == [{"chat": "over", "back": ""}]
    assert chat.messages[-1]["content"] == "".join(found.record.step_texts)


def test_what_goes_wrong_is_a_sentence_and_the_question_comes_back(
    opened: Open, models: tuple[wb.Model, wb.Model], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat, heard = opened(models[0])
    chat.ask("again " * 3000)
    assert chat.wait(60) is None
    assert chat.note.startswith("The prompt has ")
    assert chat.note.endswith(".")
    assert chat.messages == []
    assert heard.of("over")[-1]["back"].startswith("again again")

    def broken(*given: Any, **more: Any) -> None:
        raise KeyError("deep inside")

    monkeypatch.setattr(models[0], "generate", broken)
    chat.ask("Hello.")
    chat.wait(60)
    assert "deep inside" not in chat.note
    assert "log" in chat.note
    assert "deep inside" in caplog.text
    assert not chat.busy
    for text in ("", "  ", None, 3):
        assert "no question" in asked(chat, kind="ask", text=text)
    assert "something else than a request" in str(chat_error(chat, [1]))


def chat_error(chat: Chat, request: Any) -> WorkbenchError:
    with pytest.raises(WorkbenchError) as caught:
        chat.answer(request)
    return caught.value


def test_a_conversation_can_be_given_and_taken_back(opened: Open, models: tuple[wb.Model, wb.Model]) -> None:
    said = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello <b>you</b>"},
        {"role": "assistant", "content": "Hi."},
    ]
    chat, _ = opened(models[0], messages=said)
    assert [one["content"] for one in chat.messages] == ["Be brief.", "Hello <b>you</b>", "Hi."]
    assert chat.last is None
    assert chat.selection == {}
    with pytest.raises(CaptureError, match="no reply to look into"):
        chat.selection = {"token": 1}
    assert "&lt;b&gt;you" in chat._repr_mimebundle_()[0]["text/html"]
    assert "<b>you" not in chat._repr_mimebundle_()[0]["text/html"]
    chat.ask("And now?")
    found = chat.wait(60)
    assert isinstance(found, wb.Inspection)
    expected = models[0].encode([*said, {"role": "user", "content": "And now?"}])
    assert tuple(found.ids[: len(expected)]) == expected.ids
    chat.undo()
    assert len(chat.messages) == 3
    other, _ = opened(*models, messages=said)
    assert [one["model"] for one in other.messages if "model" in one] == other.names
    chat.clear()
    assert [one["role"] for one in chat.messages] == ["system"]
    with pytest.raises(PromptError, match="nothing was said"):
        chat.undo()
    for bad, sentence in (
        ([{"role": "user", "content": "x"}], "has no reply"),
        ([{"role": "assistant", "content": "x"}], "answers nothing"),
        ([*said, said[0]], "system message"),
    ):
        with pytest.raises(PromptError, match=sentence):
            chat.messages = bad


def test_a_notebook_saves_a_few_kilobytes_and_no_text(opened: Open, models: tuple[wb.Model, wb.Model]) -> None:
    chat, _ = opened(*models)
    chat.ask(HOSTILE)
    chat.wait(60)
    state = json.dumps(chat.get_state(), default=str)
    assert len(state) < 20_000
    assert "bold" not in state


def test_only_the_last_turns_hold_what_was_captured(opened: Open, models: tuple[wb.Model, wb.Model]) -> None:
    chat, _ = opened(models[0], keep=1)
    for question in ("One.", "Two."):
        chat.ask(question)
        chat.wait(60)
    assert len(chat.inspections) == 1
    assert len(chat.messages) == 4
    assert [reply["kept"] for turn in asked(chat, kind="talk")["turns"] for reply in turn["replies"]] == [False, True]


def test_what_it_writes_with_is_checked(opened: Open, models: tuple[wb.Model, wb.Model]) -> None:
    for given in ((), ("twin-v0.2",), (*models, models[0])):
        with pytest.raises(WorkbenchError, match="one or two models"):
            Chat(*given)
    chat, _ = opened(models[0])
    with pytest.raises(SamplingError, match="The sampling is a int"):
        chat.sampling = 3  # type: ignore[assignment]
    with pytest.raises(CaptureError, match="The capture is a str"):
        chat.capture = "full"  # type: ignore[assignment]
    with pytest.raises(WorkbenchError, match="2 models"):
        chat.models = models
    twice, _ = opened(models[0], models[0])
    assert len(set(twice.names)) == 2


def test_a_switchboard_drives_a_chat(opened: Open, models: tuple[wb.Model, wb.Model]) -> None:
    chat, _ = opened(*models)
    board = Switchboard(models[1], sampling=wb.Sampling(max_new_tokens=4), capture=wb.Capture(kv_cache=False))
    board.drive(chat, side=1)
    board.window = 8
    assert chat.models == (models[0], board.model)
    assert chat.models[1].module.lm_head is models[1].module.lm_head, "no weight is copied"
    chat.ask("Hello.")
    found = chat.wait(60)
    assert isinstance(found, wb.Comparison)
    assert found.b.model["window"] == 8
    assert found.b.kv_cache is None
    assert len(found.b.steps) <= 4
    board.release(chat)
    board.reset()
    assert chat.models[1].window == 8
    with pytest.raises(WorkbenchError, match="no model 5"):
        board.drive(chat, side=5)
