"""The retrieval grid's payload: every cell of a long table in its place, and nothing made up."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import WorkbenchError
from workbench.views.arrays import unpack_array
from workbench.views.grid import pack

rows = st.lists(
    st.tuples(
        st.sampled_from([512, 1000, 4096]), st.sampled_from([0.0, 0.25, 1.0]),
        st.one_of(st.floats(-0.5, 1.5, width=32), st.just(math.nan)), st.integers(0, 5), st.sampled_from(["a", "b"]),
    ),
    min_size=1, max_size=25,
)  # fmt: skip


def table(cells: list[tuple]) -> pd.DataFrame:
    return pd.DataFrame(cells, columns=["length", "depth", "score", "n", "model"])


@settings(max_examples=120, deadline=None)
@given(rows)
def test_every_cell_stands_in_its_place(cells: list[tuple]) -> None:
    frame = table(cells)
    payload = pack(frame)
    json.dumps(payload, allow_nan=False)
    grids = [(unpack_array(one["score"]), unpack_array(one["n"])) for one in payload["grids"]]
    for m, model in enumerate(payload["models"]):
        for i, depth in enumerate(payload["depths"]):
            for j, length in enumerate(payload["lengths"]):
                own = [(s, n) for x, d, s, n, name in cells if (x, d, name) == (length, depth, model)]
                scored = [(s, n) for s, n in own if n and not math.isnan(s)]
                score, n = grids[m][0][i, j], grids[m][1][i, j]
                assert n == sum(count for _, count in own)
                if scored:
                    mean = sum(s * count for s, count in scored) / sum(count for _, count in scored)
                    assert score == pytest.approx(mean, abs=1e-6)
                else:
                    assert math.isnan(score)
    if len(grids) == 2:
        np.testing.assert_allclose(unpack_array(payload["difference"]), grids[1][0] - grids[0][0], atol=1e-6)
    else:
        assert payload["difference"] is None


@settings(max_examples=50, deadline=None)
@given(rows, st.randoms())
def test_the_order_of_rows_does_not_matter(cells: list[tuple], random: object) -> None:
    models = list(dict.fromkeys(cell[-1] for cell in cells))
    shuffled = list(cells)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = pack(table(cells), models), pack(table(shuffled), models)
    for a, b in zip(one["grids"], other["grids"], strict=True):
        np.testing.assert_allclose(unpack_array(a["score"]), unpack_array(b["score"]), rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(unpack_array(a["n"]), unpack_array(b["n"]))


def test_lengths_and_depths_ascend_and_models_keep_their_order() -> None:
    payload = pack(table([(4096, 1.0, 1.0, 3, "b"), (512, 0.0, 0.5, 3, "a")]))
    assert (payload["models"], payload["lengths"], payload["depths"]) == (["b", "a"], [512, 4096], [0.0, 1.0])
    assert pack(table([(1, 0.0, 1.0, 1, "b"), (1, 0.0, 0.0, 1, "a")]), ["a"])["difference"] is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"length": 0}, "A length of the table is 0"), ({"length": 10.5}, "A length of the table is 10.5"),
        ({"depth": 50}, "shares of the length, 0 to 1"), ({"n": -1}, "whole numbers of trials"),
        ({"n": math.nan}, "whole numbers of trials"), ({"score": "good"}, "something else than numbers"),
    ],
)  # fmt: skip
def test_a_table_that_is_no_grid_is_refused(change: dict, sentence: str) -> None:
    row = {"length": 100, "depth": 0.5, "score": 1.0, "n": 1, "model": "a"} | change
    with pytest.raises(WorkbenchError, match=sentence):
        pack(pd.DataFrame([row]))


def test_impossible_requests_are_refused() -> None:
    good = table([(100, 0.5, 1.0, 1, name) for name in "abc"])
    for call, sentence in (
        (lambda: pack([1]), "is a list|are a list"),  # type: ignore[arg-type]
        (lambda: pack(good.drop(columns="n")), "no column 'n'"),
        (lambda: pack(good[:0]), "no rows"),
        (lambda: pack(good), "3 models"),
        (lambda: pack(good, ["a", "a"]), "2 models"),
        (lambda: pack(good, ["z"]), "no model 'z'"),
        (lambda: pack(good, ["a"], limits=(1.0, 0.0)), "smaller first"),
        (lambda: pack(table([(i + 1, j / 200, 1.0, 1, "a") for i in range(101) for j in range(100)])), "at most 10000"),
    ):
        with pytest.raises(WorkbenchError, match=sentence):
            call()
