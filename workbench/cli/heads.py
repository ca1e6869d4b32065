"""`workbench heads`: which heads look a needle up, and what is left of the answers without them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli import files, named, options
from workbench.cli.needle import run

if TYPE_CHECKING:
    from rich.console import Console

    from workbench.context.ablation import Ablation
    from workbench.context.retrieval_heads import RetrievalHeads
    from workbench.model import Model

LOW = 0.1
"""The score under which a head may be a control; less where ``--least`` is less."""
EXAMPLES = """Examples:

`workbench heads`

`workbench heads --silence 6 --controls 8 --figure heads.html`

`workbench heads -m twin-v0.1 --lengths 128,200`

`workbench heads -m v0.2 --lengths 4096,8192 --silence 10 --dtype bfloat16 --device-map auto`"""


def heads(
    model: Annotated[
        str, typer.Option("--model", "-m", help="A name, a hub id or a folder; switches behind @.")
    ] = "twin-v0.2",
    lengths: Annotated[str, typer.Option(help="Tokens of context, with commas.")] = "256,512",
    depths: Annotated[
        str, typer.Option(help="How many, evenly; or shares of the context with commas.")
    ] = "0.2,0.5,0.8",
    cases: Annotated[int, typer.Option(min=1, help="Questions at each length and depth.")] = 2,
    task: Annotated[
        str, typer.Option(help="A task with needles (workbench needle --tasks), or a JSONL file.")
    ] = "needle",
    silence: Annotated[int, typer.Option(min=0, help="Silence so many of the heads found, best first; 0: none.")] = 0,
    controls: Annotated[
        int, typer.Option(min=0, help="And as many others at random: so many draws of any, and of none below them.")
    ] = 5,
    least: Annotated[float, typer.Option(help="The score from which on a head counts as found.")] = 0.5,
    seed: Annotated[int, typer.Option(help="Of questions and draws. Silenced heads are tested on the next seed.")] = 0,
    csv: Annotated[Path | None, typer.Option(help="Write all heads as CSV.", show_default=False)] = None,
    figure: Annotated[
        Path | None, typer.Option(help="Write maps and ablation as an HTML page.", show_default=False)
    ] = None,
    dtype: options.Dtype = "auto",
    device_map: options.DeviceMap = None,
    quantization: options.Quantization = None,
    local_files_only: options.LocalOnly = False,
) -> None:
    """Find the heads that look a needle up while the answer is written; silence them, and others at random.

    The score of a head is the share of the answer's tokens for which its most attended token is that very token in the
    needle (Wu et al. 2024). The silenced heads are tested on other questions than those they were found on.
    """
    from workbench.cli import summary
    from workbench.context.retrieval_heads import HeadSearch
    from workbench.context.spacing import depths as spaced
    from workbench.context.study import needle
    from workbench.result_page import write_page

    console = summary.console()
    for path in (csv, figure):
        files.writable(path)
    asked: dict[str, Any] = {
        "lengths": named.numbers(lengths, "--lengths"), "cases": cases, "tasks": task,
        "depths": spaced(int(depths)) if depths.isdecimal() else tuple(named.numbers(depths, "--depths", float)),
    }  # fmt: skip
    (one,) = named.loaded([model], dtype, device_map, quantization, local_files_only)
    search = HeadSearch(one, needle(one, seed=seed, **asked).plan.items())
    with console.status("Looking"):
        for _ in search:
            pass
    found = search.found
    show(found, console, least)
    if csv is not None:
        with files.whole(csv) as target:
            found.table.to_csv(target, index=False)
        console.print(f"Written {csv}", markup=False, highlight=False)
    result = (
        _silenced(one, found, console, found.top(least, silence), controls, least, seed, asked) if silence else None
    )
    if figure is not None:
        with files.whole(figure) as target:
            write_page(found, target, f"Heads of {found.model} that look the needle up", [result] if result else [])
        console.print(f"Written {figure}", markup=False, highlight=False)


def show(found: RetrievalHeads, console: Console, least: float) -> None:
    """The heads found, and how they do by length."""
    from rich.table import Table

    count = len(found.top(least))
    table = Table("layer", "head", "score", "attention on the needle", "questions")
    for row in found.table.head(max(8, min(count, 24))).itertuples():
        table.add_row(f"{row.layer}", f"{row.head}", f"{row.score:.2f}", f"{row.needle_mass:.2f}", f"{row.items}")
    console.print(table)
    console.print(f"{count} of {len(found.table)} heads have a score of at least {least:g}.", highlight=False)
    for row in found.by_length.itertuples():
        console.print(
            f"{row.length} tokens, {row.items} questions: {row.answered:.2f} known, by the lens from layer "
            f"{row.settles:.1f} on; {row.logprob:.3f} nats a token", highlight=False,
        )  # fmt: skip


def _silenced(
    model: Model, found: RetrievalHeads, console: Console, heads: list[tuple[int, int]], controls: int,
    least: float, seed: int, asked: dict[str, Any],
) -> Ablation | None:  # fmt: skip
    """The ablation, run and shown; None where there is no head to silence."""
    from rich.table import Table

    from workbench.context.ablation import ablation

    if not heads:
        console.print("No head was found, so none is silenced.")
        return None
    first = min(layer for layer, _ in heads)
    below = min(LOW, least)  # no found head is a control
    drawn = (found.control(len(heads), seed + i, below, at) for at in sorted({0, first}) for i in range(controls))
    draws = dict.fromkeys(map(tuple, drawn))
    study = ablation(model, heads, draws, seed=seed + 1, **asked)
    interrupted = run(study, console)
    if not len(study.grid):
        raise typer.Exit(130)
    result = study.found
    table = Table("silenced", "heads", "below", "n", "right", "95 % interval", "answer, nats a token", "p (McNemar)")
    for row in result.table().itertuples():
        table.add_row(f"{row.silenced}", f"{row.heads}", f"{row.below}", f"{row.n}", f"{row.right:.2f}",
                      f"{row.low:.2f} to {row.high:.2f}", f"{row.logprob:.3f}",
                      f"{row.p:.3g}" if row.heads else "")  # fmt: skip
    console.print(table)
    console.print(result.sentence, markup=False, highlight=False)
    if interrupted:
        console.print("Stopped before the end.")
        raise typer.Exit(130)
    return result
