"""Cells against plain transformers, planted differences, Stop, and what cannot be measured."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import workbench as wb
from tests.reference import eager, random_ids
from workbench.comparison.items import spread
from workbench.comparison.outcomes import KL_EVERY
from workbench.comparison.questions import Question, questions_of, shipped, texts_of
from workbench.errors import ComparisonError, PromptError

Build = Callable[..., Path]
TEXTS = [
    "The sea was calm and the boats went out. Then came the wind, and the boats came home one after the other.",
    "A hat, a key and a lamp: Tom has the hat, Anna has the key, and who has the lamp? Nobody knows where it is now.",
    "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen.",
]
QUESTION = {"messages": [{"role": "user", "content": "The pass key is 4721. " + "It rains. " * 9 + "The pass key?"}],
            "answer": "4721", "expected": "The pass key is 4721."}  # fmt: skip


@pytest.fixture(scope="module")
def pair(tiny_checkpoint: Build) -> list[Path]:
    return [tiny_checkpoint(window=16), tiny_checkpoint(seed=1, theta=1e6)]


@pytest.fixture(scope="module")
def loaded(pair: list[Path]) -> list[wb.Model]:
    return [wb.load(str(folder)) for folder in pair]


@pytest.fixture(scope="module")
def found(loaded: list[wb.Model]) -> wb.Factorial:
    return wb.factorial(*loaded, texts=TEXTS, questions=[QUESTION], edges=(16,))


def plain(folder: Path, window: int | None, theta: float) -> Any:
    """transformers' own eager model of a folder with other switches: the rotary embedding is built anew."""
    module = eager(folder)
    module.config.sliding_window = window
    module.config.rope_parameters = {"rope_type": "default", "rope_theta": theta}
    module.model.rotary_emb = type(module.model.rotary_emb)(module.config)
    for layer in module.model.layers:
        layer.self_attn.config.sliding_window = window
        if hasattr(layer.self_attn, "sliding_window"):
            layer.self_attn.sliding_window = window
    return module


@torch.no_grad()
def logs(module: Any, ids: list[int]) -> torch.Tensor:
    return torch.log_softmax(module(torch.tensor([ids]), use_cache=False).logits[0].double(), -1)


def test_loss_and_kl_of_every_cell_are_those_of_plain_loops(
    found: wb.Factorial, pair: list[Path], loaded: list[wb.Model]
) -> None:
    ids = list(loaded[0].encode(TEXTS[1]).ids)
    own = logs(plain(pair[0], 16, 1e4), ids)
    read = np.arange(1, len(ids))
    assert (read > 16).sum() > 8
    for cell in found.paired("loss").columns:
        module = plain(pair["ab".index(cell[0])], {"a": 16, "b": None}[cell[1]], {"a": 1e4, "b": 1e6}[cell[2]])
        said = logs(module, ids)
        loss = -said[:-1].gather(-1, torch.tensor(ids[1:])[:, None])[:, 0].numpy()
        kl = (own.exp() * (own - said)).sum(-1)[:-1].numpy()[::KL_EVERY]
        for outcome, values, at in (("loss", loss, read), ("kl", kl, read[::KL_EVERY])):
            got = [found.paired(outcome, where).loc["text 2", cell] for where in ("all", "to 16", "past 16")]
            wanted = [values.mean(), values[at <= 16].mean(), values[at > 16].mean()]
            np.testing.assert_allclose(got, wanted, atol=2e-4, err_msg=f"{outcome} in {cell}")


def test_answers_are_those_of_greedy_generation(found: wb.Factorial, pair: list[Path], loaded: list[wb.Model]) -> None:
    (question,) = questions_of([QUESTION])
    prompt = list(loaded[0].encode(question.prompt).ids)
    expected, told = question.encoded(loaded[0])
    assert loaded[0].tokenizer.decode([i for i, t in zip(expected, told, strict=True) if t]).strip(" .") == "4721"
    for cell in found.paired("answer").columns:
        module = plain(pair["ab".index(cell[0])], {"a": 16, "b": None}[cell[1]], {"a": 1e4, "b": 1e6}[cell[2]])
        said = logs(module, [*prompt, *expected])[len(prompt) - 1 : -1]
        logprob = said.gather(-1, torch.tensor(expected)[:, None])[:, 0].numpy()[told].mean()
        assert found.paired("answer").loc["question 1", cell] == pytest.approx(logprob, abs=1e-3)


def test_an_answer_is_right_where_the_model_writes_it(loaded: list[wb.Model]) -> None:
    """What a random model writes greedily is the right answer of that model, and hardly of the others."""
    model = loaded[0]
    run = model.generate(QUESTION["messages"], wb.Sampling(max_new_tokens=6, temperature=0.0), wb.Capture.nothing())
    said = "".join(step.text for step in run).strip()
    asked = Question("own", QUESTION["messages"], (said[:8],), said)
    result = wb.factorial(*loaded, measures=["retrieval"], questions=[asked], edges=())
    assert result.paired("retrieval").loc["question own", "aaa"] == 1
    assert result.paired("retrieval").loc["question own"].sum() < 8


def test_a_planted_theta_is_all_there_is(tiny_checkpoint: Build) -> None:
    """The same weights loaded twice, one with another theta: one factor, and all of the difference is its effect."""
    model = wb.load(str(tiny_checkpoint(window=16)))
    result = wb.factorial(model, model.switched(theta=3e6), measures=["loss"], texts=[*TEXTS, *TEXTS])
    assert [one.name for one in result.factors] == ["theta"]
    assert len(result.notes) == 2 and "theta (1e4 → 3e6) is responsible" in result.sentence
    means = result.paired("loss").mean()
    assert result.of("loss")["theta"].estimate == pytest.approx(means["b"] - means["a"])


def test_silent_heads_are_weights_and_a_copy_is_none(tiny_checkpoint: Build) -> None:
    model, copy = (wb.load(str(tiny_checkpoint(window=16))) for _ in range(2))
    with pytest.raises(ComparisonError, match="same weights"):
        wb.factorial(model, copy)
    result = wb.factorial(model, copy.switched(silent=[(0, 1)]), measures=["loss"], texts=TEXTS)
    assert [one.name for one in result.factors] == ["weights"] and "silent heads" in result.factors[0].b
    assert abs(result.of("loss")["weights"].estimate) > 1e-3


def test_a_planted_window_is_told_from_theta(tiny_checkpoint: Build) -> None:
    """Weights and theta differ as well, but only past the window does the window count."""
    ids = [" ".join(wb.load(str(tiny_checkpoint())).tokenizer.decode(random_ids(12, seed)).split()) for seed in (1, 2)]
    a, b = wb.load(str(tiny_checkpoint(window=64))), wb.load(str(tiny_checkpoint(seed=1, theta=1e5)))
    short = wb.factorial(a, b, measures=["loss"], texts=ids)
    for name, one in short.of("loss").items():
        assert (abs(one.estimate) < 1e-5) == ("window" in name), name
    assert not any(one.sure for name, one in short.of("loss").items() if "window" in name)


def test_stop_keeps_whole_items(loaded: list[wb.Model]) -> None:
    stop = threading.Event()
    run = wb.FactorialRun(*loaded, measures=["loss"], texts=TEXTS, stop=stop)
    shares = []
    for progress in run:
        shares.append(progress.share)
        if len(shares) == 11:
            stop.set()
    result = run.result
    assert shares == sorted(shares) and len(shares) == 11
    assert (result.measured, result.planned, result.finished) == (1, 3, False)
    assert result.sentence.startswith("Unfinished: 1 of 3 items")
    assert set(result.values["item"]) == {"text 1"} and len(result.paired("loss").columns) == 8


def test_tables_figure_and_notebook(found: wb.Factorial, loaded: list[wb.Model]) -> None:
    assert found.cells.loc[("loss", "all", "aba"), ["weights", "window", "theta"]].tolist()[1:] == ["none", "1e4"]
    assert found.cells.loc[("kl", "all", "aaa"), "mean"] == 0
    assert list(found.effects.columns) == ["estimate", "low", "high", "n"]
    chart = found.figure("loss", "past 16")
    by_name = dict(zip(chart.data[0].y, chart.data[0].x, strict=True))
    assert by_name["window x theta"] == found.of("loss", "past 16")["window x theta"].estimate
    bundle = found._repr_mimebundle_()
    assert "window x theta" in bundle["text/html"] and "8 cells" in bundle["text/plain"]
    assert found.provenance["a"]["weights"] == loaded[0].weights_hash
    assert found.as_json()["cells"][0]["cell"] == "aaa"


def test_a_cell_without_room_says_so(tiny_checkpoint: Build, loaded: list[wb.Model]) -> None:
    small = wb.load(str(tiny_checkpoint(seed=2, context=24)))
    result = wb.factorial(loaded[0], small, measures=["loss"], texts=[TEXTS[0], "A short one."])
    assert len(result.paired("loss")) == 1
    assert "has room for 24 tokens: 1 of 2 items" in result.sentence


def test_what_cannot_be_asked_is_a_sentence(loaded: list[wb.Model], tmp_path: Path) -> None:
    a, b = loaded
    for call in (
        lambda: wb.factorial(a, a),
        lambda: wb.factorial(a, b, measures=["accuracy"]),
        lambda: wb.factorial(a, b, measures=[]),
        lambda: wb.factorial(a, "twin-v0.2"),  # type: ignore[arg-type]
        lambda: wb.factorial(a, b, reference="c"),  # type: ignore[arg-type]
        lambda: wb.factorial(a, b, edges=(0,)),
        lambda: wb.factorial(a, b, most=0),
    ):
        with pytest.raises(ComparisonError):
            call()
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"prompt": "Who?", "answer": "Tom"}\n{"prompt"\n')
    for bad in (broken, tmp_path / "none.jsonl", [{"prompt": "Who?"}], [{"answer": "Tom"}], [3], []):
        with pytest.raises(PromptError):
            wb.factorial(a, b, measures=["retrieval"], questions=bad)
    with pytest.raises(PromptError):
        wb.factorial(a, b, measures=["loss"], texts=[])


def test_items_are_chosen_evenly() -> None:
    assert spread(list(range(10)), 4) == [0, 3, 6, 9] and spread([1, 2], 4) == [1, 2]


def test_the_shipped_items_are_what_their_command_writes(tmp_path: Path) -> None:
    from workbench.twins.language import held_out
    from workbench.twins.prompt_sets import write

    for path in write(tmp_path, seed=7):
        assert path.read_bytes() == (shipped("texts").parent / path.name).read_bytes()
    asked = questions_of(None)
    assert len(asked) == 28 and len(texts_of(None)) == 8
    by_value = [one for one in asked if one.id.startswith(("pass key", "secret word"))]  # their value is their key
    assert len(by_value) == 8
    assert all(held_out(task, one.answers[0]) for one in by_value for task in ("needles", "long needles"))
