"""Time to the first token of a second turn behind a long first one, with the first one's cache and without.

    python tests/benchmarks/turns.py [--tokens 1800] [--models twin-v0.1 twin-v0.2] [--repeats 5]

The first turn is a text of the language the twins know, the second a short question. Everything that the page captures
is captured. Medians of the repeats, in milliseconds; to be read as a ratio.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass

import torch

import workbench as wb
from apps.studio.writing import capture_for

QUESTION = {"role": "user", "content": "Who has the red hat?"}
SENTENCE = "Tom has a red hat and Ann has a blue coat. "


@dataclass
class Turn:
    """Milliseconds to the first token and to the end of the inspection; tokens of the prompt and of them reused."""

    first: float
    whole: float
    tokens: int
    reused: int


def turn(model: wb.Model, messages: list[dict[str, str]], store: wb.PrefixStore | None, new: int) -> tuple[Turn, str]:
    """Generate a reply and time it."""
    prompt = model.encode(messages)
    began = time.perf_counter()
    run = model.generate(
        prompt, wb.Sampling(max_new_tokens=new), capture_for(model, len(prompt), new), reuse=store
    )  # fmt: skip
    next(run)
    first = time.perf_counter() - began
    for _ in run:
        pass
    inspection = run.inspection
    whole = time.perf_counter() - began
    return Turn(1e3 * first, 1e3 * whole, len(prompt), inspection.provenance["settings"]["reused_tokens"]), run.text


def measured(model: wb.Model, tokens: int, repeats: int, new: int = 16) -> dict[str, Turn]:
    """The second turn without and with a store, by name; medians."""
    text = SENTENCE
    while len(model.encode([{"role": "user", "content": text + SENTENCE}])) <= tokens:
        text += SENTENCE
    found: dict[str, list[Turn]] = {"reading all": [], "reusing": []}
    for _ in range(repeats):
        for name, turns in found.items():
            store = wb.PrefixStore() if name == "reusing" else None
            messages = [{"role": "user", "content": text}]
            _, answer = turn(model, messages, store, new)
            messages += [{"role": "assistant", "content": answer or "Tom."}, QUESTION]
            turns.append(turn(model, messages, store, new)[0])
    return {
        name: Turn(
            statistics.median(one.first for one in turns), statistics.median(one.whole for one in turns),
            turns[0].tokens, turns[0].reused,
        )
        for name, turns in found.items()
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=1800)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--models", nargs="+", default=["twin-v0.1", "twin-v0.2"])
    asked = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads\n")
    print("| model | window | second turn | prompt | reused | first token, ms | inspection ready, ms |")
    print("|---|---|---|---|---|---|---|")
    for name in asked.models:
        model = wb.load(name)
        for how, one in measured(model, asked.tokens, asked.repeats).items():
            window = model.window or "none"
            print(f"| {name} | {window} | {how} | {one.tokens} | {one.reused} | {one.first:.0f} | {one.whole:.0f} |")


if __name__ == "__main__":
    main()
