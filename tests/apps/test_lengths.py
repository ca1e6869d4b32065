"""Every page that reads texts has the limit of a prompt: told with the number, before a model has read anything."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

import workbench as wb
from apps.server.settings import Settings
from apps.studio.behaviour_events import BehaviourEvents
from apps.studio.difference_events import DifferenceEvents
from apps.studio.fact_events import FactEvents
from apps.studio.guardrail_events import GuardrailEvents
from apps.studio.heads_events import HeadsEvents
from apps.studio.lengths import check_lengths
from apps.studio.loss_events import LossEvents
from apps.studio.promptlab_events import PromptLabEvents
from apps.studio.shelf import Shelf
from apps.studio.studio import Studio
from apps.studio.which_events import WhichEvents
from workbench.chat.guardrails import with_safe_prompt
from workbench.errors import WorkbenchError

TAB, MOST = "t" * 24, 64
LONG = "hat " * 200
SAID = [{"role": "user", "content": LONG}, {"role": "assistant", "content": "Yes"}]
QUESTION = '{"prompt": "Who?", "answer": "Tom", "expected": "' + LONG + '"}'
WHICH = {"measures": ["loss", "retrieval"], "reference": "a", "most": None}
SUITE = {"suite": "", "text": '{"turns": ["Hi", "' + LONG + '"]}', "name": "own", "limit": 1, "tokens": 1,
         "temperature": 0, "seed": 0}  # fmt: skip
LOSS = {"text": LONG, "length": 65}
HEADS = {"task": "needle", "lengths": [32, 65], "cases": 1, "seed": 0, "least": 0.1, "silence": 0, "controls": 0}
ASKED: list[tuple[str, Callable[[Studio], Any], dict[str, Any], Any]] = [
    ("heads", lambda s: HeadsEvents(s).heads_start, HEADS, 65),
    ("loss", lambda s: LossEvents(s).loss_start, LOSS, 65),
    ("factorial, a text", lambda s: WhichEvents(s).which_start, WHICH | {"texts": "Hello\n---\n" + LONG}, LONG.strip()),
    ("factorial, an answer", lambda s: WhichEvents(s).which_start, WHICH | {"questions": QUESTION}, LONG),
    ("texts", lambda s: DifferenceEvents(s).differences_texts, {"texts": "Hello\n---\n" + LONG}, LONG.strip()),
    ("prompt lab", lambda s: PromptLabEvents(s).promptlab_start, {"over": "this", "messages": SAID}, None),
    ("prompt lab, forms", lambda s: PromptLabEvents(s).promptlab_forms, {"messages": SAID}, None),
    ("moderation", lambda s: GuardrailEvents(s).guardrails_start, {"prompts": "Hi\n" + LONG, "longest": 1},
     with_safe_prompt(LONG.strip())),
    ("behaviour", lambda s: BehaviourEvents(s).behaviour_start, SUITE, "\nHi\n" + LONG),
    ("identity card", lambda s: FactEvents(s).fact_probe, {"text": LONG}, LONG.strip()),
]  # fmt: skip


@pytest.fixture(scope="module")
def studio(shelf: Shelf, names: list[str]) -> Studio:
    return Studio.of([shelf.get(name) for name in names], None, Settings(max_prompt_tokens=MOST))


@pytest.mark.parametrize(("start", "request_", "read"), [one[1:] for one in ASKED], ids=[one[0] for one in ASKED])
def test_a_text_that_is_too_long_is_refused_before_it_is_read(
    start: Callable[[Studio], Any], request_: dict[str, Any], read: Any, studio: Studio, shelf: Shelf, names: list[str]
) -> None:
    before = studio.admission.metrics.refusals().get("tokens", 0)
    worked: list[Any] = []
    hooks = [shelf.get(name).loaded.module.register_forward_pre_hook(lambda *_: worked.append(1)) for name in names]
    asked = {"tab": TAB, "model": names[1], "models": [names[1]]} | request_
    try:
        told = ended(studio, start(studio)(asked)["job"])
    except WorkbenchError as error:
        told = str(error)
    finally:
        for hook in hooks:
            hook.remove()
    model = shelf.get(names[1])
    longest = max(len(form.ids) for form in wb.prompt_lab(model, SAID, loss=False).forms)
    number = longest if read is None else read if isinstance(read, int) else len(model.encode(read))
    assert told.startswith(f"This is a text of {number:,} tokens; expected at most {MOST} on this server"), told
    assert "workbench " in told and told.count("\n") == 0
    assert not worked, "no model has read anything"
    assert studio.admission.metrics.refusals()["tokens"] == before + 1
    assert studio.admission.counts("study") == (0, 0)


def ended(studio: Studio, job: str) -> str:
    """The sentence with which a job failed."""
    until = time.monotonic() + 60
    while (found := studio.jobs.status(TAB, job))["state"] in ("waiting", "running"):
        assert time.monotonic() < until, "it never ended"
        time.sleep(0.005)
    assert found["state"] == "failed", found
    return str(found["error"])


def test_without_a_limit_and_within_it_nothing_is_refused(shelf: Shelf, names: list[str], studio: Studio) -> None:
    models = [shelf.get(name) for name in names]
    check_lengths(Studio.of(models).admission, models, [LONG], "workbench")
    check_lengths(studio.admission, models, ["hat " * 40, [{"role": "user", "content": "Hi"}]], "workbench")
