"""Suites from files: both formats, and every mistake with its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workbench.behaviour.suite import SHIPPED, parse_suite, read_suite, suite_of
from workbench.errors import FileFormatError


def test_both_formats() -> None:
    text = (
        '{"question_id": 81, "category": "writing", "turns": ["A?", "B?"], "reference": ["a", "b"], "cluster": 3}\r\n'
        '\n{"prompt": "Capital of France?", "answer": ["Paris", "paris"], "format": {"words": 9}}'
    )
    first, second = parse_suite(("\ufeff" + text).encode(), "mixed").items
    assert (first.id, first.turns, first.category, first.reference) == ("81", ("A?", "B?"), "writing", ("a", "b"))
    assert first.passed("anything") is None
    assert (second.id, second.reference) == ("3", ("Paris", "paris"))
    assert second.passed("It is Paris.") is True
    assert second.passed("It is Rome.") is False


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_suites(name: str) -> None:
    suite = read_suite(name)
    assert 24 <= len(suite) <= 40
    assert all(item.checks and item.category for item in suite.items)
    again = parse_suite(suite.to_jsonl(), "again")
    assert (again.items, again.sha256) == (suite.items, suite.sha256)
    for item in suite.items:  # what is given as the right answer passes the checks itself
        if item.reference and name == "twins":
            assert any(item.passed(one) for one in item.reference), item.id


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "not JSON"), ("[1]", "no object"), ('{"id": "x"}', "neither prompt nor turns"),
        ("[" * 100_000, "not JSON"),
        ('{"prompt": "a", "turns": ["a"]}', "prompt and turns"), ('{"prompt": " "}', "empty"),
        ('{"prompt": 3}', '"prompt" is 3'), ('{"turns": "a"}', "no list"), ('{"turns": []}', "no list"),
        ('{"prompt": "a", "anser": "b"}', '"anser"'), ('{"prompt": "a", "id": true}', '"id"'),
        ('{"prompt": "a", "id": "1"}', "line 1 as well"), ('{"prompt": "a", "reference": 3}', '"reference"'),
        ('{"prompt": "\\ud800"}', "surrogate"), ('{"prompt": "a", "answer": "b", "contains_any": "c"}', "same check"),
        ('{"question_id": 3, "turns": ["a", null]}', "a turn"),
    ],
)  # fmt: skip
def test_a_mistake_names_its_line(line: str, said: str) -> None:
    with pytest.raises(FileFormatError) as raised:
        parse_suite(f'{{"prompt": "fine"}}\n{line}\n', "mine")
    assert "Line 2 of mine" in str(raised.value)
    assert said in str(raised.value)


def test_files_that_are_no_suites(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n\n")
    (tmp_path / "latin.jsonl").write_bytes('{"prompt": "é"}'.encode("latin-1"))
    for name, said in (("empty.jsonl", "no items"), ("latin.jsonl", "UTF-8"), ("none.jsonl", "cannot be read")):
        with pytest.raises(FileFormatError, match=said):
            read_suite(tmp_path / name)
    assert suite_of([{"prompt": "a"}]).items[0].turns == ("a",)
    assert json.loads(suite_of([{"prompt": "a"}]).to_jsonl()) == {"id": "1", "turns": ["a"]}
