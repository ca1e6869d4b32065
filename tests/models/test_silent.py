"""A model with silent heads computes what one whose output projection has no columns for them computes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import MistralForCausalLM

import workbench as wb
from tests.reference import random_ids
from workbench.errors import SwitchError
from workbench.views.snippets import code

HEADS = [(1, 3), (0, 0), (1, 1)]


@pytest.mark.parametrize("window", [None, 7])
def test_silent_heads_add_nothing(tiny_checkpoint: Callable[..., Path], tmp_path: Path, window: int | None) -> None:
    folder = tiny_checkpoint(window=window)
    model = wb.load(str(folder))
    quiet = model.switched(silent=HEADS)
    ids = random_ids(40, seed=2)
    reference = MistralForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    size = reference.config.head_dim
    with torch.no_grad():
        for layer, head in HEADS:
            reference.model.layers[layer].self_attn.o_proj.weight[:, head * size : (head + 1) * size] = 0
        wanted = reference(torch.tensor([ids])).logits
        torch.testing.assert_close(quiet.module(torch.tensor([ids])).logits, wanted, rtol=1e-4, atol=1e-4)
        padded = quiet.module(torch.tensor([ids, ids]), attention_mask=torch.ones(2, 40, dtype=torch.long)).logits
        torch.testing.assert_close(padded[1:], wanted, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(model.module(torch.tensor([ids])).logits, wanted, atol=1e-2)
    torch.testing.assert_close(
        quiet.module(torch.tensor([ids])).logits.detach(), wanted, rtol=1e-4, atol=1e-4
    )  # with a gradient, by the other way
    prompt = quiet.encode("one two three")
    run = quiet.generate(prompt, wb.Sampling(max_new_tokens=4))
    for _ in run:
        pass
    found = wb.open(run.inspection.save(tmp_path / "run.inspection"))
    assert found.model["switches"] == {"silent": [[0, 0], [1, 1], [1, 3]]}
    assert "silent=[(0, 0), (1, 1), (1, 3)]" in code(found, "tokens", 2)


def test_they_are_named_and_kept_apart(tiny_checkpoint: Callable[..., Path]) -> None:
    model = wb.load(str(tiny_checkpoint()))
    quiet = model.switched(silent=HEADS)
    assert quiet.name == f"{model.name} (without heads 0.0, 1.1, 1.3)"
    many = [model.switched(silent=[(0, 0), (0, 1), (0, 2), (0, 3), (1, last)]).name for last in range(3)]
    assert len(set(many)) == 3
    assert " and 1 more, #" in many[0]
    assert model.switched(silent=[(1, 2)]).name.endswith("(without head 1.2)")
    assert quiet.switched(window=9).switches == {"window": 9, "silent": [[0, 0], [1, 1], [1, 3]]}
    assert quiet.switched(silent=[]).loaded is model.loaded
    assert quiet.weights_hash == model.weights_hash
    store = wb.PrefixStore()
    for one in (model, quiet):
        run = one.generate("one two three four", wb.Sampling(max_new_tokens=2), wb.Capture.nothing(), reuse=store)
        steps = [step.token_id for step in run]
        alone = one.generate("one two three four", wb.Sampling(max_new_tokens=2), wb.Capture.nothing())
        assert steps == [step.token_id for step in alone]
        assert run.inspection.provenance["settings"].get("reused_tokens", 0) == 0


@pytest.mark.parametrize("wrong", [[(9, 0)], [(0, 4)], [(0,)], [3], "ab", [(0, True)], [(-1, 0)], 5])
def test_a_head_that_does_not_exist_is_a_sentence(tiny_checkpoint: Callable[..., Path], wrong: object) -> None:
    with pytest.raises(SwitchError, match="no head"):
        wb.load(str(tiny_checkpoint())).switched(silent=wrong)  # type: ignore[arg-type]
