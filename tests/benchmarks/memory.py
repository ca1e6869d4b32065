"""Peak memory of capture at any length, each run in a process of its own, forked from one that has only imported.

    python tests/benchmarks/memory.py --lengths 4096 8192 16384 32768 --rounds 3

Plain is transformers' own SDPA forward, which reads a prompt whole; idle is ours without capture, some 2000 tokens at a
time; everything is `EVERYTHING`. Prints Markdown, checks nothing.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from measuring import EVERYTHING, SHAPES, bench_model, described, plain_forward, prompt_of
from transformers import AutoModelForCausalLM

import workbench as wb


def memory_table(options: argparse.Namespace) -> None:
    """Medians of the peak of resident memory over what the process held before."""
    shape = SHAPES[options.shape]
    print(f"\n**Peak memory beyond what the process held before** (MB), {described(shape)}, float32\n")
    print("| tokens | plain | idle | everything | of it results | results as predicted | peak as predicted "
          "| everything beyond idle and results |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    with TemporaryDirectory() as folder:
        bench_model(Path(folder), options.window, shape)
        for tokens in options.lengths:
            plain, idle, full = (
                _median([_peak_of(kind, folder, tokens) for _ in range(options.rounds)])
                for kind in ("plain", "idle", "everything")
            )
            beyond = full["peak"] - full["results"] - idle["peak"]
            print(f"| {tokens} | {plain['peak']:.0f} | {idle['peak']:.0f} | {full['peak']:.0f} | "
                  f"{full['results']:.0f} | {full['results predicted']:.0f} | {full['peak predicted']:.0f} | "
                  f"{beyond:.0f} |", flush=True)  # fmt: skip


def _peak_of(kind: str, folder: str, tokens: int) -> dict[str, float]:
    """What `peak` gives in a process of its own."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["transformers.models.mistral.modeling_mistral", "workbench.report"])
    with ProcessPoolExecutor(1, context) as one:
        return one.submit(peak, kind, folder, tokens).result()


def _median(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}


def peak(kind: str, folder: str, tokens: int) -> dict[str, float]:
    """One run in this process: its peak in MB, and what was foretold."""
    results, foretold = 0.0, None
    if kind == "plain":
        module = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="sdpa", dtype=torch.float32)
        ids = [1, *torch.randint(300, 31000, (tokens - 1,), generator=torch.Generator().manual_seed(0)).tolist()]
        work: Callable[[], Any] = plain_forward(module, ids)
        plain_forward(module, ids[:64])()
    else:
        model = wb.load(folder)
        prompt = prompt_of(model, tokens)
        model.inspect(prompt_of(model, 64), EVERYTHING)  # what is set up once is no cost of a prompt
        capture = wb.Capture.nothing() if kind == "idle" else EVERYTHING
        foretold = capture.estimate(model, tokens)
        work = lambda: model.inspect(prompt, capture)  # noqa: E731
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again here
    before = _memory("VmRSS")
    found = work()
    if hasattr(found, "nbytes"):
        results = found.nbytes / 1e6
    said = (
        {} if foretold is None else {"results predicted": foretold.total / 1e6, "peak predicted": foretold.peak / 1e6}
    )
    return {"peak": _memory("VmHWM") - before, "results": results} | said


def _memory(field: str) -> float:
    """A figure of /proc/self/status in MB."""
    line = next(one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith(field))
    return int(line.split()[1]) * 1024 / 1e6


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--lengths", type=int, nargs="+", default=[4096, 8192])
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--window", type=int)
    options.add_argument("--shape", choices=list(SHAPES), default="small")
    memory_table(options.parse_args())


if __name__ == "__main__":
    main()
