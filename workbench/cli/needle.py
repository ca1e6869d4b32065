"""`workbench needle`: a grid of questions hidden in long texts, for several models, kept in a folder and resumed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli import files, named, options
from workbench.cli.forecast import foreseen
from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from workbench.context.grid import Grid
    from workbench.context.study import Progress

EXAMPLES = """Examples:

`workbench needle --lengths 256,1024,2048 --out grid`

`workbench needle --model twin-v0.1 --model twin-v0.1@window=none --task passkey --cases 10`

`workbench needle --model v0.1 --model v0.2 --lengths 4096,8192,16384,32768 --dtype bfloat16 --out grid`"""


def needle(
    model: Annotated[list[str] | None, typer.Option("--model", "-m", help=named.HELP, show_default=False)] = None,
    lengths: Annotated[
        str | None,
        typer.Option(help="Tokens of context, with commas. Default: five up to the shortest one.", show_default=False),
    ] = None,
    depths: Annotated[str, typer.Option(help="How many, evenly; or shares of the context with commas.")] = "5",
    spacing: Annotated[str, typer.Option(help="linear, or sigmoid: more of them near both ends.")] = "linear",
    cases: Annotated[int, typer.Option(min=1, help="Questions a cell.")] = 5,
    task: Annotated[
        list[str] | None, typer.Option(help="A task's name, a JSONL file, or all. Give several.", show_default=False)
    ] = None,
    haystack: Annotated[
        str, typer.Option(help="drawn, noise, or a text file. Default: the task's own.", show_default=False)
    ] = "",
    form: Annotated[str, typer.Option(help="chat, or plain: a text to go on with.")] = "chat",
    cache: Annotated[
        list[str] | None,
        typer.Option(
            help="A cache policy: full, rolling=256, sinks=4+252, received=256, norm=256, snapkv=256, 8bit, 4bit. Give "
            "several.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of questions and filler.")] = 0,
    threshold: Annotated[float, typer.Option(help="Share of right answers that an effective length needs.")] = 0.856,
    out: Annotated[
        Path | None, typer.Option(help="Keep finished trials in this folder, and go on there.", show_default=False)
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the cells as CSV.", show_default=False)] = None,
    jsonl: Annotated[Path | None, typer.Option(help="Write every trial as JSONL.", show_default=False)] = None,
    figure: Annotated[
        Path | None, typer.Option(help="Write the grid as a picture (.svg), or an HTML page.", show_default=False)
    ] = None,
    items_out: Annotated[
        Path | None,
        typer.Option(help="Write every question as JSONL: ids, references, needles, models.", show_default=False),
    ] = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Only say what it will cost, here and on GPUs; no 7B weights are needed.")
    ] = False,
    utilisation: Annotated[float, typer.Option(help="Share of a GPU's peak that --estimate counts on.")] = 0.4,
    patience: Annotated[
        float, typer.Option(help="With several processes: seconds without a sign until the first does a lost one's.")
    ] = 300.0,
    tasks: Annotated[bool, typer.Option("--tasks", help="List the tasks and end.")] = False,
    dtype: options.Dtype = "auto",
    device_map: options.DeviceMap = None,
    quantization: options.Quantization = None,
    local_files_only: options.LocalOnly = False,
) -> None:
    """Hide something in texts of exact lengths, at several depths, and see which model finds it again.

    Ctrl-C ends it and shows what is done; with --out the same command goes on from there.
    """
    from workbench.cache_lab.policies import policy
    from workbench.cache_lab.reading import readers
    from workbench.cli import summary
    from workbench.context import processes
    from workbench.context.export import save_items
    from workbench.context.spacing import depths as spaced
    from workbench.context.study import RetrievalStudy
    from workbench.context.study import needle as begun
    from workbench.context.tasks import TASKS

    console = summary.console()
    if tasks:
        for name, one in TASKS.items():
            console.print(f"{name:18} {one.title}", highlight=False)
        return
    for path in (csv, jsonl, figure, items_out):
        files.writable(path)
    asked = named.numbers(lengths, "--lengths") if lengths else None
    where = spaced(int(depths), spacing) if depths.isdecimal() else tuple(named.numbers(depths, "--depths", float))
    caches = readers(policy(one) for one in cache) if cache else None
    chosen: list[str] = list(TASKS) if task == ["all"] else task or ["needle"]
    wanted = model or ["twin-v0.1", "twin-v0.2"]
    if estimate:
        foreseen(console, wanted, asked, where, chosen, cases, utilisation, csv)
        return
    here = processes.here()
    if here.count > 1 and out is None:
        raise WorkbenchError(
            f"{here.count} processes share one study, and it has no folder", expected="--out with a folder they all see"
        )
    models = named.loaded(wanted, dtype, device_map, quantization, local_files_only)

    def made(share: tuple[int, int]) -> RetrievalStudy:
        return begun(models, asked, where, tasks=chosen, cases=cases, seed=seed, form=form, haystack=haystack,
                     folder=out, share=share, caches=caches)  # fmt: skip

    study = made((0, 1))
    told = processes.together(made, here, out, patience) if here.count > 1 and out is not None else iter(study)
    interrupted = run(told, console, study.count, here.first)
    if not here.first:
        raise typer.Exit(130 if interrupted else 0)
    grid = study.grid
    show(grid, console, threshold)
    for path, write in ((csv, grid.save_csv), (jsonl, grid.save_jsonl)):
        if path is not None:
            with files.whole(path) as target:
                write(target)
            console.print(f"Written {path}", markup=False, highlight=False)
    if items_out is not None:
        with files.whole(items_out) as target:
            save_items(study.plan, target)
        console.print(f"Written {items_out}", markup=False, highlight=False)
    if figure is not None and len(grid):
        with files.whole(figure) as target:
            if figure.suffix == ".svg":
                grid.save_svg(target)
            else:
                grid.to_html(target)
        console.print(f"Written {figure}", markup=False, highlight=False)
    if interrupted:
        go_on = "The same command goes on from there." if out is not None else "Name a folder with --out to keep it."
        console.print(f"Stopped with {len(grid)} trials done. {go_on}", highlight=False)
        raise typer.Exit(130)


def run(study: Iterable[Progress], console: Console, count: int | None = None, shown: bool = True) -> bool:
    """All trials, ``count`` of them, with a bar at a terminal; True when it was interrupted."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}"))
    with Bar(*columns, console=console, transient=True, disable=not (shown and console.is_terminal)) as bar:
        line = bar.add_task("trials", total=count, left="")
        try:
            for told in study:
                left = "" if told.seconds_left is None else f"{_minutes(told.seconds_left)} left"
                bar.update(line, completed=told.done, total=told.of, left=left)
        except KeyboardInterrupt:
            return True
    return False


def show(grid: Grid, console: Console, threshold: float) -> None:
    """The shares by length, the effective lengths, and both models against each other."""
    from rich.table import Table
    from rich.text import Text

    if not len(grid):
        console.print("Nothing was answered yet.")
        return
    table = Table("task", "model", "tokens", "n", "right", "95 % interval", "answer, nats a token")
    for row in grid.by_length().itertuples():
        table.add_row(Text(str(row.task)), Text(str(row.model)), f"{row.length}", f"{row.n}", f"{row.right:.2f}",
                      f"{row.low:.2f} to {row.high:.2f}", f"{row.logprob:.3f}")  # fmt: skip
    console.print(table)
    for row in grid.effective_length(threshold).itertuples():
        console.print(
            f"{row.model}, {row.task}: effective length {row.effective_length} of {row.longest} tokens at "
            f"{threshold:g} right ({row.sure} by the interval's low end)", markup=False, highlight=False,
        )  # fmt: skip
    models = list(dict.fromkeys(grid.trials["model"]))
    if len(models) == 2:
        table = Table("task", "tokens", "n", f"only {models[0]}", f"only {models[1]}", "difference", "p (McNemar)")
        for row in grid.paired(*models).itertuples():
            table.add_row(Text(str(row.task)), f"{row.length}", f"{row.n}", f"{row.only_a}", f"{row.only_b}",
                          f"{row.difference:+.2f}", f"{row.p:.3g}")  # fmt: skip
        console.print(table)
    if grid.caution:
        console.print(Text(grid.caution, style="dim"))


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
