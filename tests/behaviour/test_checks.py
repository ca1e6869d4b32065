"""Checks that need no judge: a table of answers, and patterns that would take years."""

from __future__ import annotations

import time

import pytest

from workbench.behaviour.checks import as_row, checks_of
from workbench.errors import FileFormatError


@pytest.mark.parametrize(
    ("row", "answer", "passed"),
    [
        ({"exact": "Rome"}, " rome.\n", True),
        ({"exact": ["Rome", "Roma"]}, '"Roma"', True),
        ({"exact": "Rome"}, "It is Rome.", False),
        ({"contains": ["red", "blue"]}, "Blue,\nthen red.", True),
        ({"contains": ["red", "blue"]}, "redder and blue", False),
        ({"contains": "4"}, "14", False),
        ({"contains": "new  delhi"}, "New\nDelhi!", True),
        ({"contains": "C++"}, "I like C++.", True),
        ({"contains_any": ["red", "blue"]}, "blue", True),
        ({"contains_any": ["red", "blue"]}, "green", False),
        ({"absent": ["ice", "cold"]}, "nice", True),
        ({"absent": "cold"}, "So cold!", False),
        ({"format": "json"}, '```json\n{"a": [1]}\n```', True),
        ({"format": "json"}, "Here: {}", False),
        ({"format": "json"}, "3", False),
        ({"format": "json"}, "[" * 100_000, False),
        ({"format": "integer"}, "-12.", True),
        ({"format": "integer"}, "12.5", False),
        ({"format": "one word"}, "Rome!", True),
        ({"format": "one word"}, "", False),
        ({"format": {"lines": 2}}, "a\n\nb\n", True),
        ({"format": {"lines": 2}}, "a b", False),
        ({"format": {"words": 2}}, "a b", True),
        ({"format": {"words": 2}}, "a b c", False),
        ({"format": {"words": 2}}, " ", False),
        ({"format": {"regex": r"^\d+ km$"}}, "12 KM", True),
        ({"format": ["one word", {"regex": "[aeiou]"}]}, "sky", False),
    ],
)
def test_an_answer_passes_or_says_why(row: dict, answer: str, passed: bool) -> None:
    found = checks_of(row)
    results = [one.check(answer) for one in found]
    assert all(ok for ok, _ in results) == passed
    assert all(bool(why) != ok for ok, why in results)
    assert all(one.name for one in found)
    assert checks_of(as_row(found)) == found


def test_a_pattern_cannot_take_years() -> None:
    (check,) = checks_of({"format": {"regex": r"(a|aa)+(a|aa)+(a|aa)+$"}})
    began = time.perf_counter()
    passed, why = check.check("a" * 3000 + "b")
    assert time.perf_counter() - began < 60
    assert not passed
    assert why


@pytest.mark.parametrize(
    "row",
    [
        {"exact": 3}, {"exact": []}, {"contains": [""]}, {"absent": {"a": 1}}, {"format": "xml"}, {"format": {}},
        {"format": {"lines": 0}}, {"format": {"lines": True}}, {"format": {"words": "3"}}, {"format": {"regex": "("}},
        {"format": {"regex": "a" * 501}}, {"format": {"size": 3}}, {"format": None},
    ],
)  # fmt: skip
def test_a_check_that_makes_no_sense_is_a_sentence(row: dict) -> None:
    with pytest.raises(FileFormatError) as raised:
        checks_of(row)
    assert str(raised.value).endswith(".")
