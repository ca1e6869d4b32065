"""Differences planted on purpose are found and named, and nothing else is."""

from __future__ import annotations

import json
import math
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import workbench as wb
from workbench.errors import ComparisonError

_CHAT = (
    "{{{{ bos_token }}}}{{% for m in messages %}}{{% if m['role'] == 'user' %}}{{{{ '[INST] ' + m['content'] + "
    "' [/INST]' }}}}{{% else %}}{{{{ m['content'] + eos_token{} }}}}{{% endif %}}{{% endfor %}}"
)
A, B = _CHAT.format(" + ' '"), _CHAT.format("")
ALTERED = "model.layers.1.mlp.up_proj.weight"


@pytest.fixture
def copied(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> Callable[..., wb.Model]:
    """A function that loads a copy of one checkpoint with something changed."""

    def make(
        name: str, config: dict[str, Any] | None = None, drop: str = "", template: str = "", tensor: str = ""
    ) -> wb.Model:
        folder = tmp_path / name
        shutil.copytree(tiny_checkpoint(), folder)
        raw = json.loads((folder / "config.json").read_text()) | (config or {})
        raw.pop(drop, None)
        (folder / "config.json").write_text(json.dumps(raw))
        if template:
            (folder / "chat_template.jinja").write_text(template)
        if tensor:
            tensors = load_file(folder / "model.safetensors")
            tensors[tensor] = tensors[tensor].clone()
            tensors[tensor][3, 5] += 2.0
            save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        return wb.load(str(folder))

    return make


def test_each_planted_difference_is_named_alone(copied: Callable[..., wb.Model]) -> None:
    plain = copied("plain", template=A)
    theta = copied("theta", {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}, template=A)
    template, tensor = copied("template", template=B), copied("tensor", template=A, tensor=ALTERED)
    same = "all 21 tensors are identical"

    assert wb.changes(plain, theta).sentences == ("rope theta: 1e4 against 1e6", same)
    at = next(i for i, (x, y) in enumerate(zip(A, B, strict=False)) if x != y)
    first, last = wb.changes(plain, template).sentences
    assert first.startswith(f"the chat templates differ at character {at}: ") and last == same
    assert first.endswith("(template A against template B)")

    found = wb.changes(plain, tensor)
    norm = float(plain.module.get_parameter(ALTERED).detach().double().norm())
    assert found.sentences == (f"1 of 21 tensors differs: {ALTERED} (relative distance {2 / norm:.2g})",)
    row = found.weights.loc[ALTERED]
    assert row["distance"] == pytest.approx(2 / norm, rel=1e-6) and row["largest"] == pytest.approx(2, rel=1e-6)
    assert (row["kind"], row["layer"], row["same"]) == ("MLP", 1, False)
    grouped = found.grouped
    assert grouped.loc[1, "MLP"] > 0 and np.nansum(grouped.to_numpy()) == grouped.loc[1, "MLP"]
    assert not found.same and "1 of 21 tensors differ" in repr(found)
    json.dumps(found.as_json(), allow_nan=False)


def test_absent_null_and_other_fields_are_told_apart(copied: Callable[..., wb.Model]) -> None:
    null = copied("null", {"sliding_window": None, "tie_word_embeddings": False})
    absent = copied("absent", {"attention_dropout": 0.1}, drop="sliding_window")
    said = wb.changes(null, absent, weights=False).sentences
    assert "sliding_window as config.json states it: null against absent" in said
    assert "sliding window: none against 4 096 tokens" in said, "what transformers puts in place"
    assert "attention_dropout: 0 against 0.1" in said or "attention_dropout: 0.0 against 0.1" in said
    assert len(said) == 3
    nothing = wb.changes(null, null, weights=False)
    assert nothing.same and nothing.sentences == ("nothing differs in config, tokenizer and chat template",)


def test_a_template_where_there_was_none_and_markup_in_it(copied: Callable[..., wb.Model]) -> None:
    found = wb.changes(copied("none"), copied("own", template="<b>{{ messages[0]['content'] }}</b>"), weights=False)
    assert found.sentences == ("chat template: none stored against one of its own",)
    other = wb.changes(copied("a", template=A), copied("more", template=A + "<i>"), weights=False)
    assert f"differ at character {len(A)}" in other.sentences[0]
    assert "<i>" not in other._repr_mimebundle_()["text/html"]


def test_distances_are_those_of_plain_numpy(tiny_checkpoint: Callable[..., Path]) -> None:
    a, b = wb.load(str(tiny_checkpoint())), wb.load(str(tiny_checkpoint(seed=1)))
    found = wb.changes(a, b).weights
    others = dict(b.module.named_parameters())
    assert list(found.index) == [name for name, _ in a.module.named_parameters()]
    for name, value in a.module.named_parameters():
        one, other = (v.detach().double().numpy().reshape(-1) for v in (value, others[name]))
        assert found.loc[name, "distance"] == pytest.approx(np.linalg.norm(other - one) / np.linalg.norm(one))
        assert found.loc[name, "largest"] == pytest.approx(np.abs(other - one).max())
        assert found.loc[name, "cosine"] == pytest.approx(one @ other / np.linalg.norm(one) / np.linalg.norm(other))
    own = [np.concatenate([p.detach().numpy().reshape(-1) for n, p in model.module.named_parameters()
                           if n.startswith("model.layers.0.mlp.")]).astype(float) for model in (a, b)]  # fmt: skip
    grouped = wb.changes(a, b).grouped
    assert grouped.loc[0, "MLP"] == pytest.approx(np.linalg.norm(own[1] - own[0]) / np.linalg.norm(own[0]))


def test_blocks_bfloat16_and_what_is_not_finite(
    tiny_checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = wb.load(str(tiny_checkpoint())), wb.load(str(tiny_checkpoint()), dtype="bfloat16")
    whole = wb.changes(a, b)
    assert whole.stated[0].sentence == "weights are loaded as: float32 against bfloat16"
    monkeypatch.setattr("workbench.comparison.weights.BLOCK", 1000)
    parts = wb.changes(a, b).weights
    np.testing.assert_allclose(parts["distance"].astype(float), whole.weights["distance"].astype(float), rtol=1e-9)
    with torch.no_grad():
        b.module.get_parameter(ALTERED)[0, 0] = math.nan
    named = wb.changes(a, b).sentences[-1]
    assert f": {ALTERED} (holds numbers that are not finite)" in named, "the farthest of all comes first"


def test_other_shapes_a_stop_and_a_switched_self(tiny_checkpoint: Callable[..., Path], models: list[wb.Model]) -> None:
    taller = wb.load(str(tiny_checkpoint(layers=3, hidden=32)))
    found = wb.changes(models[0], taller)
    assert "num_hidden_layers: 2 against 3" in found.sentences
    assert "model.layers.2.self_attn.q_proj.weight" in found.weights.index
    assert np.isnan(found.weights["distance"]).all() and "shape [32000, 64] against [32000, 32]" in found.sentences[-1]
    stop = threading.Event()
    short = wb.changes(*models, stop=stop, progress=lambda step: stop.set() if step.done == 4 else None)
    assert len(short.tensors) == 4 and short.sentences[-1].endswith("stopped after 4 of 21")
    own = wb.changes(models[0], models[0].switched(window=None))
    assert own.sentences == ("sliding window: 24 tokens against none", "all 21 tensors are identical")
    with pytest.raises(ComparisonError, match="str"):
        wb.changes(models[0], "v0.1")  # type: ignore[arg-type]


def test_a_comparison_says_what_changed(models: list[wb.Model]) -> None:
    found = wb.compare(*models, [1, 500, 600], capture=wb.Capture.nothing())
    assert found.changes is not None
    assert found.changes.sentences == wb.changes(*models, weights=False).sentences
    assert "sliding window: 24 tokens against none" in found.changes.sentences
    assert wb.Comparison.of(found.a, found.b).changes is None
