"""What inspection costs, as ratios to the same work uninspected in the same process.

Run it with ``python tests/benchmarks/inspection.py``.
Ratios are of processor time, taken in turn (A B A B ...) and compared by medians, so that a busy machine disturbs both
sides alike. It prints a table and checks nothing: a clock is no test.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from measuring import SHAPES, bench_model, plain_forward, prompt_of, ratio
from rich.console import Console
from rich.table import Table
from transformers import DynamicCache, MistralForCausalLM

import workbench as wb
from workbench.capture.observer import install
from workbench.chat.encoding import EncodedPrompt
from workbench.model import Model

ROWS = wb.Capture(wb.AttentionCapture(rows="last", pool=0, statistics=False), lens=None, kv_cache=False)
ROWS_AND_LENS = wb.Capture(ROWS.attention, wb.LensCapture(), kv_cache=False)


def decode(model: Model, prompt: EncodedPrompt, capture: wb.Capture, new: int) -> Callable[[], object]:
    """Reads the prompt, then the work is ``new`` steps of the decoding loop with ``capture``, its results included."""

    def work() -> object:
        run = model.generate(prompt, wb.Sampling(max_new_tokens=new, temperature=1.0, seed=1), capture)
        for _ in run:
            pass
        return run.inspection

    return work


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--model", default="twin-v0.2", help="the model whose decoding is timed")
    options.add_argument("--new", type=int, default=48, help="new tokens of that decoding")
    options.add_argument("--tokens", type=int, default=4096, help="length of the forwards on the random-weight model")
    options.add_argument("--shape", choices=list(SHAPES), default="small", help="shape of the random-weight model")
    options.add_argument("--rounds", type=int, default=7)
    wanted = options.parse_args()
    table = Table(title=f"processor time, medians of {wanted.rounds} pairs, {torch.get_num_threads()} threads")
    for column in ("measured", "seconds", "plain", "ratio", "goal"):
        table.add_column(column, justify="left" if column == "measured" else "right")

    def row(name: str, one: Callable[[], object], other: Callable[[], object], goal: str) -> None:
        a, b, r = ratio(one, other, wanted.rounds)
        table.add_row(name, f"{a:.3f}", f"{b:.3f}", f"{r:.3f}", goal)

    model = wb.load(wanted.model)
    prompt, new = prompt_of(model, 200), wanted.new
    nothing = decode(model, prompt, wb.Capture.nothing(), new)
    said = f"{wanted.model}: {new} new tokens"
    row(f"{said}, last rows", decode(model, prompt, ROWS, new), nothing, "")
    row(f"{said}, last rows + full lens", decode(model, prompt, ROWS_AND_LENS, new), nothing, "1.5")
    row(f"{said}, everything", decode(model, prompt, wb.Capture.full(), new), nothing, "")
    with TemporaryDirectory() as folder:
        big = bench_model(Path(folder), shape=SHAPES[wanted.shape])
    plain = copy.deepcopy(big.module)
    plain.set_attn_implementation("sdpa")
    ids = list(prompt_of(big, wanted.tokens).ids)
    forward = plain_forward(plain, ids)
    install(big.module)
    row(f"idle observer, forward of {wanted.tokens}", plain_forward(big.module, ids), forward, "1.03")
    rows = wb.AttentionCapture(rows=slice(-16, None), pool=0, statistics=False)
    pooled = wb.AttentionCapture(rows=None, statistics=False)
    for name, capture, goal in (
        ("last 16 rows, all layers", wb.Capture(rows, lens=None, kv_cache=False), "1.15"),
        ("pooled map 256 x 256, all layers", wb.Capture(pooled, lens=None, kv_cache=False), ""),
        ("Capture()", wb.Capture(), ""),
    ):
        found = prompt_of(big, wanted.tokens)
        row(f"{name}, forward of {wanted.tokens}", lambda c=capture, f=found: big.inspect(f, c), forward, goal)  # type: ignore[misc]
    idle_decode(table, big.module, plain, ids[:512], wanted.rounds)
    Console(width=120).print(table)


def idle_decode(
    table: Table, module: MistralForCausalLM, plain: MistralForCausalLM, ids: list[int], rounds: int
) -> None:
    """Single-token forwards after a prompt, with the bridge installed and without."""

    def steps(one: MistralForCausalLM) -> Callable[[], object]:
        @torch.inference_mode()
        def work() -> None:
            cache = DynamicCache(config=one.config)
            one(torch.tensor([ids]), past_key_values=cache, use_cache=True, logits_to_keep=1)
            for token in range(32):
                one(torch.tensor([[token + 300]]), past_key_values=cache, use_cache=True)

        return work

    a, b, r = ratio(steps(module), steps(plain), rounds)
    table.add_row("idle observer, 32 decoding steps", f"{a:.3f}", f"{b:.3f}", f"{r:.3f}", "1.03")


if __name__ == "__main__":
    main()
