"""What capture costs at any length: time against a plain forward, peak memory, and decoding.

    python tests/benchmarks/capture.py --lengths 4096 8192 16384 --rounds 3 [--window 4096] [--shape 7b]
    python tests/benchmarks/capture.py --only decoding
    python tests/benchmarks/capture.py --only peers --lengths 1024 2048

Times are of the processor, all configurations in turn in every round, as ratios to that round's plain forward:
transformers' own SDPA over the whole prompt, in this process, same weights. Prints Markdown, checks nothing.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from measuring import EVERYTHING, SEVEN_B, SMALL, bench_model, plain_forward, prompt_of
from transformers import AutoModelForCausalLM

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


def seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


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
    shape = SEVEN_B if options.shape == "7b" else SMALL
    with TemporaryDirectory() as folder:
        model = bench_model(Path(folder), options.window, shape)
    described = f"{shape['num_hidden_layers']} layers x {shape['num_attention_heads']} heads x {shape['head_dim']}"
    print(f"\n**Time**, {described}, window {options.window}, float32, {torch.get_num_threads()} threads, "
          f"{options.rounds} rounds\n")  # fmt: skip
    print("| tokens | plain (s) | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 2) + "|")
    for tokens in options.lengths:
        found = ratios(model, tokens, options.rounds, names)
        print(f"| {tokens} | {found['plain']:.1f} | " + " | ".join(f"{found[name]:.2f}" for name in names) + " |",
              flush=True)  # fmt: skip


def decoding_table(options: argparse.Namespace) -> None:
    """Per new token at 4096 tokens of context, the reading of the prompt left out."""
    last = wb.AttentionCapture(rows="last", pool=0, statistics=False)
    captures = {"plain decoding": wb.Capture.nothing(), "last row, lens top 5, cache": wb.Capture(last)}
    captures["last row"] = wb.Capture(last, lens=None, kv_cache=False)
    with TemporaryDirectory() as folder:
        model = bench_model(Path(folder), options.window)
    prompt = prompt_of(model, 4096)

    def spent(capture: wb.Capture) -> float:
        run = model.generate(prompt, wb.Sampling(max_new_tokens=65, temperature=1.0, seed=1), capture)
        next(run)
        began = time.process_time()
        for _ in run:
            pass
        run.inspection  # noqa: B018
        return (time.process_time() - began) / 64

    rounds = [{name: spent(capture) for name, capture in captures.items()} for _ in range(options.rounds)]
    print(f"\n**Decoding**, small shape, 4096 tokens of context, window {options.window}, a new token\n")
    print("| | milliseconds | ratio |\n|---|---|---|")
    for name in captures:
        took = statistics.median(one[name] for one in rounds)
        ratio = statistics.median(one[name] / one["plain decoding"] for one in rounds)
        print(f"| {name} | {1000 * took:.1f} | {ratio:.2f} |", flush=True)


def peers_table(options: argparse.Namespace) -> None:
    """Attention of all layers and heads the way others give it: whole matrices."""
    with TemporaryDirectory() as folder:
        model = bench_model(Path(folder), options.window)
        eager = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32)
    plain = copy.deepcopy(model.module)
    plain.set_attn_implementation("sdpa")
    print("\n**Others**, small shape, ratios to the same plain forward\n")
    print("| tokens | output_attentions=True | its matrices (MB) | everything, compiled | its results (MB) |")
    print("|---|---|---|---|---|")
    for tokens in options.lengths:
        prompt = prompt_of(model, tokens)
        ids = list(prompt.ids)

        @torch.inference_mode()
        def whole(ids: list[int] = ids) -> Any:
            return eager(torch.tensor([ids]), output_attentions=True, logits_to_keep=1)

        size = sum(one.numel() * one.element_size() for one in whole().attentions) / 1e6
        forward = plain_forward(plain, ids)
        captured = EVERYTHING
        held = model.inspect(prompt, captured).nbytes / 1e6
        rounds = [
            (seconds(forward), seconds(whole), seconds(lambda p=prompt, c=captured: model.inspect(p, c)))  # type: ignore[misc]
            for _ in range(options.rounds)
        ]
        theirs, ours = (statistics.median(one[i] / one[0] for one in rounds) for i in (1, 2))
        print(f"| {tokens} | {theirs:.1f} | {size:.0f} | {ours:.2f} | {held:.0f} |", flush=True)
    for name in ("transformer_lens", "nnsight"):
        if importlib.util.find_spec(name) is None:
            print(f"\n{name}: not installed here, not measured.")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--lengths", type=int, nargs="+", default=[4096, 8192])
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--window", type=int)
    options.add_argument("--shape", choices=["small", "7b"], default="small")
    options.add_argument("--match", nargs="*", default=[], help="only configurations whose name contains one of these")
    options.add_argument("--only", choices=["time", "decoding", "peers"], default="time")
    wanted = options.parse_args()
    tables = {"time": time_table, "decoding": decoding_table, "peers": peers_table}
    tables[wanted.only](wanted)


if __name__ == "__main__":
    main()
