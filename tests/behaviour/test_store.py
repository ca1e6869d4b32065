"""The store keeps every finished answer, whatever happens to the end of its files."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.behaviour.store import AnswerStore, mend, read_items, read_rows, read_study
from workbench.behaviour.suite import suite_of
from workbench.errors import FileFormatError

SUITE = suite_of([{"prompt": "a"}, {"prompt": "b", "format": "json"}])
SETTINGS: dict[str, Any] = {"sampling": {"seed": 0}, "samples": 1, "system": "", "versions": {"python": "3"}}


def row(key: str, text: str = "x") -> dict[str, Any]:
    return {"key": key, "item": "1", "model": "m", "answers": [text]}


@settings(max_examples=20, deadline=None)
@given(st.lists(st.text(max_size=12), min_size=1, max_size=5), st.integers(0, 10_000))
def test_a_cut_file_loses_only_what_was_cut(texts: list[str], cut: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "answers"
        store = AnswerStore(folder, SUITE, SETTINGS)
        texts = [text.encode("utf-8", "replace").decode() for text in texts]
        ends = [0]
        for i, text in enumerate(texts):
            store.add("m", row(str(i), text))
            ends.append(store.path("m").stat().st_size)
        kept = min(cut, ends[-1])
        os.truncate(store.path("m"), kept)
        whole = sum(end <= kept for end in ends[1:])
        assert [one["answers"] for one in read_rows(folder)] == [[text] for text in texts[:whole]]
        again = AnswerStore(folder, SUITE, SETTINGS | {"versions": {"python": "4"}})
        finished = again.keys()
        for i in range(len(texts)):
            if str(i) not in finished:
                again.add("m", row(str(i), texts[i]))
        lines = store.path("m").read_bytes().split(b"\n")
        assert len(lines) == len(texts) + 1, "every answer stands there once, and nothing else"
        assert [one["answers"] for one in read_rows(folder)] == [[text] for text in texts]


def test_a_long_half_line_is_mended(tmp_path: Path) -> None:
    path = tmp_path / "answers-x.jsonl"
    path.write_bytes(b"one\n" + b"x" * 200_000)
    assert mend(path) == 4
    assert path.read_bytes() == b"one\n"


def test_another_suite_or_setting_is_refused(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path, SUITE, SETTINGS)
    store.join("m", {"identity": {"weights": "1"}})
    store.join("m", {"identity": {"weights": "1"}})
    assert read_items(tmp_path) == SUITE.__class__("suite", SUITE.items)
    with pytest.raises(FileFormatError, match="another suite"):
        AnswerStore(tmp_path, suite_of([{"prompt": "a"}]), SETTINGS)
    with pytest.raises(FileFormatError, match="begun with sampling seed 0, not 1"):
        AnswerStore(tmp_path, SUITE, SETTINGS | {"sampling": {"seed": 1}})
    with pytest.raises(FileFormatError, match='another m: weights "1", not "2"'):
        store.join("m", {"identity": {"weights": "2"}})
    (tmp_path / "suite.jsonl").write_text('{"prompt": "other"}\n')
    with pytest.raises(FileFormatError, match="was changed"):
        read_items(tmp_path)


def test_folders_that_hold_or_take_no_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileFormatError, match="holds no answers"):
        read_study(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(FileFormatError, match="cannot be written"):
        AnswerStore(tmp_path / "file" / "folder", SUITE, SETTINGS)
    store = AnswerStore(tmp_path / "answers", SUITE, SETTINGS)
    store.add("m", row("1"))

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileFormatError, match="No space left"):
        store.add("m", row("2"))
    monkeypatch.undo()
    assert [one["key"] for one in read_rows(tmp_path / "answers")] == ["1"]
    store.add("m", row("2"))
    assert store.keys() == {"1", "2"}


def test_two_runs_cannot_share_a_folder(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    store = AnswerStore(tmp_path, SUITE, SETTINGS)
    with store.alone(), pytest.raises(FileFormatError, match="Another run"):
        AnswerStore(tmp_path, SUITE, SETTINGS)
    AnswerStore(tmp_path, SUITE, SETTINGS)
