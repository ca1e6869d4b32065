"""The mechanism of an answer equals eager attention and every layer's own logits; the found heads are those that carry
the needle."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import MistralForCausalLM

import workbench as wb
from workbench.context.answering import expected_ids
from workbench.context.mechanism import mechanism, spelled
from workbench.context.retrieval_heads import HeadSearch, ablation, retrieval_heads
from workbench.context.tasks import TASKS
from workbench.errors import ContextLengthError, WorkbenchError
from workbench.views.questions import sentence


@pytest.mark.parametrize("window", [None, 37])
def test_it_equals_the_eager_reference(tiny_checkpoint: Callable[..., Path], window: int | None) -> None:
    folder = tiny_checkpoint(window=window)
    model = wb.load(str(folder))
    item = TASKS["multi-query"]().make(model.tokenizer, 420, 0.9, 3)
    found = mechanism(model, item)
    expected = expected_ids(model, item)
    ids = [*item.prompt.ids, *expected]
    reference = MistralForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    with torch.no_grad():
        out = reference(torch.tensor([ids]), output_attentions=True, output_hidden_states=True)
        places = np.arange(len(item.prompt.ids) - 1, len(ids) - 1)
        attention = torch.stack(out.attentions)[:, 0].numpy()[:, :, places]
        streams = torch.stack(out.hidden_states[:-1])[:, 0, places]
        logits = reference.lm_head(reference.model.norm(streams)).float()
        last = out.logits[0, places].float()[None]  # the last hidden state of transformers is already normed
        logits = torch.cat([logits, last])
    keys = np.concatenate([np.arange(*span) for span in item.needles])
    np.testing.assert_allclose(found.needle_mass.values, attention[..., keys].sum(-1), atol=2e-5)
    right = torch.tensor(expected)[None, :, None].expand(len(logits), -1, -1)
    np.testing.assert_allclose(
        found.logprob.values, logits.log_softmax(-1).gather(-1, right)[..., 0].numpy(), atol=2e-3, rtol=1e-3
    )
    ranks = (logits > logits.gather(-1, right)).sum(-1).numpy() + 1
    assert (np.abs(found.rank.values - ranks) <= 1 + ranks // 500).all()  # rounding may swap neighbours
    best = attention.argmax(-1)
    for head in ((0, 0), (1, 2)):
        hits = [
            ids[best[head][i]] == token and best[head][i] in keys for i, token in enumerate(expected) if found.told[i]
        ]
        assert found.copied.values[head] == pytest.approx(np.mean(hits))


def test_what_is_told_are_the_tokens_of_the_references() -> None:
    pieces = ("▁The", "▁key", "▁is", "▁", "5", "6", ".")
    assert spelled(pieces, ("56",)).tolist() == [False, False, False, False, True, True, False]
    assert spelled(pieces, ("the key", "nothing")).tolist() == [True, True, False, False, False, False, False]


def test_the_found_heads_carry_the_needle() -> None:
    model = wb.load("twin-v0.2")
    make = TASKS["needle"]().make
    items = [make(model.tokenizer, length, 0.4, case, seed=9) for length in (200, 500) for case in range(2)]
    found = retrieval_heads(model, items)
    heads = found.top(most=6)
    assert len(heads) == 6
    assert (found.table["score"].head(6) > 0.9).all()
    assert found.by_length["answered"].tolist() == [1.0, 1.0]
    assert (found.by_length["settles"] < model.layers).all()
    control = found.control(6, seed=2)
    assert not set(control) & set(heads)
    study = ablation(model, heads, [control], lengths=[200, 500], depths=(0.4,), cases=2, seed=9)
    list(study)
    right = study.grid.trials.groupby("model")["right"].mean()
    assert right[model.name] == 1.0
    assert right[model.switched(silent=heads).name] == 0.0
    pair = study.grid.paired(model.name, model.switched(silent=heads).name)
    assert (pair["only_a"] == pair["n"]).all()
    with pytest.raises(WorkbenchError, match="heads have a score under"):
        found.control(model.layers * model.heads)
    result = study.found
    table = result.table().set_index("silenced")
    assert table["right"].tolist()[:2] == [1.0, 0.0]
    assert table.loc["found", "p"] == 2 / 2 ** table.loc["found", "n"]  # each of n questions is lost
    assert table["below"].tolist() == [0, 0, sum(layer < 1 for layer, _ in control)]
    assert "without the 6 found heads 0 of 4" in result.sentence
    assert len(result.figure().data[0].x) == 3
    assert len(found.figure().data) == 2
    near, far = found.mechanisms[0], found.mechanisms[-1]
    assert len(near.figure(far).data) == 4


def test_a_task_without_needles_names_no_head(tiny_checkpoint: Callable[..., Path]) -> None:
    model = wb.load(str(tiny_checkpoint()))
    common = mechanism(model, TASKS["common-words"]().make(model.tokenizer, 700))
    assert common.item.needles == ()
    assert f"{common.item.length} tokens: there is no needle to look up; " in repr(common)
    assert "head" not in repr(common)
    assert sentence(common, "v0.1").startswith("v0.1: there is no needle to look up; ")
    assert [title for title, _ in common.tables() if "eads" in title] == []
    needle = mechanism(model, TASKS["needle"]().make(model.tokenizer, 200))
    assert "reads the needle with" in repr(needle)
    assert needle.tables()[0][0] == "Heads, best first"


def test_bad_input_and_stop(tiny_checkpoint: Callable[..., Path]) -> None:
    model = wb.load(str(tiny_checkpoint()))
    item = TASKS["needle"]().make(model.tokenizer, model.context + 1)
    with pytest.raises(ContextLengthError):
        mechanism(model, item)
    with pytest.raises(WorkbenchError, match="no items"):
        HeadSearch(model, [])
    stop = threading.Event()
    stop.set()
    search = HeadSearch(model, [item], stop)
    assert list(search) == []
    with pytest.raises(WorkbenchError, match="looked at"):
        _ = search.found
