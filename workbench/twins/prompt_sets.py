"""Texts to read and questions to answer in the twins' language, from the side of it that was never trained on."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .evaluation import needle_case
from .language import SHORT, TASKS, Chat, Source, Turn, encode_example, held_out, wordlike
from .language.needles import KINDS

TEXTS = 8
TEXT_TOKENS = (850, 1000)
LENGTHS = (192, 384, 768, 1400)
"""Of questions, answer included: inside the window of twin-v0.1 (256), past it, past its trained length (512), far
past it."""
CONVERSATIONS = 12
"""Conversations of each kind and number of turns."""
EARLY = (0.0, 0.3)
"""Where a needle stands: near the start, so that beyond 384 tokens it is farther back than the window."""


def write(folder: Path, seed: int) -> list[Path]:
    """Write factorial-texts.jsonl, factorial-questions.jsonl and conversations.jsonl; the same seed gives the same
    bytes."""
    paths = []
    for name, rows in (
        ("factorial-texts", texts(seed)), ("factorial-questions", questions(seed)),
        ("conversations", conversations(seed)),
    ):  # fmt: skip
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        paths.append(path)
    return paths


def texts(seed: int) -> Iterator[dict[str, Any]]:
    """Long chats whose first question hides many statements in filler, with what is asked about them and the answers;
    held out by what they state."""
    source = _source(seed, "texts", TEXT_TOKENS[1] + 150)
    number = 0
    while number < TEXTS:
        chat = TASKS["long needles"].sample(source, held=True)
        assert isinstance(chat, Chat)
        tokens = len(encode_example(chat).ids)
        if TEXT_TOKENS[0] <= tokens <= TEXT_TOKENS[1]:
            number += 1
            yield {"id": f"chat {number}", "tokens": tokens, "messages": _messages(chat.turns)}


def questions(seed: int) -> Iterator[dict[str, Any]]:
    """One needle near the start of a text and the question about it, of each kind at each of `LENGTHS`; held out by
    what the needle states."""
    for length in LENGTHS:
        source = _source(seed, f"questions/{length}", length)
        for kind in KINDS:
            while True:
                chat = needle_case(source, length, source.rng.uniform(*EARLY), kind)
                if all(held_out(task, chat.key) for task in ("needles", "long needles")):
                    break
            (turn,) = chat.turns
            yield {
                "id": f"{kind}, {length} tokens", "tokens": len(encode_example(chat).ids),
                "messages": [{"role": "user", "content": turn.question}], "answer": turn.value,
                "expected": turn.answer,
            }  # fmt: skip


def conversations(seed: int) -> Iterator[dict[str, Any]]:
    """Different chats of two and of three turns, every last one answered. "small talk": each turn a question of the
    short tasks, held out by its wording. "names": a name told first and asked for last, held out by name and wordings
    (what is asked in between is not)."""
    source = _source(seed, "conversations", 512)
    for turns in (2, 3):
        for kind in ("small talk", "names"):
            found: set[tuple[Turn, ...]] = set()
            while len(found) < CONVERSATIONS:
                tasks = [source.rng.choice(SHORT) for _ in range(turns)] if kind == "small talk" else ["names"]
                drawn = [TASKS[task].sample(source, held=True) for task in tasks]
                chat = tuple(turn for one in drawn if isinstance(one, Chat) for turn in one.turns)
                if len(chat) == turns and chat not in found:
                    found.add(chat)
                    yield {"id": f"{kind}, {turns} turns, {len(found)}", "messages": _messages(chat)}


def _messages(turns: tuple[Turn, ...]) -> list[dict[str, str]]:
    return [
        {"role": role, "content": content}
        for turn in turns
        for role, content in (("user", turn.question), ("assistant", turn.answer))
    ]


def _source(seed: int, salt: str, length: int) -> Source:
    rng = random.Random(f"prompts/{seed}/{salt}")
    return Source(rng, rng.sample(wordlike(), 600), 0.3, 8, length)
