"""Retrieval tasks: exact lengths, needles where they are said to be, the same question at every depth, the protocols'
own forms, and what cannot be asked."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.context.haystack import NOISE, of_text
from workbench.context.item import Item
from workbench.context.scoring import score
from workbench.context.spacing import depths, lengths
from workbench.context.tasks import TASKS, read_own, task
from workbench.errors import FileFormatError, WorkbenchError
from workbench.models.tokenizer import v1_tokenizer

TOKENIZER = v1_tokenizer()


def needle_text(item: Item, which: int = 0) -> str:
    """What stands at the tokens of a needle."""
    start, stop = item.needles[which]
    first, last = item.prompt.spans[start], item.prompt.spans[stop - 1]
    assert first
    assert last
    return item.prompt.text[first[0] : last[1]]


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(TASKS)),
    length=st.integers(760, 1500),
    depth=st.floats(0, 1),
    case=st.integers(0, 50),
    form=st.sampled_from(("chat", "plain")),
)
def test_every_length_is_exact_and_needles_are_found(
    name: str, length: int, depth: float, case: int, form: str
) -> None:
    item = TASKS[name]().make(TOKENIZER, length, depth, case, 3, form)
    assert len(item.prompt.ids) + item.budget == length
    assert item == TASKS[name]().make(TOKENIZER, length, depth, case, 3, form)
    text = " ".join(needle_text(item, i) for i in range(len(item.needles)))
    if item.needles:
        missing = [one for one in item.references if one not in text]
        assert missing == []
    else:
        assert name == "common-words"
    assert score(item.expected, item.references, "all").right


@pytest.mark.parametrize("name", sorted(set(TASKS) - {"common-words"}))
def test_one_question_is_seen_at_all_depths_and_lengths(name: str) -> None:
    items = [TASKS[name]().make(TOKENIZER, length, depth, 7, 1) for length in (600, 1200) for depth in (0, 0.5, 1)]
    assert len({(item.references, item.expected) for item in items}) == 1
    starts = [item.needles[0][0] for item in items]
    assert starts == sorted(starts[:3]) + sorted(starts[3:])
    assert len(set(starts[3:])) == 3
    assert abs(starts[4] / 1200 - 0.5) < 0.12  # half way through the filler
    others = {TASKS[name]().make(TOKENIZER, 600, 0.5, case, 1).expected for case in range(4)}
    assert len(others) == 4
    assert TASKS[name]().make(TOKENIZER, 600, 0.5, 7, 2).key != items[1].key


def test_questions_share_what_stands_before_the_needle() -> None:
    near, far = (TASKS["needle"]().make(TOKENIZER, 1000, depth, 0) for depth in (0.5, 1.0))
    assert near.prompt.ids[: near.needles[0][0]] == far.prompt.ids[: near.needles[0][0]]


def test_the_forms_are_those_of_the_protocols() -> None:
    def text(name: str) -> str:
        return TASKS[name]().make(TOKENIZER, 800, 0.5, 0, 0, "plain").prompt.text

    passkey = text("passkey")
    assert passkey.startswith("There is an important info hidden inside a lot of irrelevant text.")
    assert " ".join(NOISE) in passkey
    assert re.search(r"The pass key is (\d{5})\. Remember it\. \1 is the pass key\.", passkey)
    assert passkey.endswith("What is the pass key? The pass key is")
    pairs = re.search(r"JSON data:\n(\{.*\})\n\nKey: \"(.*)\"\nCorresponding value:$", text("key-value"), re.DOTALL)
    assert pairs
    values = json.loads(pairs.group(1))
    assert values[pairs.group(2)] == TASKS["key-value"]().make(TOKENIZER, 700, 0.5, 0).references[0]
    assert all(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", key) for key in values)
    lines = re.findall(r"^line (\w+-\w+): REGISTER_CONTENT is <(\d+)>$", text("lines"), re.MULTILINE)
    asked = re.search(r"in line (\w+-\w+)\? I need the number\.", text("lines"))
    assert asked
    assert dict(lines)[asked.group(1)] == TASKS["lines"]().make(TOKENIZER, 700, 0.5, 0).references[0]
    assert len(dict(lines)) == len(lines)
    tracing = TASKS["variable-tracking"]().make(TOKENIZER, 700, 0.3, 0)
    chain = re.findall(r"^VAR ([A-Z]{5}) = (?:VAR )?(\w+)$", tracing.prompt.text, re.MULTILINE)
    assert [name for name, _ in chain] == list(tracing.references)
    assert [value for _, value in chain[1:]] == list(tracing.references[:-1])  # four hops, in their order
    counts: dict[str, int] = {}
    for word in re.findall(r"\b\d+\. (\w+)", text("common-words")):
        counts[word] = counts.get(word, 0) + 1
    common = TASKS["common-words"]().make(TOKENIZER, 800, 0.5, 0).references
    assert {counts[word] for word in common} == {6}
    assert {count for word, count in counts.items() if word not in common} == {1}
    several = TASKS["multi-value"]().make(TOKENIZER, 700, 0.5, 0)
    facts = re.findall(r"One of the special magic numbers for (\w+) is: (\d{7})\.", several.prompt.text)
    assert {key for key, _ in facts} == {facts[0][0]}
    assert sorted(value for _, value in facts) == sorted(several.references)


def test_a_text_of_ones_own_and_its_end() -> None:
    words = [f"Sentence number {i} stands here." for i in range(60)]
    item = TASKS["needle"](of_text(" ".join(words))).make(TOKENIZER, 400, 0.5)
    assert "Sentence number 3 stands here. Sentence number 4" in item.prompt.text
    with pytest.raises(WorkbenchError, match="ends after 60 sentences"):
        TASKS["needle"](of_text(" ".join(words))).make(TOKENIZER, 4000, 0.5)
    with pytest.raises(WorkbenchError, match="question alone"):
        TASKS["needle"]().make(TOKENIZER, 40, 0.5)
    with pytest.raises(WorkbenchError, match="cannot be read"):
        TASKS["needle"]("nowhere.txt").make(TOKENIZER, 400, 0.5)
    with pytest.raises(WorkbenchError, match="depth is 2"):
        TASKS["needle"]().make(TOKENIZER, 400, 2)
    with pytest.raises(WorkbenchError, match="no form"):
        TASKS["needle"]().make(TOKENIZER, 400, 0.5, form="verse")
    with pytest.raises(WorkbenchError, match="no task 'haystack'"):
        task("haystack")


def test_own_questions(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    line = {"needle": ["Ada was born in 1815.", "She died in 1852."], "question": "When?", "answer": ["1815", "1852"]}
    file.write_text(json.dumps(line) + "\n\n")
    item = task(file).make(TOKENIZER, 400, 0.4, case=5)
    assert (item.references, item.expected) == (("1815", "1852"), "1815, 1852")
    assert needle_text(item) == " Ada was born in 1815."


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no lines"),
        ("{", "line 1 is no JSON"),
        ("[1]", "line 1 is no object"),
        ('{"needle": "a", "question": "b"}', 'line 1: "answer"'),
        ('{"needle": [], "question": "b", "answer": "c"}', 'line 1: "needle"'),
        ('{"needle": "a", "question": ["b", "b"], "answer": "c"}', "several questions"),
        ('{"needle": "a", "question": "b", "answer": "c", "expected": 3}', '"expected"'),
        ("[" * 100_000, "no JSON"),
    ],
)
def test_a_malformed_file_is_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text(text)
    with pytest.raises(FileFormatError, match=re.escape(said)):
        read_own(file)


def test_answers_are_judged_by_what_is_in_them() -> None:
    assert score("It is 47210, then 11.", ("47210",), "first integer").right
    assert not score("In line 3 it is 47210.", ("47210",), "first integer").right
    assert not score("nothing", ("47210",), "first integer").right
    half = score("ABC and ghi", ("abc", "def"), "all")
    assert (half.right, half.found, half.share) == (False, (True, False), 0.5)
    assert score("ABC", ("abc", "def"), "any").right


def test_depths_and_lengths() -> None:
    assert depths(5) == (0, 0.25, 0.5, 0.75, 1)
    bent = depths(5, "sigmoid")
    assert (bent[0], bent[2], bent[-1]) == (0, 0.5, 1)
    assert bent[1] == pytest.approx(1 / (1 + 2.718281828**2.5), abs=1e-4)
    assert depths(1) == (0.5,)
    assert lengths(3, 100, 400, "log") == (100, 200, 400)
    assert lengths(1, 100, 400) == (400,)
    for wrong in (
        lambda: depths(0),
        lambda: depths(3, "bent"),
        lambda: lengths(2, 9, 3),
        lambda: lengths(2, 3, 9, "x"),
    ):
        with pytest.raises(WorkbenchError):
            wrong()
