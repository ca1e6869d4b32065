"""The chats that come with the workbench, and the reading of their file line by line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workbench.chat.shipped import shipped_texts
from workbench.context import loss
from workbench.errors import PromptError
from workbench.facts import probe_texts

ENDS = "one\u2028two\u2029three\x85four\x0bfive\x0csix\x1cseven"


def test_the_shipped_chats_are_read_by_every_study() -> None:
    texts = shipped_texts()
    assert len(texts) >= 8 and {one["role"] for text in texts for one in text} == {"user", "assistant"}
    assert loss.shipped_texts() == probe_texts() == texts


def test_only_a_line_feed_ends_a_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WORKBENCH_ASSETS", str(tmp_path))
    (tmp_path / "prompts").mkdir()
    with pytest.raises(PromptError, match=r"factorial-texts.jsonl is not here. Give texts"):
        shipped_texts()
    chats = [[{"role": "user", "content": ENDS}], [{"role": "user", "content": "Hi"}]]
    lines = [json.dumps({"messages": chat}, ensure_ascii=False) for chat in chats]
    (tmp_path / "prompts" / "factorial-texts.jsonl").write_text("\n".join(lines) + "\n\n", encoding="utf-8", newline="")
    assert len(lines[0].splitlines()) == 4
    assert shipped_texts() == chats
