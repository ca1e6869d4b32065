"""The prompt lab against mistral_common and plain transformers forwards."""

from __future__ import annotations

import json
import random
import shutil
import threading
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import workbench as wb
from tests.chat.test_encoding import CHATML, chatml, reference  # noqa: F401
from tests.texts import awkward_text
from workbench.chat import Message
from workbench.chat.templates import FORMS, TEMPLATES, injections, prompt_forms, rendered
from workbench.cli import app
from workbench.errors import PromptError
from workbench.facts.prompt_costs import conversations_of
from workbench.models import Tokenizer, v1_tokenizer
from workbench.models.registry import assets_folder
from workbench.twins.language import TASKS, Chat, Source, held_out
from workbench.twins.language.base import normalized
from workbench.twins.prompt_sets import conversations

TOKENIZER = v1_tokenizer()
NAMES = ("<s>", "</s>", "<unk>")
TWO = [
    {"role": "user", "content": "What is the capital?"},
    {"role": "assistant", "content": "Paris is."},
    {"role": "user", "content": "And near it?"},
    {"role": "assistant", "content": "Orly."},
]


@pytest.mark.parametrize("name", ["A", "B", "C"])
def test_templates_write_the_published_forms(name: str) -> None:
    chat = [Message("user", "u"), Message("assistant", "a"), Message("user", "u")]
    if name == "C":
        chat.insert(0, Message("system", "s"))
    assert rendered(TOKENIZER, TEMPLATES[name], chat) == FORMS[name]


def shaped_chat(draw: random.Random, turns: int, system: bool, complete: bool) -> list[dict[str, str]]:
    """Awkward texts without the names of control tokens, which are the injection's matter."""

    def text() -> str:
        made = awkward_text(draw)
        for name in NAMES:
            made = made.replace(name, "x")
        return made if made.strip() else "ok"

    roles = ["system"] * system + ["user", "assistant"] * turns
    return [{"role": role, "content": text()} for role in (roles if complete else roles[:-1])]


@pytest.mark.parametrize("turns", [1, 2, 3, 5])
def test_random_chats_agree_as_the_facts_say(turns: int) -> None:
    """A and B: as the reference with one question, never with an answer in it, refused with a system message. C: always
    behind Metaspace, never behind Prepend. Every form's answers are found where they stand."""
    draw = random.Random(turns)
    for system, complete, _ in product([False, True], [False, True], range(8)):
        chat = shaped_chat(draw, turns, system, complete)
        forms = {form.name: form for form in prompt_forms(TOKENIZER, chat)}
        assert list(forms["reference"].ids) == reference(chat)
        for name in ("A", "B", "A, Metaspace", "B, Metaspace"):
            assert forms[name].agrees is (None if system else turns == 1 and not complete), (name, chat)
            assert bool(forms[name].refused) is system
        assert forms["C"].agrees is False
        assert forms["C, Metaspace"].agrees is True, chat
        answers = {place: one["content"] for place, one in enumerate(chat) if one["role"] == "assistant"}
        for form in forms.values():
            if form.refused:
                continue
            assert form.agrees is (form.ids == forms["reference"].ids)
            assert [place for place, _, _ in form.answers] == list(answers), (form, chat)
            for place, start, stop in form.answers:
                assert form.ids[stop - 1] == 2 and 2 not in form.ids[start : stop - 1]
                said = TOKENIZER.decode(form.ids[start:stop]).strip()
                assert said.endswith(answers[place].replace("▁", " ").strip()), (form, chat)


def test_a_token_that_straddles_is_the_answers() -> None:
    chat = [{"role": "user", "content": "Which?"}, {"role": "assistant", "content": "(a) it is"}]
    forms = {form.name: form for form in prompt_forms(TOKENIZER, chat)}
    ((_, start, stop),) = forms["A"].answers
    assert forms["A"].pieces[start - 1 : stop] == ("INST", "](", "a", ")", "▁it", "▁is", "</s>")
    ((_, start, stop),) = forms["reference"].answers
    assert forms["reference"].pieces[start - 1 : stop] == ("]", "▁(", "a", ")", "▁it", "▁is", "</s>")


@pytest.mark.parametrize(("question", "answer"), [("INST", "/"), ("[", "[/INST]"), ("s", "s>"), ("x", " ")])
def test_an_answer_is_not_found_in_the_control_text(question: str, answer: str) -> None:
    chat = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}] * 2
    forms = {form.name: form for form in prompt_forms(TOKENIZER, chat)}
    for form in forms.values():
        assert [place for place, _, _ in form.answers] == [1, 3]
        ends = [at + 1 for at, index in enumerate(form.ids) if index == 2]
        assert [stop for _, _, stop in form.answers] == ends
        for _, start, stop in form.answers:
            assert TOKENIZER.decode(form.ids[start:stop]).strip().removeprefix("]") == answer.strip()


def test_a_system_message_is_refused_by_a_and_b() -> None:
    forms = {f.name: f for f in prompt_forms(TOKENIZER, [{"role": "system", "content": "Be kind."}, *TWO[:1]])}
    assert "must alternate" in forms["A"].refused and "system message" in forms["B"].refused
    assert forms["A"].ids == () and forms["A"].agrees is None
    assert forms["C, Metaspace"].agrees is True


def test_typed_control_tokens_are_named_with_their_place() -> None:
    chat = [{"role": "user", "content": "a</s> [INST]"}]
    found = injections(TOKENIZER, chat)
    assert [(one["text"], one["position"]) for one in found] == [("</s>", 1), ("[INST]", 6)]
    assert "control token 2" in found[0]["sentence"] and "plain text in v1" in found[1]["sentence"]
    forms = {form.name: form for form in prompt_forms(TOKENIZER, chat)}
    assert 2 not in forms["reference"].ids and 2 in forms["A"].ids
    assert injections(TOKENIZER, TWO) == []


def test_loss_is_that_of_a_plain_forward() -> None:
    model = wb.load("twin-v0.2")
    lab = wb.prompt_lab(model, TWO)
    assert lab.loss is not None
    for name in ("reference", "B"):
        form = lab[name]
        with torch.inference_mode():
            scores = model.module(torch.tensor([form.ids])).logits[0].float().log_softmax(-1)
        for place, start, stop in form.answers:
            total = sum(float(scores[at - 1, form.ids[at]]) for at in range(start, stop))
            row = lab.loss[(lab.loss["form"] == name) & (lab.loss["answer"] == place)].iloc[0]
            assert row.logprob == pytest.approx(total, abs=1e-3) and row.tokens == stop - start
            assert TOKENIZER.decode(form.ids[start:stop]).strip() == TWO[place]["content"]
    reply = lab.loss[lab.loss["answer"] == "reply"].set_index("form")
    with torch.inference_mode():
        before = torch.tensor([[*prompt_forms(TOKENIZER, TWO[:3])[2].ids, *TOKENIZER.encode("Orly."), 2]])
        scores = model.module(before).logits[0].float().log_softmax(-1)
    count = len(TOKENIZER.encode("Orly.")) + 1
    total = sum(float(scores[at - 1, before[0, at]]) for at in range(len(before[0]) - count, len(before[0])))
    assert reply.logprob["B"] == pytest.approx(total, abs=1e-3) and set(reply.tokens) == {count}
    assert reply.difference["C, Metaspace"] == 0 != reply.difference["B"]
    words = [word for word, *_ in lab.aligned("B")]
    assert "replace" in words
    with pytest.raises(PromptError, match="no form"):
        lab["D"]


def test_the_command_prints_what_the_library_says(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    folder, chat, csv = str(tiny_checkpoint()), tmp_path / "chat.json", tmp_path / "forms.csv"
    chat.write_text(json.dumps(TWO))
    words = ["prompt", "--conversation", str(chat), "-m", folder, "--loss", "--csv", str(csv)]
    result = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    lab = wb.prompt_lab(wb.load(folder), TWO)
    assert lab.loss is not None and all(warning in result.output for warning in lab.warnings)
    assert f"{lab.loss.logprob.iloc[0]:.3f}" in result.output and "'▁Paris'" in result.output
    assert len(pd.read_csv(csv)) == len(lab.loss)
    assert CliRunner().invoke(app, ["prompt"]).exit_code != 0
    assert CliRunner().invoke(app, ["prompt", "--conversation", str(tmp_path / "chats.jsonl")]).exit_code != 0


def test_costs_are_the_paired_means_of_every_conversation(tiny_checkpoint: Callable[..., Path]) -> None:
    model = wb.load(str(tiny_checkpoint()))
    chats = [TWO, TWO[:2], [{"role": "system", "content": "Be kind."}, *TWO], TWO[:1]]
    run = wb.prompt_costs(model, [{"id": "first", "messages": TWO}, *chats[1:]])
    assert list(run) == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    found = run.result
    assert (found.measured, found.planned) == (3, 4) and "Conversation 4: there is no answer" in found.left_out[0]
    expected: dict[tuple[str, str], list[float]] = {}
    for chat in chats[:3]:
        loss = wb.prompt_lab(model, chat).loss
        assert loss is not None
        for row in loss.to_dict("records"):
            if row["answer"] in ("all", "reply"):
                scored = "answers" if row["answer"] == "all" else "reply"
                expected.setdefault((row["form"], scored), []).append(row["difference"])
    table = found.table()
    assert set(table.index) == set(expected)
    for key, values in expected.items():
        assert table.nats[key] == pytest.approx(np.mean(values), abs=1e-9)
        assert table.conversations[key] == len(values) == (2 if key[0][0] in "AB" else 3)
        assert min(values) - 1e-9 <= table.low[key] <= table.nats[key] <= table.high[key] <= max(values) + 1e-9
    one = found.by_conversation.query("conversation == '2' and scored == 'reply'")
    assert set(one[one["form"].isin(["A", "B"])].difference) == {0.0}  # before the first answer nothing differs
    assert found.table(by_turns=True).conversations["A", "reply", 1] == 1
    assert "first" in set(found.by_conversation.conversation) and "A -" in repr(found).replace("+", "-")
    stop = threading.Event()
    stopped = wb.prompt_costs(model, [TWO, TWO], stop=stop)
    for done, _ in stopped:
        if done:
            stop.set()
    assert stopped.result.measured == 2
    early = wb.prompt_costs(model, [TWO, TWO, TWO], stop=stop)
    assert list(early) == [] and early.result.table().empty


def test_conversations_that_cannot_be_read_are_sentences(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    path = tmp_path / "chats.jsonl"
    for text, said in (("{", "Line 1 of chats.jsonl"), ("[]\n3", "Conversation 2 has no messages"), ("", "no convers")):
        path.write_text(text)
        with pytest.raises(PromptError, match=said):
            conversations_of(path)
    with pytest.raises(PromptError, match="cannot be read"):
        conversations_of(tmp_path / "none.jsonl")
    with pytest.raises(PromptError, match="No conversation has an answer"):
        list(wb.prompt_costs(wb.load(str(tiny_checkpoint())), [TWO[:1]]))


def test_the_shipped_conversations_are_the_generators_and_held_out() -> None:
    made = list(conversations(7))
    lines = (assets_folder() / "prompts" / "conversations.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == made
    assert [name for name, _ in conversations_of(None)] == [one["id"] for one in made]
    turns = [len(one["messages"]) // 2 for one in made]
    assert turns.count(2) == turns.count(3) == 24 and len(made) == 48
    source, seen = Source(random.Random(1), max_pairs=8, length=256), set()
    for _ in range(2000):
        chat = TASKS["greetings"].sample(source)
        assert isinstance(chat, Chat)
        seen.add(normalized(chat.turns[0].question))
        assert not held_out("greetings", chat.key)
    talk = [one for one in made if one["id"].startswith("small talk")]
    assert len(seen) > 100 and not seen & {normalized(m["content"]) for one in talk for m in one["messages"][::2]}


def checkpoint_with(folder: Path, tmp_path: Path, tokenizer: Tokenizer | None, template: str) -> str:
    """A copy of the checkpoint with another tokenizer (None: its own) and this chat template."""
    copied = tmp_path / "checkpoint"
    shutil.copytree(folder, copied)
    if tokenizer is not None:
        for path in copied.glob("token*"):
            path.unlink()
        tokenizer.hf.save_pretrained(copied)
    (copied / "chat_template.jinja").write_text(template)
    return str(copied)


def test_another_tokenizer_stands_alone(
    tiny_checkpoint: Callable[..., Path],
    tmp_path: Path,
    chatml: Tokenizer,  # noqa: F811
) -> None:
    model = wb.load(checkpoint_with(tiny_checkpoint(), tmp_path, chatml, CHATML))
    lab = wb.prompt_lab(model, TWO)
    assert [form.name for form in lab.forms] == ["own"] and "stands alone" in lab.note
    assert lab.forms[0].agrees is None and lab.forms[0].ids == model.encode(TWO).ids
    told = [model.tokenizer.decode(lab.forms[0].ids[start:stop]) for _, start, stop in lab.forms[0].answers]
    assert told == ["Paris is.", "Orly."] and lab.loss is not None
    with torch.inference_mode():
        scores = model.module(torch.tensor([lab.forms[0].ids])).logits[0].float().log_softmax(-1)
    (_, start, stop) = lab.forms[0].answers[0]
    assert lab.forms[0].pieces[stop - 1] == "<|im_end|>"
    total = sum(float(scores[at - 1, lab.forms[0].ids[at]]) for at in range(start, stop))
    assert lab.loss.logprob[0] == pytest.approx(total, abs=1e-3) and set(lab.loss.difference) == {0.0}
    with pytest.raises(PromptError, match="nothing to compare with"):
        wb.prompt_costs(model, [TWO])
    result = CliRunner().invoke(app, ["prompt", "-p", "Hi", "-m", model.name], env={"COLUMNS": "200"})
    assert result.exit_code == 0 and "stands alone" in result.output


LLAMA = "{% for m in messages %}{{ '<<SYS>>' if loop.first }}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"


@pytest.mark.parametrize("template", [TEMPLATES["B"], LLAMA])
def test_the_own_template_stands_beside_the_reference(
    tiny_checkpoint: Callable[..., Path], tmp_path: Path, template: str
) -> None:
    model = wb.load(checkpoint_with(tiny_checkpoint(), tmp_path, None, template))
    lab = wb.prompt_lab(model, TWO)
    assert lab.forms[-1].name == "own" and list(lab["reference"].ids) == reference(TWO)
    text = rendered(TOKENIZER, template, [Message.of(one) for one in TWO])
    assert lab["own"].ids == tuple(TOKENIZER.encode_rendered(text)[0]) and lab["own"].agrees is False
    assert (lab["own"].ids == lab["B"].ids) is (template != LLAMA)
    assert [place for place, _, _ in lab["own"].answers] == [1, 3]
    assert lab.loss is not None and "own" in set(lab.loss.form)


def test_the_command_takes_an_exported_conversation_and_many(
    tiny_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    chat, many, csv = tmp_path / "chat.json", tmp_path / "chats.jsonl", tmp_path / "costs.csv"
    chat.write_text(wb.Conversation.of(TWO).to_json())
    hostile = [{"role": "user", "content": "[red]a</s>[/red]"}, {"role": "assistant", "content": "[bold]x"}]
    many.write_text("\n".join(json.dumps(one) for one in (TWO, {"id": "[red]", "messages": hostile}, hostile[:1])))
    run = CliRunner().invoke(app, ["prompt", "--conversation", str(chat)], env={"COLUMNS": "200"})
    assert run.exit_code == 0 and "C, Metaspace" in run.output, run.output
    words = ["prompt", "--loss", "--conversation", str(many), "-m", str(tiny_checkpoint()), "--csv", str(csv)]
    run = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert run.exit_code == 0 and "2 of 3 chats" in run.output and "Left out. Conversation 3" in run.output, run.output
    fewer = CliRunner().invoke(app, [*words[:-2], "--most", "2"], env={"COLUMNS": "200"})
    assert fewer.exit_code == 0 and "2 of 2 chats" in fewer.output, fewer.output
    costs = wb.prompt_costs(wb.load(str(tiny_checkpoint())), many)
    list(costs)
    assert f"{costs.result.table().nats['B', 'answers']:+.3f}" in run.output
    assert pd.read_csv(csv).difference.tolist() == pytest.approx(costs.result.by_conversation.difference.tolist())
