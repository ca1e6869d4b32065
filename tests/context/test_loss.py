"""Loss by position against transformers' own, its bands, what is refused; the reach of a window; rotary wavelengths;
the induction curve."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import workbench as wb
from tests.reference import eager, random_ids
from workbench.context.induction import induction, repeated
from workbench.context.loss import LossByPosition, default_edges, loss, segments_interval, token_losses
from workbench.context.reach import _other, reach, reach_by_change, receptive_field, seen
from workbench.context.rope import attention_by_distance, similarity, slow_pairs, wavelengths
from workbench.errors import WorkbenchError

TEXT = "The old cat sat near the tree. " * 60


@pytest.mark.parametrize("window", [None, 24])
def test_losses_are_those_of_a_plain_forward(tiny_checkpoint: Callable[..., Path], window: int | None) -> None:
    folder = tiny_checkpoint(window=window)
    model = wb.load(str(folder))
    ids = random_ids(600, seed=4)  # more than two steps
    found = np.concatenate(list(token_losses(model, ids)))
    with torch.no_grad():
        logits = eager(folder)(torch.tensor([ids])).logits[0, :-1].double()
    wanted = torch.nn.functional.cross_entropy(logits, torch.tensor(ids[1:]), reduction="none").numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=2e-3)


def test_a_study_of_two_models(tiny_checkpoint: Callable[..., Path]) -> None:
    model = wb.load(str(tiny_checkpoint(window=24)))
    whole = model.switched(window=None)
    study = loss([model, whole], [TEXT, TEXT[40:]], 300)
    told = list(study)
    assert (told[-1].done, told[-1].of) == (1200, 1200)
    found = study.found
    assert [len(one) for one in found.losses[model.name]] == [299, 299]
    curve = found.curve((1, 24, 300))
    mine = curve[curve["model"] == model.name]
    every = np.stack(found.losses[model.name])
    assert mine["loss"].tolist() == pytest.approx([every[:, :23].mean(), every[:, 23:].mean()])
    assert mine["tokens"].tolist() == [46, 552]
    apart = found.difference(model.name, whole.name, (1, 24, 300))
    assert apart["loss"].iloc[0] == pytest.approx(0, abs=1e-4)  # within the window both see the same
    assert apart["loss"].iloc[1] == pytest.approx((np.stack(found.losses[whole.name]) - every)[:, 23:].mean())
    assert abs(apart["loss"].iloc[1]) > 1e-4
    assert found.provenance[model.name]["weights"] == model.weights_hash
    assert len(found.figure().data) == 4
    assert "2 texts" in found._repr_mimebundle_()["text/html"]
    stop = threading.Event()
    stopped = loss([model], [TEXT, TEXT], 300, stop=stop)
    for one in stopped:
        if one.done > 300:
            stop.set()
    assert len(stopped.found.losses[model.name]) == 1


def test_bands_cover_and_edges_double() -> None:
    assert default_edges(100) == (1, 32, 64, 100)
    assert default_edges(20) == (1, 20)
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(60):
        noise = np.repeat(rng.normal(2.0, 1.0, 60), 8)  # eight neighbours are alike
        low, high = segments_interval([noise])
        covered += low <= 2.0 <= high
    assert covered >= 48
    assert np.isnan(segments_interval([np.ones(5)])).all()
    with pytest.raises(WorkbenchError, match="do not grow"):
        LossByPosition({"a": (np.ones(9),)}).curve((4, 4))


@pytest.mark.parametrize(
    ("texts", "length", "said"),
    [
        ([], None, "nothing to read"),
        ([TEXT], 10**6, "A length of"),
        (["short"], 300, "Text 0 has"),
        ([TEXT], 1, "A length"),
    ],
)
def test_what_cannot_be_read(
    tiny_checkpoint: Callable[..., Path], texts: list[str], length: int | None, said: str
) -> None:
    with pytest.raises(WorkbenchError, match=said):
        loss(wb.load(str(tiny_checkpoint())), texts, length)


@pytest.mark.parametrize(("layers", "window"), [(2, 9), (3, 5), (2, None)])
def test_the_reach_is_what_the_window_allows(
    tiny_checkpoint: Callable[..., Path], layers: int, window: int | None
) -> None:
    model = wb.load(str(tiny_checkpoint(window=window, layers=layers)))
    ids = random_ids(40, seed=3)
    found = reach(model, ids)
    expected = 40 if window is None else layers * (window - 1) + 1
    assert (found.measured, found.expected) == (expected, expected)
    changed = dict(reach_by_change(model, ids, [expected - 1, min(expected, 39), 0]))
    last = changed[0].influence
    assert last[39] > 0
    assert last[40 - expected] > 0
    if window is not None:
        assert last[40 - expected - 1] == 0
        assert np.isnan(last[5])


@pytest.mark.parametrize("vocabulary", [2, 8, 500, 1000, 32000])
def test_a_replaced_token_is_another(vocabulary: int) -> None:
    assert all(_other(token, vocabulary) not in (token, vocabulary) for token in range(vocabulary))


def test_receptive_fields_and_keys() -> None:
    assert receptive_field(4096, 32, 10**6)[-1] == 131_041  # FACTS: L (W - 1) + 1
    assert receptive_field(4, 3, 100).tolist() == [1, 4, 7, 10]
    assert receptive_field(4, 3, 8).tolist() == [1, 4, 7, 8]
    assert receptive_field(None, 2, 8).tolist() == [1, 8, 8]
    assert seen(4, 9) == range(6, 10)
    assert seen(4, 1) == range(2)
    assert seen(None, 9) == range(10)


def test_rotary_wavelengths() -> None:
    counts = [slow_pairs(theta, 128, tokens) for theta in (1e4, 1e6) for tokens in (4096, 32768)]
    assert counts == [18, 4, 33, 24]  # of 64 pairs, at the 7B pair's head size
    assert wavelengths(1e4, 128)["wavelength"].iloc[0] == pytest.approx(2 * np.pi)
    near = similarity(1e6, 64, np.array([0, 1, 50]))
    assert near[0] == 1
    angles = 50 * 1e6 ** (-np.arange(0, 64, 2) / 64)
    assert near[2] == pytest.approx(np.cos(angles).mean())
    with pytest.raises(WorkbenchError):
        wavelengths(0, 128)


def test_attention_by_distance_adds_up(tiny_checkpoint: Callable[..., Path]) -> None:
    model = wb.load(str(tiny_checkpoint()))
    found = model.inspect(TEXT[:900], wb.Capture(wb.AttentionCapture(pool=16), lens=None))
    table = attention_by_distance(found)
    blocks = found.attention.map.shape[-1]
    last = table[(table["layer"] == 1) & (table["head"] == 2)]
    assert len(last) == blocks
    whole = sum(mass * (blocks - away) for away, mass in enumerate(last["mass"]))
    assert whole == pytest.approx(blocks, rel=1e-3)  # every query's attention is 1


def test_the_induction_curve_of_a_twin() -> None:
    ids = repeated(32000, 20, 3)
    assert ids[1:21] == ids[21:]
    *_, curve = induction([wb.load("twin-v0.1")], [60, 400], rows=2)
    near, far = curve.table.to_dict("records")
    assert near["gain"] > 8  # copied within the window
    assert abs(far["gain"]) < 1  # the first copy is out of sight
    with pytest.raises(WorkbenchError, match="period"):
        next(induction([wb.load("twin-v0.1")], [5000]))
