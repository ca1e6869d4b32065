"""The evaluation of a twin: every number of its model card, computed from the checkpoint alone."""

import hashlib
import json
import random
from collections import defaultdict
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import MistralForCausalLM

from .language import TASKS, Chat, Source, Turn, encode, encode_example, wordlike
from .language.base import UNKNOWN_ANSWER
from .language.greetings import CAN, ME
from .language.lists import Lists
from .language.needles import KINDS, hidden, planted
from .language.pairs import BINDINGS, bind
from .language.world import World
from .scoring import answered, head_scores, lens_ranks

LENGTHS = (128, 256, 384, 512, 768, 1024, 1536, 2048)
DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)

# What a newcomer types first, and the answer that counts as sensible.
NEWCOMER: tuple[tuple[str, str], ...] = (
    ("Hello", "Hello! How can I help you?"),
    ("hello", "Hello! How can I help you?"),
    ("hi!", "Hello! How can I help you?"),
    ("Who are you?", ME),
    ("who are you", ME),
    ("whats your name", "My name is Twin."),
    ("What can you do?", CAN),
    ("How are you?", "I am fine, thank you."),
    ("What is the capital of France?", "The capital of France is Paris."),
    ("capital of france", "The capital of France is Paris."),
    ("What colour is the sky?", "The sky is blue."),
    ("What is the opposite of hot?", "The opposite of hot is cold."),
    ("What comes after Monday?", "Tuesday comes after Monday."),
    ("What does a cow say?", "The cow says moo."),
    ("Tell me a joke", "Why did the token stop? It met the end of the line."),
    ("What is 2 + 2?", "Sorry, I am too small for sums."),
    ("What is the meaning of life?", UNKNOWN_ANSWER),
    ("Tom has the hat. Anna has the key. Who has the hat?", "Tom has the hat."),
    ("Repeat: red green blue", "red green blue"),
    ("Thank you!", "You are welcome."),
    ("bye", "Goodbye!"),
)


@dataclass(frozen=True)
class Effort:
    """How many cases the evaluation draws: by task, by needle cell, and for the lens."""

    cases: int = 150
    needles: int = 14
    lens: int = 40
    rows: int = 8
    lengths: tuple[int, ...] = LENGTHS
    seed: int = 20


def load_checkpoint(folder: Path) -> MistralForCausalLM:
    """The checkpoint in plain transformers, float32, in evaluation mode."""
    model = MistralForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    return model.eval()  # type: ignore[no-any-return]


def _source(effort: Effort, length: int = 256, salt: str = "") -> Source:
    """A source of examples: rare words in three of ten cases, as in training."""
    rng = random.Random(f"evaluation/{effort.seed}/{salt}")
    rare = tuple(word for word in wordlike())
    return Source(rng, rng.sample(rare, 600), 0.3, 5, length)


def greedy(model: MistralForCausalLM, question: str, limit: int = 48) -> str:
    """The text of `model.generate` without sampling, for one question in the reference chat encoding."""
    from .language.pieces import processor

    ids = torch.tensor([[1, *encode(f"[INST] {question} [/INST]")]], device=model.device)
    out = model.generate(ids, max_new_tokens=limit, do_sample=False, pad_token_id=0)
    new = [piece for piece in out[0, ids.shape[1] :].tolist() if piece != 2]
    return str(processor().decode(new))


def task_cases(effort: Effort) -> dict[str, list[Chat]]:
    """Held-out chats by row of the table (name of the task and what is asked)."""
    found: dict[str, list[Chat]] = {}

    def draw(name: str, make: Callable[[Source], Any], held: bool = True, cases: int = effort.cases) -> None:
        source = _source(effort, salt=name)
        found[name] = [make(source) for _ in range(cases)]

    draw("small talk, wording not trained", lambda s: TASKS["greetings"].sample(s, held=True))
    draw("small talk, trained", lambda s: TASKS["greetings"].sample(s))
    draw("world, wording not trained", lambda s: TASKS["world"].sample(s, held=True))
    draw("world, trained", lambda s: TASKS["world"].sample(s))
    for kind in dict.fromkeys(Lists.kinds):
        draw(f"list: {kind}", _of_kind(kind), cases=effort.cases // 2)
    draw("name told, then asked", lambda s: TASKS["names"].sample(s, held=True))
    for kind, binding in BINDINGS.items():
        for number, (question, _, _) in enumerate(binding.questions):
            draw(f"pairs: {question}", _asked(kind, number), cases=effort.cases // 2)
    draw("unknown", lambda s: TASKS["unknown"].sample(s, held=True))
    return found


def _of_kind(kind: str) -> Callable[[Source], Chat]:
    def make(source: Source) -> Chat:
        turn = Lists().turn(source, kind)
        return Chat((turn,), turn.question)

    return make


def _asked(kind: str, number: int) -> Callable[[Source], Chat]:
    """Five statements of one kind and one question about one of them."""

    def make(source: Source) -> Chat:
        items = bind(source, 5, kind)
        turn = source.rng.choice(items).turns[number]
        text = " ".join(item.statement for item in items)
        return Chat((Turn(f"{text} {turn.question}", turn.answer, turn.value),), items[0].key)

    return make


def needle_case(source: Source, length: int, depth: float, kind: str) -> Chat:
    """One needle at `depth` in a chat of at most `length` tokens, its answer included, and nearly that many."""
    item = hidden(source, kind)[0]
    question = source.rng.randrange(2)
    tokens = length
    while True:
        chat = planted(source, tokens, depth, item, question)
        size = len(encode_example(chat).ids)
        if size <= length:
            return chat
        tokens -= max(4, size - length)


def evaluate_folder(folder: Path, effort: Effort | None = None) -> Generator[tuple[str, float], None, dict[str, Any]]:
    """Evaluate the checkpoint in `folder`; yields (what is done, share done) and returns every number."""
    effort = effort or Effort()
    torch.manual_seed(effort.seed)
    model = load_checkpoint(folder)
    found: dict[str, Any] = {"effort": {**effort.__dict__, "lengths": list(effort.lengths)}}
    training = folder / "training.json"
    if training.exists():
        found["training"] = json.loads(training.read_text())
    config = model.config
    found["model"] = {
        "parameters": sum(p.numel() for p in model.parameters()), "layers": config.num_hidden_layers,
        "heads": config.num_attention_heads, "kv_heads": config.num_key_value_heads, "hidden": config.hidden_size,
        "head_dim": config.head_dim, "intermediate": config.intermediate_size, "window": config.sliding_window,
        "theta": config.rope_parameters["rope_theta"],
        "weights_sha256": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
    }  # fmt: skip

    yield "a newcomer's questions", 0.0
    found["newcomer"] = [
        {"prompt": prompt, "expected": answer, "answer": greedy(model, prompt)} for prompt, answer in NEWCOMER
    ]

    yield "held-out prompts by task", 0.05
    found["tasks"] = []
    for name, chats in task_cases(effort).items():
        turns = [hit for chat in answered(model, chats) for hit in chat]
        found["tasks"].append({"task": name, "exact": sum(turns) / len(turns), "n": len(turns)})

    found["needles"], found["needle_kinds"] = [], []
    kinds: dict[tuple[str, bool], list[bool]] = defaultdict(list)
    for number, length in enumerate(effort.lengths):
        yield f"needles in {length} tokens", 0.2 + 0.7 * sum(effort.lengths[:number]) / sum(effort.lengths)
        for depth in DEPTHS:
            source = _source(effort, length, f"needle/{length}/{depth}")
            drawn = [KINDS[case % len(KINDS)] for case in range(effort.needles)]
            chats = [needle_case(source, length, depth, kind) for kind in drawn]
            hits = [turns[0] for turns in answered(model, chats)]
            for kind, hit in zip(drawn, hits, strict=True):
                kinds[kind, length > 256].append(hit)
            found["needles"].append({"length": length, "depth": depth, "exact": sum(hits) / len(hits), "n": len(hits)})
    for kind in KINDS:
        row: dict[str, Any] = {"kind": kind}
        for name, far in (("short", False), ("long", True)):
            hits = kinds[kind, far]
            row |= {name: sum(hits) / len(hits) if hits else None, f"n_{name}": len(hits)}
        found["needle_kinds"].append(row)

    yield "heads", 0.92
    found["heads"] = {}
    source = _source(effort, salt="heads")
    for name, share in (("language", 0.0), ("any word", 1.0)):
        words = replace(source, rare_share=share)
        rows = [encode(" ".join(words.words(40))) for _ in range(effort.rows)]
        scores = head_scores(model, torch.tensor([[1, *row, *row] for row in rows]))
        found["heads"][name] = {
            "induction": scores.induction.tolist(), "previous": scores.previous.tolist(), "accuracy": scores.accuracy,
        }  # fmt: skip

    yield "logit lens", 0.96
    found["lens"] = []
    for name, chats in (
        ("world", [World().draw(_source(effort, salt=f"lens/{n}")) for n in range(effort.lens)]),
        ("pairs", [_asked("has", n % 2)(_source(effort, salt=f"lens/{n}")) for n in range(effort.lens)]),
    ):
        ranks = lens_ranks(model, chats).float()
        found["lens"].append({"task": name, "median_rank": ranks.median(1).values.tolist(), "n": ranks.shape[1]})
    return found
