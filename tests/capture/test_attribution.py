"""Direct logit attribution: parts equal an independent reading of a second copy of the model, and sum to the logit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import workbench as wb
from tests.prompts import prompt_of
from tests.reference import eager, random_ids
from workbench.capture.attribution import by_head, unembedding_rows
from workbench.capture.recording import Recording
from workbench.errors import CaptureError
from workbench.generation.prefill import new_cache, prefill
from workbench.model import Model

SHAPES = [
    {"layers": 2, "heads": 4, "kv_heads": 1, "window": None},
    {"layers": 3, "heads": 4, "kv_heads": 2, "window": 24, "tied": True},
]


def explained(**settings: Any) -> wb.Capture:
    return wb.Capture(attention=None, lens=None, kv_cache=False, attribution=wb.AttributionCapture(**settings))


@torch.no_grad()
def reference(folder: Path, ids: list[int]) -> dict[str, torch.Tensor]:
    """Every part's write (T, width) by hooks on an eager copy: embedding, attention, mlp, heads by slices of o_proj;
    and the model's logits and the final norm's scale."""
    module = eager(folder)
    found: dict[str, list[torch.Tensor]] = {"attention": [], "mlp": [], "heads": []}
    for layer in module.model.layers:
        layer.self_attn.register_forward_hook(lambda m, a, out: found["attention"].append(out[0][0]))
        layer.mlp.register_forward_hook(lambda m, a, out: found["mlp"].append(out[0]))

        def heads(m: nn.Linear, args: tuple[torch.Tensor, ...]) -> None:
            states, size = args[0][0], module.config.head_dim
            each = [states[:, i : i + size] @ m.weight[:, i : i + size].T for i in range(0, states.shape[1], size)]
            found["heads"].append(torch.stack(each))

        layer.self_attn.o_proj.register_forward_pre_hook(heads)
    streams: list[torch.Tensor] = []
    module.model.norm.register_forward_pre_hook(lambda m, args: streams.append(args[0][0]))
    logits = module(torch.tensor([ids]), use_cache=False).logits[0]
    scale = torch.rsqrt(streams[0].square().mean(-1) + module.config.rms_norm_eps)
    directions = module.lm_head.weight * module.model.norm.weight  # (vocabulary, width)
    parts = {name: torch.stack(values) for name, values in found.items()}
    return parts | {"embedding": module.model.embed_tokens(torch.tensor(ids)), "logits": logits, "scale": scale,
                    "directions": directions}  # fmt: skip


@pytest.fixture(scope="module", params=SHAPES, ids=lambda shape: f"window {shape['window']}")
def both(request: pytest.FixtureRequest, tiny_checkpoint: Callable[..., Path]) -> tuple[Model, Path]:
    folder = tiny_checkpoint(**request.param)
    return wb.load(str(folder)), folder


def total(found: Any) -> np.ndarray:
    return (found.embedding + found.attention.sum("layer") + found.mlp.sum("layer")).transpose(*found.logit.dims).values


@pytest.mark.parametrize("tokens", ["next", [5, 31999, 700]], ids=str)
def test_parts_equal_a_second_reading(both: tuple[Model, Path], tokens: Any) -> None:
    model, folder = both
    ids = random_ids(60, seed=1)
    found = model.inspect(prompt_of(model, ids), explained(positions="all", tokens=tokens)).attribution
    assert found is not None
    truth = reference(folder, ids)
    if tokens == "next":  # where none came next, at the end, the likeliest
        choices = torch.tensor([*ids[1:], int(truth["logits"][-1].argmax())])[:, None]
    else:
        choices = torch.tensor(tokens).expand(60, -1)
    np.testing.assert_array_equal(found.token_id, choices)
    along = truth["directions"][choices] * truth["scale"][:, None, None]  # (T, K, width)
    for name in ("embedding", "attention", "mlp", "heads"):
        expected = torch.einsum("...td,tkd->...tk", truth[name], along)
        np.testing.assert_allclose(found[name].values, expected, atol=1e-4, err_msg=name)
    np.testing.assert_allclose(found.logit, truth["logits"].gather(-1, choices), atol=1e-4)
    np.testing.assert_allclose(total(found), found.logit, atol=1e-4)
    np.testing.assert_allclose(found["heads"].sum("head"), found.attention, atol=1e-4)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_chunk_gives_the_same(both: tuple[Model, Path], data: st.DataObject) -> None:
    model, _ = both
    module = model.loaded.module
    ids = random_ids(data.draw(st.integers(2, 80)), seed=data.draw(st.integers(0, 99)))
    positions = data.draw(st.lists(st.integers(0, len(ids) - 1), min_size=1, max_size=30, unique=True))
    found = []
    for chunk in (len(ids), data.draw(st.integers(1, 50))):
        recording = Recording(explained(positions=positions), module, len(ids), len(ids))
        cache = new_cache(module)
        prefill(module, ids, cache, recording, chunk)
        found.append(recording.finish(cache).attribution)
    one, other = found
    assert one is not None and other is not None and one.heads is not None and other.heads is not None
    np.testing.assert_array_equal(one.positions, sorted(positions))
    np.testing.assert_array_equal(other.token_ids, one.token_ids)
    for name in ("logit", "embedding", "attention", "mlp", "heads"):
        np.testing.assert_allclose(getattr(other, name), getattr(one, name), atol=1e-4, err_msg=name)


def test_while_generating(both: tuple[Model, Path], tmp_path: Path) -> None:
    """40 new tokens, two batches and a rest; the parts are those of one forward over the finished text."""
    model, _ = both
    prompt = prompt_of(model, random_ids(21, seed=4))
    run = model.generate(prompt, wb.Sampling(max_new_tokens=40), explained())
    list(run)
    inspection = run.inspection
    found = inspection.attribution
    assert found is not None
    assert found["position"].values.tolist() == list(range(20, 20 + len(run.steps)))
    assert found.token_id.values[:, 0].tolist() == [step.token_id for step in run.steps]
    again = model.inspect(prompt_of(model, inspection.ids.tolist()), explained(positions="all")).attribution
    for name in ("logit", "embedding", "attention", "mlp", "heads"):
        expected = again[name].sel(position=found["position"])  # type: ignore[index]
        np.testing.assert_allclose(found[name].values, expected.values, atol=2e-4, err_msg=name)
    opened = wb.open(inspection.save(tmp_path / "a.inspection"))
    assert opened.attribution.equals(found)  # type: ignore[union-attr]
    assert "attribution at 40 positions" in repr(opened)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_sums_up_to_its_rounding(tiny_checkpoint: Callable[..., Path], dtype: str) -> None:
    """The sum is the exact logit of the rounded stream; the model's own is rounded to 8 or 11 bits at every product."""
    model = wb.load(str(tiny_checkpoint(layers=3, heads=4, kv_heads=2)), dtype=dtype)
    found = model.inspect(prompt_of(model, random_ids(30, seed=2)), explained(positions="all")).attribution
    rounding = {"bfloat16": 2**-7, "float16": 2**-10}[dtype]
    np.testing.assert_allclose(total(found), found.logit, atol=8 * rounding * float(abs(found.logit).max()))
    heads = found["heads"].sum("head").values
    np.testing.assert_allclose(heads, found.attention, atol=8 * rounding * float(abs(found.attention).max()))


class RoundedLinear(nn.Module):
    """Stands in for a quantised Linear: whole numbers and a scale, and no weight that could be read."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.scale = float(linear.weight.detach().abs().max()) / 127
        self.register_buffer("rounded", (linear.weight.detach() / self.scale).round().to(torch.int8))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return rows @ (self.rounded.to(rows.dtype) * self.scale).T  # type: ignore[operator]


def test_quantised_projections(tiny_checkpoint: Callable[..., Path]) -> None:
    model = wb.load(str(tiny_checkpoint(layers=2, heads=4, kv_heads=1, seed=3)))
    for layer in model.loaded.module.model.layers:
        layer.self_attn.o_proj = RoundedLinear(layer.self_attn.o_proj)
    found = model.inspect(prompt_of(model, random_ids(30, seed=2)), explained(positions="all")).attribution
    np.testing.assert_allclose(total(found), found.logit, atol=1e-4)
    np.testing.assert_allclose(found["heads"].sum("head"), found.attention, atol=1e-4)


def test_offloaded_weights(tiny_checkpoint: Callable[..., Path]) -> None:
    """Weights on the meta device, which accelerate brings in for each call: the same numbers as in memory."""
    from accelerate import cpu_offload

    folder, ids = tiny_checkpoint(layers=2, heads=4, kv_heads=1), random_ids(40, seed=6)
    near, far = wb.load(str(folder)), wb.load(str(folder))
    cpu_offload(far.loaded.module, torch.device("cpu"))
    assert far.loaded.module.lm_head.weight.is_meta
    one, other = (m.inspect(prompt_of(m, ids), explained(positions=[3, -1])).attribution for m in (near, far))
    for name in one.data_vars:  # type: ignore[union-attr]
        np.testing.assert_allclose(other[name].values, one[name].values, atol=1e-5, err_msg=str(name))  # type: ignore[index]


@torch.no_grad()
def test_the_pieces_are_exact() -> None:
    linear, states = nn.Linear(12, 7, bias=False), torch.randn(5, 3, 4)
    written = by_head(linear, states)
    for head in range(3):
        own = linear.weight[:, 4 * head : 4 * head + 4]
        torch.testing.assert_close(written[head], states[:, head] @ own.T)
    torch.testing.assert_close(written.sum(0), linear(states.flatten(1)))
    unembedding = nn.Linear(6, 50, bias=False)
    assert torch.equal(unembedding_rows(unembedding, [3, 49], torch.zeros(6)), unembedding.weight[[3, 49]])
    assert unembedding.weight.grad is None


def test_without_heads_and_in_parts(both: tuple[Model, Path]) -> None:
    model, _ = both
    prompt = prompt_of(model, random_ids(20, seed=1))
    few = model.inspect(prompt, explained(positions=[2], tokens=7, heads=False)).attribution
    assert "heads" not in few and few.token_id.values.tolist() == [[7]]
    none = model.inspect(prompt, explained(positions=[])).attribution
    assert none.sizes["position"] == 0
    assert model.inspect(prompt, wb.Capture.nothing()).attribution is None


@pytest.mark.parametrize("tokens", [None, "last", [], [32000], [-1], [1, 1], [1.5], list(range(65))], ids=str)
def test_impossible_tokens(both: tuple[Model, Path], tokens: Any) -> None:
    with pytest.raises(CaptureError, match="tokens are"):
        both[0].inspect("Hello", explained(tokens=tokens))


def test_its_bytes_are_foretold(both: tuple[Model, Path]) -> None:
    model, _ = both
    capture = explained(positions="all", tokens=[1, 2])
    found = model.inspect(prompt_of(model, random_ids(33, seed=1)), capture)
    held = sum(values.nbytes for name, values in found.arrays.items() if name.startswith("attribution."))
    assert held == capture.bytes(model.loaded, 33)["attribution"]
    with pytest.raises(CaptureError, match=r'attribution.*positions="generated"'):
        explained(positions="all", tokens=list(range(64))).check(model.loaded, 2 * 10**6)
