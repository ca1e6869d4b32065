"""`workbench memory`: what a model needs, without its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli import files

EXAMPLES = (
    """Examples: `workbench memory --cards` · `workbench memory v0.2 --context 16384 --format 4bit --kv-bits 8`"""
)


def memory(
    models: Annotated[
        list[str] | None, typer.Argument(help="Names or folders with a config.json; v0.1 and v0.2 when none is given.")
    ] = None,
    context: Annotated[
        int | None, typer.Option(help="Tokens of prompt and reply. Default: the whole context.", show_default=False)
    ] = None,
    format: Annotated[
        str, typer.Option(help="Weights as float32, bfloat16, float16, 8bit, 4bit, Q8_0 or Q4_K_M.")
    ] = "bfloat16",
    kv_bits: Annotated[
        int | None, typer.Option(help="Bits of a number in the KV cache: 32, 16, 8, 4 or 2.", show_default=False)
    ] = None,
    capture: Annotated[bool, typer.Option("--capture", help="Add what the default capture holds at most.")] = False,
    cards: Annotated[bool, typer.Option("--cards", help="Say on which GPUs it fits, and the longest text.")] = False,
    csv: Annotated[
        Path | None, typer.Option(help="Write the table of bytes by length as CSV.", show_default=False)
    ] = None,
) -> None:
    """Say how many bytes weights, KV cache and activations take; no weights are needed."""
    files.writable(csv)
    import pandas as pd
    from rich.table import Table

    import workbench as wb
    from workbench.capture.cost import readable
    from workbench.cli import summary

    wanted = wb.Capture() if capture else None
    plans = [wb.memory(name, context, format, kv_bits, wanted) for name in models or ["v0.1", "v0.2"]]
    console = summary.console()
    for plan in plans:
        summary.heading(console, plan.shape.name)
        console.print(str(plan), highlight=False, soft_wrap=True)
        table = Table("tokens", "weights", "KV cache", "without a window", "activations", "eager scores, one layer")
        lengths = plan.by_length()
        for tokens, row in lengths.iterrows():
            table.add_row(f"{tokens}", *(readable(int(size)) for size in row))
        console.print(table)
        if cards:
            table = Table("card", "GiB", "fits", "longest text (tokens)")
            for name, row in plan.cards().iterrows():
                table.add_row(
                    str(name),
                    f"{row.memory_gib:.0f}",
                    "yes" if row.fits else "no",
                    f"{row.longest_tokens or 'weights do not fit'}",
                )
            console.print(table)
    if csv is not None:
        tables = {plan.shape.name: plan.by_length() for plan in plans}
        pd.concat(tables, names=["model"]).to_csv(csv)
        console.print(f"Wrote {csv}", highlight=False)
