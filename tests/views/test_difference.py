"""Payloads of the difference views against the comparison they were packed from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import workbench as wb
from tests.pages import data_of
from workbench.comparison import Divergence
from workbench.errors import WorkbenchError
from workbench.report import render
from workbench.views.arrays import pack_signed_shares, unpack_array
from workbench.views.difference import answer_pair, pack, pack_layer, pack_next, pack_whole


@pytest.fixture(scope="session")
def comparison(windowed: wb.Inspection, unbounded: wb.Inspection) -> wb.Comparison:
    """The same weights with and without a window: parted where the window tells."""
    return wb.Comparison.of(windowed, unbounded)


@pytest.fixture(scope="session")
def measured(comparison: wb.Comparison) -> wb.Comparison:
    """With measured distributions of made-up numbers: packing does not ask where they come from."""
    rng = np.random.default_rng(0)

    def divergence(run: wb.Inspection) -> Divergence:
        n = len(run.ids) - 4
        numbers = {name: rng.random(n).astype(np.float32) for name in ("kl_ab", "kl_ba", "entropy_a", "entropy_b")}
        numbers |= {name: -rng.random(n).astype(np.float32) for name in ("logprob_a", "logprob_b")}
        ranks = {name: np.ones(n, np.int32) for name in ("rank_a", "rank_b")}
        top = {name: rng.integers(300, 400, (n, 5)).astype(np.int32) for name in ("top_a", "top_b")}
        by = {f"top_{a}_by_{b}": -rng.random((n, 5)).astype(np.float32) for a in "ab" for b in "ab"}
        return Divergence(("a", "b"), np.arange(4, 4 + n), **numbers, **ranks, **top, **by, pieces={300: "▁x"})

    return wb.Comparison.of(comparison.a, comparison.b, (divergence(comparison.a), divergence(comparison.b)))


def unsigned(packed: dict) -> np.ndarray:
    """Packed differences as numbers, the way matrix.js reads them."""
    v = (unpack_array(packed).astype(float) - 128) / 127
    return v * np.abs(v)


def test_signed_shares_keep_their_sign_and_nothing_stays_nothing() -> None:
    values = np.linspace(-1, 1, 501)
    back = unsigned(pack_signed_shares(values))
    assert np.abs(back - values).max() < 8e-3
    clear = np.abs(values) > 1e-4
    assert (np.sign(back) == np.sign(values))[clear].all()
    assert not unsigned(pack_signed_shares(np.zeros((2, 3)))).any()
    assert unsigned(pack_signed_shares(np.array([np.nan, 2.0, -2.0]))).tolist() == [0.0, 1.0, -1.0]


def test_opening_payload(comparison: wb.Comparison) -> None:
    payload = pack(comparison, "r", "s")
    json.dumps(payload, allow_nan=False)
    assert (payload["run"], payload["other"], payload["measured"]) == ("r", "s", False)
    a, b = comparison.a, comparison.b
    assert payload["tokens"][0] == a.tokens
    assert a.tokens[: payload["common"]] + payload["tokens"][1] == b.tokens
    pairs = unpack_array(payload["pairs"])
    assert all(a.ids[i] == b.ids[j] for i, j in pairs)
    assert payload["parting"]["sentence"] == comparison.parting.sentence
    assert payload["attention"]["window"] == 24 and payload["attention"]["windows"] == [24, None]
    assert payload["cache"][0]["physical"] == [23, 23]


def test_a_layer_is_the_difference_of_the_maps(comparison: wb.Comparison) -> None:
    found = pack_layer(comparison, 1)
    truth = comparison.attention.map(1).values
    assert np.abs(unsigned(found["map"]) - truth).max() < 8e-3
    assert found["largest"] == pytest.approx(np.abs(truth).max(), abs=1e-4)
    table = comparison.attention.statistics().loc[1]
    assert found["statistics"]["distance"][1] == pytest.approx(table[("distance", "b")].tolist(), abs=1e-3)
    small = pack_layer(comparison, 1, most_bytes=600)
    heads, rows, columns = small["map"]["shape"]
    assert heads * rows * columns <= 600 and rows < truth.shape[1]
    assert pack(comparison, most_bytes=600)["attention"]["block"] > 1


def test_the_same_run_twice_has_no_difference(windowed: wb.Inspection) -> None:
    twice = wb.Comparison.of(windowed, windowed)
    assert not unsigned(pack_layer(twice, 0)["map"]).any()
    assert pack(twice)["parting"]["kind"] == "same"


def test_exact_predictions_hold_both_models(measured: wb.Comparison) -> None:
    assert measured.measured is not None
    one = measured.measured[1]
    found = pack_next(measured, "b", 10)
    assert found is not None
    at = one.place(10)
    assert found["kl"] == pytest.approx([float(one.kl_ab[at]), float(one.kl_ba[at])], abs=1e-6)
    assert {row[1] for row in found["rows"]} == {*one.top_a[at].tolist(), *one.top_b[at].tolist(), found["actual"]}
    assert found["actual"] == int(measured.b.ids[10])
    assert all(max(x[2:]) >= max(y[2:]) for x, y in zip(found["rows"], found["rows"][1:], strict=False))
    assert pack_next(measured, "a", 2) is None, "no distribution was measured there"
    assert pack_next(wb.Comparison.of(measured.a, measured.b), "a", 10) is None


def test_requests_are_answered_or_refused_in_a_sentence(measured: wb.Comparison) -> None:
    opened = answer_pair(measured, "r", "s", {"part": "open"})
    assert opened["measured"] is True
    assert answer_pair(measured, "r", "s", {"part": "aligned"}).items() <= opened.items()
    assert answer_pair(measured, "r", "s", {"part": "layer", "layer": 0})["layer"] == 0
    assert answer_pair(measured, "r", "s", {"part": "next", "side": "a", "token": 10})["measured"]["kl"]
    for request in ({}, {"part": "layer", "layer": 9}, {"part": "next", "side": "c", "token": 1},
                    {"part": "next", "side": "a", "token": 10_000}, {"part": "layer", "layer": True}):  # fmt: skip
        with pytest.raises(WorkbenchError, match="expected"):
            answer_pair(measured, "r", "s", request)


def test_what_was_not_captured_is_said(windowed: wb.Inspection, bare: wb.Inspection) -> None:
    payload = pack(wb.Comparison.of(windowed, bare))
    assert payload["attention"] == {"captured": False, "note": payload["attention"]["note"]}
    assert "not captured in both runs" in payload["attention"]["note"]
    assert "not captured in both runs" in payload["lens"]["note"]
    assert payload["cache"] is None


def test_a_report_of_two_holds_their_difference(measured: wb.Comparison, tmp_path: Path) -> None:
    whole = pack_whole(measured, "run0", "run1")
    assert set(whole["layers"]) == {"0", "1"} and set(whole["next"]["a"]) == {
        str(i) for i in range(5, len(measured.a.ids) + 1)
    }
    assert data_of(render([measured.a], "One"))["difference"] is None
    written = data_of(measured.to_html(tmp_path / "two.html").read_text(encoding="utf-8"))
    assert set(written["difference"]["layers"]) == {"0", "1"}
    said = json.dumps(written["difference"]["open"], ensure_ascii=False).replace('\\"', '"')
    assert measured.parting.sentence in said


def test_the_code_of_a_panel_makes_its_numbers_again(comparison: wb.Comparison, tmp_path: Path) -> None:
    text = answer_pair(comparison, "r", "s", {"part": "code", "panel": "attention", "layer": 1, "head": 2})["code"]
    names: dict = {}
    exec(compile(text, "panel", "exec"), names)
    again: wb.Comparison = names["found"]
    assert [again.a.ids.tolist(), again.b.ids.tolist()] == [comparison.a.ids.tolist(), comparison.b.ids.tolist()]
    np.testing.assert_allclose(names["shown"].values, comparison.attention.map(1).values[2], atol=1e-5)
    assert again.measured is not None and again.table["kl_ab"].notna().any()
    whole = pack_whole(comparison, "r", "s")["code"]
    filled = whole["attention/one"].replace("@layer@", "1").replace("@head@", "2")
    assert filled == text
    for panel in ("lens", "cache", "next"):
        assert answer_pair(comparison, "r", "s", {"part": "code", "panel": panel, "layer": None, "head": -1}) == {
            "code": whole[panel]
        }
        compile(whole[panel], panel, "exec")
    with pytest.raises(WorkbenchError, match="no panel 'x'"):
        answer_pair(comparison, "r", "s", {"part": "code", "panel": "x"})
    with pytest.raises(WorkbenchError, match="head 99"):
        answer_pair(comparison, "r", "s", {"part": "code", "panel": "attention", "layer": 0, "head": 99})
