"""What is captured equals transformers' eager attention and its hidden states, with and without a sliding window."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import workbench as wb
from tests.prompts import prompt_of
from tests.reference import eager, eager_states, random_ids, residual_stream
from workbench.inspection.inspection import Inspection
from workbench.model import Model

SHAPES = [
    {"layers": 2, "heads": 4, "kv_heads": 1, "window": None},
    {"layers": 3, "heads": 4, "kv_heads": 2, "window": 24},
    {"layers": 2, "heads": 2, "kv_heads": 2, "window": 1},
]


@pytest.fixture(scope="module", params=SHAPES, ids=lambda shape: f"window {shape['window']}")
def both(request: pytest.FixtureRequest, tiny_checkpoint: Callable[..., Path]) -> tuple[Model, Path]:
    folder = tiny_checkpoint(**request.param)
    return wb.load(str(folder)), folder


def inspected(model: Model, ids: list[int], capture: wb.Capture) -> Inspection:
    return model.inspect(prompt_of(model, ids), capture)


def test_rows_map_and_states_equal_eager(both: tuple[Model, Path]) -> None:
    model, folder = both
    ids = random_ids(70, seed=1)
    truth = eager_states(eager(folder), ids)["attention"].numpy()
    found = inspected(model, ids, wb.Capture(wb.AttentionCapture(rows="all", pool=16, states=True), lens=None))
    assert found.attention is not None
    np.testing.assert_allclose(found.attention.rows.values, truth, atol=1e-5)
    for query in (0, 1, 33, 69):
        np.testing.assert_allclose(found.attention.row(query), truth[:, :, query], atol=1e-5)
    without_rows = inspected(model, ids, wb.Capture(wb.AttentionCapture(rows=None, states=True), lens=None)).attention
    assert without_rows is not None
    for layer in range(len(truth)):
        for position in (0, 5, 40, 69):
            np.testing.assert_allclose(without_rows.row(position, layer), truth[layer, :, position], atol=1e-5)
            np.testing.assert_allclose(without_rows.column(position, layer), truth[layer, :, :, position], atol=1e-5)
        np.testing.assert_allclose(without_rows.head_map(layer, 1), truth[layer, 1], atol=1e-5)

    block = found.attention.block
    assert block == 5
    pooled = truth.reshape(*truth.shape[:2], 14, 5, 14, 5).sum(-1).mean(3)
    np.testing.assert_allclose(found.attention.map.values, pooled, atol=1e-5)


def test_statistics_equal_their_definitions(both: tuple[Model, Path]) -> None:
    model, folder = both
    ids = random_ids(61, seed=2)
    truth = eager_states(eager(folder), ids)["attention"].double()
    capture = wb.AttentionCapture(rows=None, pool=13, sink_tokens=3, recent=7, reach=11)
    found = inspected(model, ids, wb.Capture(capture, lens=None)).attention.statistics  # type: ignore[union-attr]
    assert found is not None
    block = found.attrs["block"]
    back = torch.arange(61)[:, None] - torch.arange(61)[None]
    previous = [max((j for j in range(i) if ids[j] == ids[i]), default=-2) + 1 for i in range(61)]
    induction = torch.zeros(61, 61, dtype=torch.double)
    for i, j in enumerate(previous):
        if j >= 0:
            induction[i, j] = 1
    expected = {
        "entropy": -torch.xlogy(truth, truth).sum(-1),
        "distance": (truth * back).sum(-1),
        "sink": truth[..., :3].sum(-1),
        "self": (truth * (back == 0)).sum(-1),
        "previous": (truth * (back == 1)).sum(-1),
        "recent": (truth * ((back >= 0) & (back < 7))).sum(-1),
        "induction": (truth * induction).sum(-1),
        "inside_window": (truth * ((back >= 0) & (back < 11))).sum(-1),
    }
    assert any(value >= 0 for value in previous)
    for name, values in expected.items():
        means = torch.stack([part.mean(-1) for part in values.split(block, -1)], -1)
        np.testing.assert_allclose(found[name].values, means.numpy(), atol=3e-5, rtol=3e-6, err_msg=name)
    received = torch.stack([part.mean(-1) for part in truth.sum(2).split(block, -1)], -1)
    np.testing.assert_allclose(found["received"].values, received.numpy(), atol=3e-5)


def test_lens_equals_norm_and_unembedding_of_the_stream(both: tuple[Model, Path]) -> None:
    model, folder = both
    ids = random_ids(41, seed=3)
    reference = eager(folder)
    stream = residual_stream(reference, ids)
    found = inspected(model, ids, wb.Capture(attention=None, lens=wb.LensCapture(positions="all", top_k=7)))
    assert found.lens is not None
    with torch.no_grad():
        logits = reference.lm_head(reference.model.norm(stream)).float()
    logprobs = logits.log_softmax(-1)
    top = logprobs.topk(7, -1)
    np.testing.assert_allclose(found.lens.top_logprob, top.values, atol=2e-4)
    assert (found.lens.top_id.values == top.indices.numpy()).mean() > 0.999  # near-ties may swap
    np.testing.assert_allclose(found.lens.entropy, -(logprobs.exp() * logprobs).sum(-1), atol=3e-4)
    kl = (logprobs[-1].exp() * (logprobs[-1] - logprobs)).sum(-1)
    np.testing.assert_allclose(found.lens.kl, kl, atol=3e-4)
    target = torch.tensor(ids[1:])
    at_target = logprobs[:, :-1].gather(-1, target.expand(len(logits), -1)[..., None])[..., 0]
    np.testing.assert_allclose(found.lens.target_logprob[:, :-1], at_target, atol=2e-4)
    rank = (logprobs[:, :-1] > at_target[..., None]).sum(-1) + 1
    assert (found.lens.target_rank[:, :-1].values == rank.numpy()).mean() > 0.99
    assert found.lens.target_id.values.tolist() == [*ids[1:], -1]
    assert found.lens.target_rank[:, -1].values.tolist() == [0] * len(logits)
    # the last layer of the lens is the model's own output
    own = eager_states(reference, ids)["logits"][-1].log_softmax(-1).topk(7).values
    np.testing.assert_allclose(found.lens.top_logprob[-1, -1], own, atol=2e-4)


def test_a_slice_of_a_capture_is_the_capture_of_the_slice(both: tuple[Model, Path]) -> None:
    model, _ = both
    ids = random_ids(50, seed=4)
    whole = inspected(model, ids, wb.Capture(wb.AttentionCapture(rows="all"), wb.LensCapture(positions="all")))
    part = inspected(
        model, ids,
        wb.Capture(
            wb.AttentionCapture(layers=[1], heads=[1], rows=[3, -2], pool=0, statistics=False),
            wb.LensCapture(layers=[1], positions=slice(4, 9)),
        ),
    )  # fmt: skip
    assert whole.attention is not None
    assert part.attention is not None
    np.testing.assert_allclose(
        part.attention.rows.values, whole.attention.rows.sel(layer=[1], head=[1], query=[3, 48]).values, atol=1e-6
    )
    assert part.attention.map is None
    for name in ("entropy", "kl", "target_logprob", "target_rank"):
        expected = whole.lens[name].sel(layer=[1], position=range(4, 9))  # type: ignore[index]
        np.testing.assert_allclose(part.lens[name].values, expected.values, atol=1e-5)  # type: ignore[index]


def test_what_must_hold_of_any_attention(both: tuple[Model, Path]) -> None:
    model, _ = both
    found = inspected(model, random_ids(67, seed=5), wb.Capture(wb.AttentionCapture(rows="all", pool=9))).attention
    assert found is not None
    rows = found.rows
    np.testing.assert_allclose(rows.sum("key"), 1, atol=1e-5)
    np.testing.assert_allclose(found.map.sum("key_block"), 1, atol=1e-5)
    back = rows["query"].values[:, None] - rows["key"].values[None]
    unseen = (back < 0) | (back >= (model.window or 10**9))
    assert (rows.values[..., unseen] == 0).all()
    if model.window is not None:
        np.testing.assert_allclose(found.statistics["inside_window"], 1, atol=1e-5)
