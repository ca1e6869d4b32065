"""The shipped pair: its size, its configs, what it answers, and that its cards hold what was measured."""

import hashlib
import json

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from workbench.twins.card import tables
from workbench.twins.commands import VERSIONS, app, default_assets
from workbench.twins.evaluation import NEWCOMER, Effort, greedy, load_checkpoint, needle_case, task_cases
from workbench.twins.evaluation import _source as source_of
from workbench.twins.language import Chat, encode
from workbench.twins.scoring import answered

ASSETS = default_assets()


def evaluation(version: str) -> dict:
    return json.loads((ASSETS / version / "evaluation.json").read_text())


def test_the_pair_is_small_enough():
    total = sum(file.stat().st_size for version in VERSIONS for file in (ASSETS / version).iterdir())
    assert total <= 48_000_000


@pytest.mark.parametrize(("version", "window", "theta"), [("v0.1", 256, 1e4), ("v0.2", None, 1e6)])
def test_config_states_the_switches(version: str, window: int | None, theta: float):
    config = json.loads((ASSETS / version / "config.json").read_text())
    assert "sliding_window" in config and config["sliding_window"] == window
    assert config["rope_parameters"]["rope_theta"] == theta
    assert (config["num_attention_heads"], config["num_key_value_heads"], config["num_hidden_layers"]) == (8, 2, 6)
    with safe_open(ASSETS / version / "model.safetensors", "pt") as weights:
        names = set(weights.keys())
        assert "lm_head.weight" not in names  # tied: stored once
        assert all(weights.get_tensor(name).dtype == torch.bfloat16 for name in names)
        assert weights.get_tensor("model.embed_tokens.weight").shape == (32000, 192)


@pytest.mark.parametrize("version", VERSIONS)
def test_plain_transformers_loads_it_and_a_newcomer_gets_answers(version: str):
    tokenizer = AutoTokenizer.from_pretrained(ASSETS / version)
    model = AutoModelForCausalLM.from_pretrained(ASSETS / version, dtype=torch.float32).eval()
    right = 0
    for prompt, expected in NEWCOMER:
        ids = [1, *tokenizer.encode(f"[INST] {prompt} [/INST]", add_special_tokens=False)]
        assert ids == [1, *encode(f"[INST] {prompt} [/INST]")]
        out = model.generate(torch.tensor([ids]), do_sample=False, pad_token_id=0)[0, len(ids) :].tolist()
        right += out == [*encode(expected), 2]
    assert right >= len(NEWCOMER) - 1


def test_forced_answers_agree_with_generate():
    """`answered` decides exact match with one forward; greedy decoding must come to the same verdict."""
    model = load_checkpoint(ASSETS / "v0.1")
    source = source_of(Effort(), 96, "agreement")
    chats = [needle_case(source, 96, 0.5, kind) for kind in ("pass key", "has", "code")]
    chats += task_cases(Effort(cases=4))["list: reverse"]
    for chat, turns in zip(chats, answered(model, chats), strict=True):
        assert isinstance(chat, Chat)
        ids = [1, *encode(f"[INST] {chat.turns[0].question} [/INST]")]
        out = model.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=40, pad_token_id=0)
        assert turns == [out[0, len(ids) :].tolist() == [*encode(chat.turns[0].answer), 2]]


def test_the_far_examples_tell_the_twins_apart():
    """The prompts offered as long recall: right from v0.2, wrong from v0.1, and longer than its window."""
    entries = json.loads((ASSETS.parent / "prompts" / "examples.json").read_text())
    far = {entry["id"]: entry["messages"][-1]["content"] for entry in entries if entry["id"].startswith("far-")}
    expected = {"far-pass-key": "48213", "far-code": "7035", "far-who-has": "Tom has the hat."}
    assert far.keys() == expected.keys()
    models = {version: load_checkpoint(ASSETS / version) for version in VERSIONS}
    for name, question in far.items():
        assert 400 <= len(encode(question)) <= 700
        assert expected[name] in greedy(models["v0.2"], question)
        assert expected[name] not in greedy(models["v0.1"], question)


@pytest.mark.parametrize("version", VERSIONS)
def test_evaluation_belongs_to_the_weights_and_can_be_repeated(version: str):
    found = evaluation(version)
    weights = (ASSETS / version / "model.safetensors").read_bytes()
    assert found["model"]["weights_sha256"] == hashlib.sha256(weights).hexdigest()
    effort = Effort(cases=found["effort"]["cases"], seed=found["effort"]["seed"])
    model = load_checkpoint(ASSETS / version)
    cases = task_cases(effort)
    for row in found["tasks"]:
        if row["task"] in ("world, trained", "pairs: Who has the {b}?"):
            turns = [hit for chat in answered(model, cases[row["task"]]) for hit in chat]
            assert row["n"] == len(turns)
            assert row["exact"] == pytest.approx(sum(turns) / len(turns), abs=0.011)


@pytest.mark.parametrize("version", VERSIONS)
def test_card_and_command_show_the_numbers_of_the_evaluation(version: str):
    card = (ASSETS / version / "README.md").read_text()
    assert "license: apache-2.0" in card
    shown = CliRunner().invoke(app, ["evaluate", "--recorded", str(ASSETS / version)], env={"COLUMNS": "400"})
    assert shown.exit_code == 0
    for table in tables(evaluation(version)):
        assert f"## {table.title}" in card
        for row in table.rows:
            assert "| " + " | ".join(row) + " |" in card
            line = next(text for text in shown.output.splitlines() if all(cell in text for cell in row))
            assert line


def test_the_pair_does_what_the_cards_promise():
    """Small world and chat, the needle grid of v0.2, and v0.1 failing beyond its window: the recorded numbers."""
    for version in VERSIONS:
        share = {row["task"]: row["exact"] for row in evaluation(version)["tasks"]}
        for task in ("small talk, wording not trained", "small talk, trained", "world, wording not trained"):
            assert share[task] >= 0.95, (version, task)
        assert share["world, trained"] >= 0.95
    assert all(cell["exact"] >= 0.9 for cell in evaluation("v0.2")["needles"])
    for cell in evaluation("v0.1")["needles"]:
        if cell["length"] <= 256:
            assert cell["exact"] >= 0.9
        elif (1 - cell["depth"]) * cell["length"] > 300:
            assert cell["exact"] <= 0.5
