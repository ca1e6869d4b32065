"""The Prompt lab's answers to the page: equal to the library's, bounded, and a sentence for anything else."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from apps.studio.promptlab_events import MOST_CHARACTERS, MOST_MESSAGES, PromptLabEvents
from apps.studio.studio import Studio
from tests.chat.test_encoding import CHATML, chatml  # noqa: F401
from workbench.errors import WorkbenchError
from workbench.models import Tokenizer

HI = {"role": "user", "content": "Hi"}
ANSWERED = [HI, {"role": "assistant", "content": "Yes"}]


def result(steps: Any) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def test_forms_are_the_librarys_and_the_code_gives_them(names: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    events = PromptLabEvents(Studio.of(names[:1]))
    chat = [{"role": "user", "content": 'a "quoted" \\ </s>\n🦊'}, {"role": "assistant", "content": "Paris"}]
    found = events.promptlab_forms({"model": names[0], "messages": chat})
    lab = wb.prompt_lab(wb.load(names[0]), chat, loss=False)
    assert [form["ids"] for form in found["forms"]] == [form.ids for form in lab.forms]
    for shown, form in zip(found["forms"], lab.forms, strict=True):
        told = [at for low, high in shown["other"] for at in range(low, high)]
        kept = [index for at, index in enumerate(form.ids) if at not in told]
        right = iter(lab.forms[0].ids)
        assert all(index in right for index in kept), "what is not marked lies in the reference, in its order"
        assert form.first_difference is None or form.first_difference in [*told, len(form.ids)]
    assert json.dumps(found)
    exec(found["code"], {})
    assert capsys.readouterr().out.strip() == str(lab.table()).strip()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model": "another"}, "no such model"),
        ({"messages": []}, "no messages"),
        ({"messages": "Hi"}, "no messages"),
        ({"messages": [HI] * (MOST_MESSAGES + 1)}, "33 messages"),
        ({"messages": [{"role": "user", "content": "x" * (MOST_CHARACTERS + 1)}]}, "20,001 characters"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "not a role"),
        ({"messages": [{"role": "user", "content": 3}]}, "is a int"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "answer alone"),
    ],
)
def test_anything_else_is_a_sentence(names: list[str], changed: dict[str, Any], said: str) -> None:
    events = PromptLabEvents(Studio.of(names[:1]))
    with pytest.raises(WorkbenchError, match=said):
        events.promptlab_forms({"model": names[0], "messages": [HI]} | changed)


def test_what_cannot_be_measured_is_not_begun(names: list[str]) -> None:
    events = PromptLabEvents(Studio.of(names[:1]))
    for request, said in (({"over": "all"}, "what to measure"), ({"over": "this", "messages": [HI]}, "no answer")):
        with pytest.raises(WorkbenchError, match=said):
            events.promptlab_start(request)


def test_a_stopped_measurement_shows_what_it_has(names: list[str]) -> None:
    stop = threading.Event()
    steps = PromptLabEvents(Studio.of(names[:1]))._shipped(stop)
    told = [next(steps) for _ in range(3)]
    assert [one["share"] for one in told] == [0, 1 / 48, 2 / 48] and told[2]["said"].endswith("2 of 48 chats")
    stop.set()
    found = result(steps)
    assert {row["conversations"] for row in found["rows"]} == {3} and json.dumps(found, allow_nan=False)


def test_another_tokenizer_is_left_out_with_a_sentence(
    names: list[str],
    tiny_checkpoint: Callable[..., Path],
    tmp_path: Path,
    chatml: Tokenizer,  # noqa: F811
) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_checkpoint(), other, ignore=shutil.ignore_patterns("token*"))
    chatml.hf.save_pretrained(other)
    (other / "chat_template.jinja").write_text(CHATML)
    messages = [wb.Conversation.of(ANSWERED)[at] for at in (0, 1)]
    both = PromptLabEvents(Studio.of([names[0], str(other)]))
    found = result(both._this(messages)(threading.Event()))
    assert len({row["model"] for row in found["rows"]}) == 1 and "stands alone" in found["left_out"][0]
    alone = PromptLabEvents(Studio.of([str(other)]))
    assert [form["name"] for form in alone.promptlab_forms({"model": str(other), "messages": ANSWERED})["forms"]] == [
        "own"
    ]
    for work in (alone._this(messages), alone._shipped):
        with pytest.raises(WorkbenchError, match="stands alone"):
            result(work(threading.Event()))
