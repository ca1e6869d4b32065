"""A switched model computes what a model built with that window and theta computes, over the very same weights."""

from __future__ import annotations

import gc
import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import accelerate
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import MistralConfig, MistralForCausalLM

import workbench as wb
from tests.prompts import prompt_of
from tests.reference import eager_states, random_ids
from workbench.errors import SwitchError
from workbench.generation.prefill import forward, new_cache, prefill
from workbench.inspection.inspection import Inspection
from workbench.model import Model, load_model
from workbench.models.switches import KEEP, switched_module

SWITCHES: list[dict[str, Any]] = [{"window": None}, {"window": 5, "theta": 2e3}]


def rebuilt(folder: Path, attention: str, **switches: Any) -> MistralForCausalLM:
    """A model of transformers' own, built from scratch with the switched config and given the checkpoint's weights."""
    original = MistralForCausalLM.from_pretrained(folder)
    config = MistralConfig.from_pretrained(folder, attn_implementation=attention)
    config.sliding_window = switches.get("window", config.sliding_window)
    if "theta" in switches:
        config.rope_parameters = {"rope_type": "default", "rope_theta": switches["theta"]}
    module = MistralForCausalLM(config).eval()
    module.load_state_dict(original.state_dict())
    return module


def restated(folder: Path, place: Path, **switches: Any) -> Path:
    """A copy of the checkpoint whose config.json states the switched values."""
    shutil.copytree(folder, place)
    config = json.loads((place / "config.json").read_text())
    if "window" in switches:
        config["sliding_window"] = switches["window"]
    if "theta" in switches:
        config["rope_parameters"] = {"rope_type": "default", "rope_theta": switches["theta"]}
    (place / "config.json").write_text(json.dumps(config))
    return place


def run(model: Model, tokens: int = 30, seed: int = 1, new: int = 5) -> Inspection:
    prompt = prompt_of(model, random_ids(tokens, seed=seed))
    going = model.generate(prompt, wb.Sampling(max_new_tokens=new), wb.Capture.full())
    list(going)
    return going.inspection


def same(one: Inspection, other: Inspection) -> None:
    """Every array of two inspections is the same to the last bit, except for the seconds."""
    assert set(one.arrays) == set(other.arrays)
    for name, values in one.arrays.items():
        if name != "steps.seconds":
            np.testing.assert_array_equal(values, other.arrays[name], err_msg=name)


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([(2, 4, 1, None), (3, 4, 2, 11), (1, 2, 2, 4)]), st.sampled_from([None, 1, 2, 7, 40, KEEP]),
    st.sampled_from([KEEP, 50.0, 1e6]), st.integers(1, 45), st.sampled_from([1, 7, 64]),
)  # fmt: skip
def test_it_equals_a_model_built_so(
    tiny_checkpoint: Callable[..., Path], shape: tuple[Any, ...], window: Any, theta: Any, tokens: int, chunk: int
) -> None:
    """Logits while a prompt is read in chunks and past the window, and attention, against transformers' eager model."""
    layers, heads, kv_heads, own = shape
    folder = tiny_checkpoint(layers=layers, heads=heads, kv_heads=kv_heads, window=own)
    wanted = {name: value for name, value in (("window", window), ("theta", theta)) if value is not KEEP}
    model = wb.load(str(folder)).switched(**wanted)
    ids = random_ids(tokens + 4, seed=tokens)
    truth = eager_states(rebuilt(folder, "eager", **wanted), ids)
    cache = new_cache(model.module)
    logits = [prefill(model.module, ids[:tokens], cache, chunk=chunk)]
    logits += [forward(model.module, [token], cache, None) for token in ids[tokens:]]
    np.testing.assert_allclose(torch.stack(logits), truth["logits"][tokens - 1 :], atol=2e-3, rtol=1e-4)  # type: ignore[arg-type]
    rows = model.inspect(prompt_of(model, ids), wb.Capture(wb.AttentionCapture(rows="all"), lens=None)).attention.rows
    np.testing.assert_allclose(rows, truth["attention"], atol=2e-5)


@pytest.mark.parametrize(
    ("switches", "dtype"),
    [
        ({"window": None}, "float32"),
        ({"window": 9, "theta": 2e3}, "float32"),
        ({"window": 5, "theta": 1e6}, "bfloat16"),
    ],
    ids=str,
)
def test_every_capture_equals_that_of_a_checkpoint_that_states_it(
    tiny_checkpoint: Callable[..., Path], tmp_path: Path, switches: dict[str, Any], dtype: str
) -> None:
    folder = tiny_checkpoint(layers=2, heads=4, kv_heads=2, window=12)
    model = wb.load(str(folder), dtype=dtype)
    before = run(model)
    fresh = wb.load(str(restated(folder, tmp_path / "fresh", **switches)), dtype=dtype)
    one, other = run(model.switched(**switches)), run(fresh)
    same(one, other)
    # Nothing of one switch is lost in the file or left on the original.
    assert (one.model["window"], one.model["theta"]) == (other.model["window"], other.model["theta"])
    assert not np.array_equal(one.arrays["attention.map"], before.arrays["attention.map"])
    same(before, run(model))


def test_decoding_past_the_window_is_that_of_generate(tiny_checkpoint: Callable[..., Path]) -> None:
    folder = tiny_checkpoint(layers=2, heads=4, kv_heads=2)
    ids = random_ids(10, seed=3)
    for switches in ({"window": 6}, {"window": 6, "theta": 300.0}):
        model = wb.load(str(folder)).switched(**switches)
        reply = run(model, 10, seed=3, new=30)
        expected = rebuilt(folder, "sdpa", **switches).generate(
            torch.tensor([ids]), attention_mask=torch.ones(1, 10), max_new_tokens=30, do_sample=False, pad_token_id=2
        )
        assert reply.ids.tolist() == expected[0, : len(reply.ids)].tolist()
        assert (reply.kv_cache.physical_length == 5).all()


def tensor_bytes() -> int:
    gc.collect()
    held = {}
    for thing in gc.get_objects():
        if type(thing) in (torch.Tensor, nn.Parameter, nn.Buffer) and thing.device.type == "cpu":
            held[thing.untyped_storage().data_ptr()] = thing.untyped_storage().nbytes()
    return sum(held.values())


def test_no_weight_is_copied(tiny_checkpoint: Callable[..., Path]) -> None:
    model = wb.load(str(tiny_checkpoint(layers=3, tied=True)))
    before = tensor_bytes()
    siblings = [model.switched(window=n + 1, theta=1e5 + n) for n in range(10)]
    extra = (tensor_bytes() - before) / len(siblings)
    assert extra <= 2 * model.head_dim * 4  # two vectors of frequencies
    own = dict(model.module.named_parameters())
    for sibling in siblings:
        theirs = dict(sibling.module.named_parameters())
        assert theirs.keys() == own.keys()
        assert all(theirs[name] is own[name] for name in own)
        assert theirs["model.embed_tokens.weight"].data_ptr() == sibling.module.lm_head.weight.data_ptr()


def state_of(module: nn.Module) -> dict[str, Any]:
    """Whatever a switch could have touched: identities of parts and methods, hooks, attributes and buffers."""
    found: dict[str, Any] = {"config": module.config.to_dict() | {"attn": module.config._attn_implementation}}
    for name, part in module.named_modules():
        found[name] = (id(part), id(getattr(part, "config", None)), getattr(part, "_hf_hook", None))
        for registry in ("_parameters", "_buffers", "_modules", "_forward_hooks", "_forward_pre_hooks"):
            parts = getattr(part, registry).items()
            # accelerate puts a new placeholder in after every forward of an offloaded weight
            found[f"{name}.{registry}"] = {k: "meta" if getattr(v, "is_meta", 0) else id(v) for k, v in parts}
    return found


@pytest.mark.parametrize("device_map", [None, {"": "disk"}], ids=["memory", "disk"])
def test_nothing_of_the_original_changes(tiny_checkpoint: Callable[..., Path], device_map: Any) -> None:
    model = Model(load_model(tiny_checkpoint(window=12), device_map=device_map))
    before = state_of(model.module)
    sibling = model.switched(window=3, theta=77.0)
    sibling.inspect("Hello there")
    sibling.module.model.layers[0].register_forward_hook(lambda *_: None)
    sibling.module.set_attn_implementation("eager")
    assert state_of(model.module) == before
    assert sibling.module.state_dict().keys() == model.module.state_dict().keys()


def test_original_and_switched_at_once(tiny_checkpoint: Callable[..., Path]) -> None:
    """Two threads, the original and a switched model: each gets what it gets alone."""
    model = wb.load(str(tiny_checkpoint(layers=2, heads=4, kv_heads=2, window=12)))
    sibling = model.switched(window=None, theta=1e6)
    alone = [run(model), run(sibling)]
    found: list[list[Inspection]] = [[], []]

    def work(i: int, which: Model) -> None:
        for _ in range(3):
            found[i].append(run(which))

    threads = [threading.Thread(target=work, args=(i, which)) for i, which in enumerate((model, sibling))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for mine, others in zip(alone, found, strict=True):
        assert len(others) == 3
        for other in others:
            same(mine, other)


ON_DISK = {
    "model.embed_tokens": "cpu", "model.layers.0": "disk", "model.layers.1": "cpu", "model.norm": "disk",
    "model.rotary_emb": "cpu", "lm_head": "disk",
}  # fmt: skip


@pytest.mark.parametrize("device_map", [ON_DISK, "offload"], ids=["disk", "cpu offload"])
def test_over_offloaded_weights(tiny_checkpoint: Callable[..., Path], device_map: Any) -> None:
    """Under accelerate's hooks, and after the original has been let go (its folder on disk must stay)."""
    folder = tiny_checkpoint(layers=2, heads=4, kv_heads=2, window=12)
    plain = wb.load(str(folder))
    expected = [run(plain.switched(**switches)) for switches in SWITCHES]
    if device_map == "offload":
        loaded = load_model(folder)
        accelerate.cpu_offload(loaded.module, "cpu")
        original: Model | None = Model(loaded)
        del loaded
    else:
        original = Model(load_model(folder, device_map=device_map))
    assert original is not None
    before = run(original)
    siblings = [original.switched(**switches) for switches in SWITCHES]
    for sibling, other in zip(siblings, expected, strict=True):
        same(run(sibling), other)
    same(run(original), before)
    modules = [sibling.module for sibling in siblings]
    del original, siblings, sibling
    gc.collect()
    cache = new_cache(modules[0])
    assert torch.isfinite(prefill(modules[0], [1, 5, 9], cache)).all()  # type: ignore[arg-type]


def test_leaves_of_any_kind_are_shared(tiny_checkpoint: Callable[..., Path]) -> None:
    """A layer that stores its weight otherwise, as 8-bit ones do, with state of its own, is the same object."""

    class Stored(nn.Module):
        def __init__(self, linear: nn.Linear) -> None:
            super().__init__()
            self.register_buffer("code", (linear.weight * 100).round().to(torch.int8))
            self.calls: list[int] = []

        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            self.calls.append(1)
            return hidden @ (self.code.to(hidden.dtype) / 100).T

    loaded = load_model(tiny_checkpoint())
    for layer in loaded.module.model.layers:
        layer.self_attn.q_proj = Stored(layer.self_attn.q_proj)
        layer.mlp.up_proj = Stored(layer.mlp.up_proj)
    model = Model(loaded)
    sibling = model.switched(window=3)
    sibling.inspect("Hello")
    for one, other in zip(model.module.model.layers, sibling.module.model.layers, strict=True):
        assert one.self_attn.q_proj is other.self_attn.q_proj
        assert one.mlp is other.mlp
        assert len(one.self_attn.q_proj.calls) == 1


def test_scaled_rope_keeps_its_scaling(tiny_checkpoint: Callable[..., Path]) -> None:
    folder = tiny_checkpoint()
    config = MistralConfig.from_pretrained(folder)
    config.rope_parameters = {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}
    scaled = MistralForCausalLM(config)
    config.rope_parameters["rope_theta"] = 1e6
    expected = MistralForCausalLM(config).model.rotary_emb.inv_freq
    config.rope_parameters["rope_theta"] = 1e4
    torch.testing.assert_close(switched_module(scaled, theta=1e6).model.rotary_emb.inv_freq, expected, rtol=0, atol=0)
    assert scaled.config.rope_parameters["rope_theta"] == 1e4


def test_it_says_what_it_is(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    model = wb.load("twin-v0.1")
    sibling = model.switched(window=None, theta=1e6)
    assert sibling.name == "twin-v0.1 (no window, theta 1e6)"
    assert "no window" in repr(sibling)
    found = wb.open(sibling.inspect("Hello").save(tmp_path / "x.inspection"))
    assert found.model["name"] == found.provenance["model"] == sibling.name
    assert found.model["switches"] == found.provenance["switches"] == {"window": None, "theta": 1e6}
    assert found.provenance["switched_from"] == "twin-v0.1"
    assert found.provenance["weights"] == model.loaded.weights_hash
    assert (found.model["context"], found.model["trained_context"]) == (model.context, model.trained_context)
    assert model.inspect("Hello").provenance["switches"] == {}
    assert model.switched(window=64).name == "twin-v0.1 (window 64)"


def test_switching_back(tiny_checkpoint: Callable[..., Path]) -> None:
    model = wb.load(str(tiny_checkpoint(window=12, theta=1e4)))
    assert model.switched() is model
    assert model.switched(window=12, theta=10_000) is model
    there = model.switched(window=None).switched(theta=5e5)
    assert there.switches == {"window": None, "theta": 5e5}
    assert there.switched() is there
    assert there.switched(theta=1e4).switches == {"window": None}
    back = there.switched(window=np.int64(12), theta=np.float32(1e4))  # type: ignore[arg-type]
    assert back.loaded is model.loaded
    same(run(back), run(model))


@pytest.mark.parametrize(
    ("switches", "word"),
    [
        ({"window": 0}, "window is 0"), ({"window": -3}, "window is -3"), ({"window": 2.5}, "window is 2.5"),
        ({"window": True}, "window is True"), ({"window": "none"}, "window is 'none'"), ({"window": 2**40}, "window"),
        ({"theta": 0}, "theta is 0"), ({"theta": -1e4}, "theta"), ({"theta": float("nan")}, "theta is nan"),
        ({"theta": float("inf")}, "theta is inf"), ({"theta": "1e6"}, "theta is '1e6'"), ({"theta": None}, "theta"),
        ({"theta": True}, "theta is True"), ({"theta": 1e-300}, "theta"),
    ],
)  # fmt: skip
def test_impossible_switches(tiny_checkpoint: Callable[..., Path], switches: dict[str, Any], word: str) -> None:
    with pytest.raises(SwitchError, match=word) as caught:
        wb.load(str(tiny_checkpoint())).switched(**switches)
    assert "\n" not in str(caught.value)
