"""What a run is said to cost: bytes as they come out, a peak and a time that grow with what is asked, and the nearest
setting where it would be too much."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import workbench as wb
from tests.prompts import prompt_of
from tests.reference import random_ids
from workbench.capture.cost import Estimate, readable, seen
from workbench.errors import CaptureError
from workbench.inspection.inspection import Inspection
from workbench.model import Model

ATTENTION = (
    None,
    wb.AttentionCapture(),
    wb.AttentionCapture(rows="all", pool=7, states=True),
    wb.AttentionCapture(rows=[0, 3, -1], pool=0, maximum=True),
    wb.AttentionCapture(rows=None, pool=5, maximum=True, sample=2, heads=[1, 2], layers=1),
    wb.AttentionCapture(rows=slice(2, 9), statistics=False, pool=5, sample=4),
    wb.AttentionCapture(rows=None, statistics=False, pool=0, states=True, heads=[0]),
    wb.AttentionCapture(rows=[], pool=4, sample=400),
)
LENS = (
    None,
    wb.LensCapture(),
    wb.LensCapture(layers=[0, 2], positions="all", top_k=2, blocks=4),
    wb.LensCapture(positions=[1, -1], blocks=100, per_block=2),
)
ATTRIBUTION = (
    None,
    wb.AttributionCapture(),
    wb.AttributionCapture(positions="all", tokens=[5, 7, 9], heads=False),
)


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Callable[..., Path]) -> Model:
    return wb.load(str(tiny_checkpoint(layers=2, heads=4, kv_heads=2)))


def ran(model: Model, capture: wb.Capture, tokens: int, new: int) -> Inspection:
    prompt = prompt_of(model, random_ids(tokens, seed=tokens))
    if not new:
        return model.inspect(prompt, capture)
    run = model.generate(prompt, wb.Sampling(max_new_tokens=new, temperature=2.0, seed=1), capture)
    list(run)
    assert run.finish_reason == "length"
    return run.inspection


def by_part(found: Inspection) -> dict[str, int]:
    """Bytes as they are stored, under the names of an estimate's parts."""
    names = {"rows": "rows", "row_positions": "rows", "map": "map", "max_map": "map"}
    names |= {"queries": "states", "keys": "states", "lse": "states"}
    sizes: dict[str, int] = {}
    for name, values in found.arrays.items():
        room, _, rest = name.partition(".")
        part = names.get(rest, "statistics") if room == "attention" else "tokens" if room in ("ids", "steps") else room
        sizes[part] = sizes.get(part, 0) + values.nbytes
    return sizes


CASES = [
    *((wb.Capture(attention, None, False), 23, new) for attention, new in itertools.product(ATTENTION, (0, 6))),
    *((wb.Capture(None, lens, True), 17, new) for lens, new in itertools.product(LENS, (0, 1, 5))),
    *((wb.Capture(None, None, False, one), 11, new) for one, new in itertools.product(ATTRIBUTION, (0, 4))),
    (wb.Capture(attribution=ATTRIBUTION[1]), 1, 2),
    (wb.Capture(ATTENTION[2], LENS[2], True, ATTRIBUTION[2]), 1, 0),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(CASES)))
def test_bytes_come_out_as_said(model: Model, case: int) -> None:
    """Every part to the byte, and so the whole."""
    capture, tokens, new = CASES[case]
    if case % 3 == 0:
        model = model.switched(window=9)
    foretold = capture.estimate(model, tokens, new)
    found = ran(model, capture, tokens, new)
    held = by_part(found)
    assert {name: size for name, size in foretold.parts.items() if size} == {n: s for n, s in held.items() if s}
    assert foretold.total == found.nbytes
    assert foretold.parts == capture.bytes(model, tokens, new)


def test_a_long_text_in_chunks(tiny_checkpoint: Callable[..., Path]) -> None:
    small = wb.load(str(tiny_checkpoint(layers=1, heads=2, kv_heads=1, hidden=16, context=4096)))
    capture = wb.Capture(wb.AttentionCapture(maximum=True, sample=4), wb.LensCapture(blocks=8))
    assert ran(small, capture, 2700, 0).nbytes == capture.estimate(small, 2700).total


def test_a_run_that_ends_early_holds_no_more(model: Model) -> None:
    """What is said holds for a run of full length; blocks are those of the full length in any case."""
    capture = wb.Capture(wb.AttentionCapture(states=True, pool=6), wb.LensCapture(blocks=5))
    run = model.generate(prompt_of(model, random_ids(12, seed=0)), wb.Sampling(max_new_tokens=30), capture)
    for step in run:
        if step.index == 3:
            run.close()
    assert run.inspection.nbytes <= capture.estimate(model, 12, 30).total


class Shape:
    """The numbers of a large model, without one."""

    layers, heads, kv_heads, head_dim, hidden, vocab_size = 32, 32, 8, 128, 4096, 32000
    window: int | None = None
    device = torch.device("cpu")


BASE = wb.AttentionCapture(rows=None, statistics=False)


@pytest.mark.parametrize(
    ("less", "more"),
    [
        (wb.Capture.nothing(), wb.Capture(None, None, True)),
        (wb.Capture(BASE, None), wb.Capture(replace(BASE, maximum=True), None)),
        (wb.Capture(replace(BASE, layers=[3]), None), wb.Capture(BASE, None)),
        (wb.Capture(BASE, None), wb.Capture(replace(BASE, statistics=True), None)),
        (wb.Capture(BASE, None), wb.Capture(BASE, wb.LensCapture())),
        (wb.Capture(BASE, wb.LensCapture()), wb.Capture(BASE, wb.LensCapture(blocks=64))),
        (wb.Capture(BASE, wb.LensCapture(layers=[4])), wb.Capture(BASE, wb.LensCapture())),
        (wb.Capture(BASE, None, True, wb.AttributionCapture(heads=False)),
         wb.Capture(BASE, None, True, wb.AttributionCapture())),
    ],
)  # fmt: skip
def test_more_costs_more(less: wb.Capture, more: wb.Capture) -> None:
    few, many = (one.estimate(Shape(), 8192) for one in (less, more))
    assert few.factor <= many.factor
    assert few.peak < many.peak
    assert few.peak >= few.total


def test_time_of_nothing_of_a_sample_and_of_a_window() -> None:
    assert wb.Capture.nothing().estimate(Shape(), 500, 10).factor == 1.0
    whole, some = (wb.Capture(replace(BASE, sample=sample), None).estimate(Shape(), 8192) for sample in (None, 4))
    assert 1.0 < some.factor < whole.factor
    far = [wb.Capture(BASE, None).estimate(Shape(), tokens).factor for tokens in (1000, 8000, 32000)]
    assert far == sorted(far)
    assert 1.0 < far[0] < far[-1] < 3

    class Windowed(Shape):
        window = 1024

    assert wb.Capture(BASE, None).estimate(Windowed(), 32000).factor < far[-1]
    assert [seen(5, None), seen(5, 5), seen(5, 2), seen(5, 1)] == [15, 15, 9, 5]


def test_it_reads_as_a_sentence(model: Model) -> None:
    found = wb.Capture(attribution=wb.AttributionCapture()).estimate(model, 40)
    assert str(found).startswith("about ")
    assert "x a plain forward" in str(found) and "of results: " in str(found)
    assert str(Estimate({"map": 16_000_000, "lens": 999, "rows": 0}, 54_321_000, 1.5)) == (
        "about 1.5 x a plain forward, 16 MB of results: map 16 MB, lens 999 B; at most 54.3 MB of memory while it runs"
    )
    assert [readable(one) for one in (0, 999, 1000, 12_345, 999_600, 10**9)] == ["0 B", "999 B", "1 kB", "12.3 kB", "1 MB", "1 GB"]  # noqa: E501  # fmt: skip


def test_what_does_not_exist_is_said_before(model: Model) -> None:
    with pytest.raises(CaptureError, match="layer 2"):
        wb.Capture(wb.AttentionCapture(layers=[2])).estimate(model, 10)
    with pytest.raises(CaptureError, match="position 10"):
        wb.Capture(lens=wb.LensCapture(positions=[10])).nearest_that_fits(model, 10)


def test_what_fits_stays() -> None:
    for capture in (wb.Capture(), wb.Capture.nothing(), wb.Capture.full()):
        assert capture.nearest_that_fits(Shape(), 100, most=10**12) is capture


FULL = wb.Capture(
    wb.AttentionCapture(rows="all", states=True, maximum=True),
    wb.LensCapture(positions="all", blocks=64),
    attribution=wb.AttributionCapture(positions="all"),
)


@pytest.mark.parametrize("tokens", [50, 3000, 32_000])
@pytest.mark.parametrize("new", [0, 500])
def test_the_nearest_fits_at_any_limit(tokens: int, new: int) -> None:
    """It fits; a looser limit keeps at least as much; nothing that could have stayed is given up."""
    held = []
    for most in (10**12, 2 * 1024**3, 512 * 2**20, 50 * 2**20, 5 * 2**20, 10**6):
        found = FULL.nearest_that_fits(Shape(), tokens, new, most)
        size = found.estimate(Shape(), tokens, new).total
        assert size <= most
        held.append(size)
    assert held == sorted(held, reverse=True)


def test_the_least_valuable_goes_first() -> None:
    """Exact rows of all queries are the bulk at length, and can be had again; the rest then stays as it is."""
    capture = wb.Capture(wb.AttentionCapture(rows="all", maximum=True), wb.LensCapture(positions="all"))
    most = 2 * 1024**3
    found = capture.nearest_that_fits(Shape(), 2000, 0, most)
    assert found == replace(capture, attention=replace(capture.attention, rows="last"))  # type: ignore[type-var]
    states = wb.Capture(wb.AttentionCapture(states=True)).nearest_that_fits(Shape(), 20_000, 0, most)
    assert states == wb.Capture(wb.AttentionCapture(states=False))


def test_a_refusal_names_it(tiny_checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """What the sentence says is what the call gives, and it runs."""
    small = wb.load(str(tiny_checkpoint(layers=2, heads=4, kv_heads=2)))
    monkeypatch.setattr("workbench.capture.request.LARGEST_RESULT", 60_000)
    asked: Any = wb.Capture(wb.AttentionCapture(rows="all", states=True), wb.LensCapture(positions="all"))
    prompt = prompt_of(small, random_ids(80, seed=0))
    with pytest.raises(CaptureError, match="nearest that fits: ") as caught:
        small.inspect(prompt, asked)
    fits = asked.nearest_that_fits(small, 80)
    said = caught.value.remedy.partition("fits: ")[2]
    scope = {name: getattr(wb, name) for name in ("AttentionCapture", "LensCapture")}
    for part in said.split(" and "):
        name, _, value = part.partition("=")
        if name.isidentifier():
            assert getattr(fits, name) is {"None": None, "False": False}[value]
        else:
            told = eval(part, scope)
            kept = fits.attention if isinstance(told, wb.AttentionCapture) else fits.lens
            for field, value in vars(told).items():
                if f"{field}=" in part:
                    assert getattr(kept, field) == value
    assert small.inspect(prompt, fits).nbytes <= 60_000
    monkeypatch.setattr("workbench.capture.request.LARGEST_RESULT", 10)
    with pytest.raises(CaptureError, match="attention=None"):
        small.inspect(prompt, asked)
    with pytest.raises(CaptureError, match="shorter prompt"):
        small.inspect(prompt, wb.Capture.nothing())
