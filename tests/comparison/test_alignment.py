"""Alignment against its definition and against a plain recursion, over random texts."""

from __future__ import annotations

from functools import cache

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.comparison.alignment import _anchors, _table, align, matching

ids = st.lists(st.integers(0, 5), max_size=12)


def best_score(a: list[int], b: list[int]) -> int:
    """2 a pair, 1 more right after another: every possibility tried."""

    @cache
    def best(i: int, j: int, after: bool) -> int:
        if i == len(a) or j == len(b):
            return 0
        found = max(best(i + 1, j, False), best(i, j + 1, False))
        if a[i] == b[j]:
            found = max(found, 2 + after + best(i + 1, j + 1, True))
        return found

    return best(0, 0, False)


def score(pairs: np.ndarray) -> int:
    runs = sum(a + 1 == c and b + 1 == d for (a, b), (c, d) in zip(pairs.tolist(), pairs[1:].tolist(), strict=False))
    return 2 * len(pairs) + runs


@settings(max_examples=150, deadline=None)
@given(ids, ids)
def test_the_table_is_the_best_matching(a: list[int], b: list[int]) -> None:
    pairs = _table(np.array(a, np.int64), np.array(b, np.int64))
    assert score(pairs) == best_score(a, b)


@settings(max_examples=150, deadline=None)
@given(ids, ids, st.integers(0, 12), st.integers(0, 12), st.sampled_from([1, 6, 20, 2**21]))
def test_pairs_are_equal_tokens_in_order(a: list[int], b: list[int], i: int, j: int, most: int) -> None:
    pairs = matching(np.array(a, np.int64), np.array(b, np.int64), most)
    assert (np.diff(pairs, axis=0) > 0).all()
    assert all(a[x] == b[y] for x, y in pairs.tolist())
    found = align(a, b, (min(i, len(a)), min(j, len(b))))
    assert a[: found.common] == b[: found.common]
    assert found.common == min(len(a), len(b)) or a[found.common] != b[found.common]
    assert (found.pairs >= found.common).all() and (np.diff(found.pairs, axis=0) > 0).all()
    assert all(a[x] == b[y] for x, y in found.pairs.tolist())


@settings(max_examples=80, deadline=None)
@given(ids)
def test_a_text_is_aligned_with_itself_by_index(a: list[int]) -> None:
    found = align(a, a)
    assert found.same and found.common == len(a) and not len(found.pairs)
    assert [found.counterpart(i, "b") for i in range(len(a))] == list(range(len(a)))


@settings(max_examples=80, deadline=None)
@given(ids, ids, st.integers(1, 12), st.integers(1, 12))
def test_counterparts_are_mutual_and_stay_on_their_side_of_the_reply(
    a: list[int], b: list[int], i: int, j: int
) -> None:
    a, b = [9, *a], [9, *b]
    starts = min(i, len(a)), min(j, len(b))
    found = align(a, b, starts)
    for position in range(len(a)):
        other = found.counterpart(position)
        if other is not None:
            assert found.counterpart(other, "b") == position
            assert position < found.common or (position < starts[0]) == (other < starts[1])
    assert found.counterpart(len(a)) is None


def test_an_inserted_token_shifts_the_rest() -> None:
    found = align([1, 5, 6, 7, 8], [1, 5, 9, 6, 7, 8])
    assert (found.common, found.pairs.tolist()) == (2, [[2, 3], [3, 4], [4, 5]])
    assert found.counterpart(2, "b") is None


def test_long_texts_are_cut_at_tokens_that_occur_once() -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(0, 50, 6000)
    b = rng.integers(0, 50, 6000)
    for place, token in ((1000, 101), (3000, 102), (5000, 103)):
        a[place], b[place + 200] = token, token
    pairs = matching(a, b, most_cells=10_000)
    assert _anchors(a, b).tolist() == [[1000, 1200], [3000, 3200], [5000, 5200]]
    assert {(1000, 1200), (3000, 3200), (5000, 5200)} <= set(map(tuple, pairs.tolist()))
    assert all(a[x] == b[y] for x, y in pairs.tolist())


def test_anchors_are_the_longest_rising_sequence() -> None:
    assert _anchors(np.array([1, 2, 3, 4]), np.array([4, 1, 3, 2])).shape == (2, 2)
    assert _anchors(np.array([1, 1]), np.array([1])).shape == (0, 2)
