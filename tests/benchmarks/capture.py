"""What capture costs at any length: time against a plain forward, peak memory, and decoding.

    python tests/benchmarks/capture.py --lengths 4096 8192 16384 --rounds 3 [--window 4096] [--shape 7b]
    python tests/benchmarks/capture.py --only decoding --lengths 4096

Times are of the processor, all configurations in turn in every round, as ratios to that round's plain forward:
transformers' own SDPA over the whole prompt, in this process, same weights. Decoding is timed behind
the first of the lengths. Prints Markdown, checks nothing.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from measuring import EVERYTHING, SHAPES, bench_model, described, plain_forward, prompt_of, seconds

import workbench as wb
from workbench.capture import block_sums
from workbench.model import Model

ROWS = wb.AttentionCapture(rows=slice(-16, None), pool=0, statistics=False)
POOLED = wb.AttentionCapture(rows=None, statistics=False)
SAMPLED = wb.AttentionCapture(rows=None, statistics=False, sample=8)
EVERYTHING_SAMPLED = wb.Capture(wb.AttentionCapture(maximum=True, sample=8), EVERYTHING.lens)


def attention_only(attention: wb.AttentionCapture) -> wb.Capture:
    return wb.Capture(attention, lens=None, kv_cache=False)


CONFIGURATIONS: dict[str, tuple[wb.Capture, bool]] = {
    "idle": (wb.Capture.nothing(), True),
    "last 16 rows": (attention_only(ROWS), True),
    "pooled mean, PyTorch": (attention_only(POOLED), False),
    "pooled mean, compiled": (attention_only(POOLED), True),
    "pooled mean, sampled 8": (attention_only(SAMPLED), True),
    "everything, PyTorch": (EVERYTHING, False),
    "everything, compiled": (EVERYTHING, True),
    "everything, sampled 8": (EVERYTHING_SAMPLED, True),
}
"""Name -> capture, and whether the compiled kernel may be used."""


@contextmanager
def kernel(compiled: bool) -> Iterator[None]:
    """Switch the compiled kernel of block sums off and on again."""
    known = block_sums.library
    if not compiled:
        block_sums.library = lambda: None  # type: ignore[assignment]
    try:
        yield
    finally:
        block_sums.library = known


def ratios(model: Model, tokens: int, rounds: int, names: list[str]) -> dict[str, float]:
    """Median ratio of each configuration to plain, and the plain seconds under "plain"."""
    plain = copy.deepcopy(model.module)
    plain.set_attn_implementation("sdpa")
    prompt = prompt_of(model, tokens)
    forward = plain_forward(plain, list(prompt.ids))
    found: dict[str, list[float]] = {name: [] for name in ["plain", *names]}
    model.inspect(prompt_of(model, 256))  # builds the kernel
    for _ in range(rounds):
        base = seconds(forward)
        found["plain"].append(base)
        for name in names:
            capture, compiled = CONFIGURATIONS[name]
            with kernel(compiled):
                spent = seconds(lambda c=capture: model.inspect(prompt, c))  # type: ignore[misc]
            found[name].append(spent / base)
            print(f"<!-- {tokens} {name}: {spent / base:.3f} -->", file=sys.stderr, flush=True)
    return {name: statistics.median(values) for name, values in found.items()}


def time_table(options: argparse.Namespace) -> None:
    names = [name for name in CONFIGURATIONS if not options.match or any(part in name for part in options.match)]
    shape = SHAPES[options.shape]
    with TemporaryDirectory() as folder:
        model = bench_model(Path(folder), options.window, shape)
    print(f"\n**Time**, {described(shape)}, window {options.window}, float32, {torch.get_num_threads()} threads, "
          f"{options.rounds} rounds\n")  # fmt: skip
    print("| tokens | plain (s) | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 2) + "|")
    for tokens in options.lengths:
        found = ratios(model, tokens, options.rounds, names)
        print(f"| {tokens} | {found['plain']:.1f} | " + " | ".join(f"{found[name]:.2f}" for name in names) + " |",
              flush=True)  # fmt: skip


def decoding_table(options: argparse.Namespace) -> None:
    """Per new token behind the first of the lengths, the reading of the prompt left out."""
    context, shape = options.lengths[0], SHAPES[options.shape]
    last = wb.AttentionCapture(rows="last", pool=0, statistics=False)
    captures = {"plain decoding": wb.Capture.nothing(), "last row, lens top 5, cache": wb.Capture(last)}
    captures["last row"] = wb.Capture(last, lens=None, kv_cache=False)
    with TemporaryDirectory() as folder:
        model = bench_model(Path(folder), options.window, shape)
    prompt = prompt_of(model, context)

    def spent(capture: wb.Capture) -> float:
        run = model.generate(prompt, wb.Sampling(max_new_tokens=65, temperature=1.0, seed=1), capture)
        next(run)
        began = time.process_time()
        for _ in run:
            pass
        run.inspection  # noqa: B018
        return (time.process_time() - began) / 64

    rounds = [{name: spent(capture) for name, capture in captures.items()} for _ in range(options.rounds)]
    print(f"\n**Decoding**, {described(shape)}, {context} tokens of context, window {options.window}, a new token\n")
    print("| | milliseconds | ratio |\n|---|---|---|")
    for name in captures:
        took = statistics.median(one[name] for one in rounds)
        ratio = statistics.median(one[name] / one["plain decoding"] for one in rounds)
        print(f"| {name} | {1000 * took:.1f} | {ratio:.2f} |", flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--lengths", type=int, nargs="+", default=[4096, 8192])
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--window", type=int)
    options.add_argument("--shape", choices=list(SHAPES), default="small")
    options.add_argument("--match", nargs="*", default=[], help="only configurations whose name contains one of these")
    options.add_argument("--only", nargs="+", choices=["time", "decoding"], default=["time"])
    wanted = options.parse_args()
    tables = {"time": time_table, "decoding": decoding_table}
    for name in wanted.only:
        tables[name](wanted)


if __name__ == "__main__":
    main()
