"""`workbench factorial`: which of weights, window and theta is responsible for what differs between two models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli import files, options

if TYPE_CHECKING:
    from rich.console import Console

    from workbench.comparison.factorial_result import Factorial
    from workbench.comparison.factorial_run import FactorialRun

EXAMPLES = """Examples:

`workbench factorial --measure retrieval --csv effects.csv`

`workbench factorial v0.1 v0.2 --text book.txt --items questions.jsonl --figure effects.html --device-map auto`"""


def factorial(
    a: Annotated[str, typer.Argument(help="A name, a hub id or a folder.")] = "twin-v0.1",
    b: Annotated[str, typer.Argument(help="What it is compared with.")] = "twin-v0.2",
    measure: Annotated[
        list[str] | None, typer.Option(help="loss, retrieval or kl; give several. Default: all.", show_default=False)
    ] = None,
    text: Annotated[
        list[Path] | None,
        typer.Option(
            help="A text to read (.jsonl: one in each line). Default: held-out texts of the twins' language.",
            show_default=False,
        ),
    ] = None,
    items: Annotated[
        Path | None,
        typer.Option(
            help='Questions as JSONL: {"messages": [...], "answer": "..."}. Default: held-out ones of the twins.',
            show_default=False,
        ),
    ] = None,
    most: Annotated[
        int, typer.Option(min=0, help="At most so many texts and so many questions, evenly chosen; 0: all.")
    ] = 16,
    reference: Annotated[str, typer.Option(help="KL is measured to the own cell of a or b.")] = "a",
    csv: Annotated[Path | None, typer.Option(help="Write the effects as CSV.", show_default=False)] = None,
    cells: Annotated[Path | None, typer.Option(help="Write the cells as CSV.", show_default=False)] = None,
    figure: Annotated[
        Path | None, typer.Option(help="Write the chart as one HTML page (needs plotly).", show_default=False)
    ] = None,
    dtype: options.Dtype = "auto",
    device_map: options.DeviceMap = None,
    quantization: options.Quantization = None,
    local_files_only: options.LocalOnly = False,
) -> None:
    """Measure every combination of two models' weights, window and theta, and say which change is responsible.

    No weight is copied: the window and theta of one model are set over the weights of the other. Ctrl-C ends it and
    shows what is measured.
    """
    for path in (csv, cells, figure):
        files.writable(path)
    texts = [one for path in text for one in files.texts(path)] if text else None

    from workbench.cli import summary
    from workbench.comparison.factorial_run import MEASURES, FactorialRun

    models = [options.loaded(name, None, dtype, device_map, quantization, local_files_only) for name in (a, b)]
    run = FactorialRun(
        models[0], models[1], measures=measure or MEASURES, texts=texts, questions=items, most=most or None,
        reference=reference,  # type: ignore[arg-type]
    )  # fmt: skip
    console = summary.console()
    summary.heading(console, f"{models[0].name} and {models[1].name}")
    console.print(f"{run.estimate()}.", style="dim", highlight=False)
    interrupted = _measured(run, console)
    found = run.result
    if found.measured:
        _show(found, console)
    console.print(found.sentence, markup=False, highlight=False, soft_wrap=True)
    for path, table in ((csv, found.effects), (cells, found.cells)):
        if path is not None:
            with files.whole(path) as name:
                table.to_csv(name)
            console.print(f"Written {path}", markup=False, highlight=False)
    if figure is not None and found.measured:
        with files.whole(figure) as name:
            found.to_html(name)
        console.print(f"Written {figure}", markup=False, highlight=False)
    if interrupted:
        raise typer.Exit(130)


def _measured(run: FactorialRun, console: Console) -> bool:
    """Run it under a bar; whether Ctrl-C ended it."""
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    try:
        with Bar(*columns, console=console, transient=True) as bar:
            task = bar.add_task("", total=run.cost.tokens)
            for step in run:
                bar.update(task, completed=step.done, description=step.said)
    except KeyboardInterrupt:
        return True
    return False


def _show(found: Factorial, console: Console) -> None:
    """The cells' means and the effects of each outcome, every range a column."""
    from rich.table import Table
    from rich.text import Text

    from workbench.comparison.effects import corners
    from workbench.comparison.factorial_result import TITLES, UNITS

    for outcome in dict.fromkeys(one for one, _ in found.outcomes):
        places = [where for one, where in found.outcomes if one == outcome]
        places = [where for where in places if not found.paired(outcome, where).empty]
        if not places:
            continue
        table = Table(f"{TITLES[outcome]} ({UNITS[outcome]})", *(f"{p} tokens" for p in places), show_edge=False)
        for cell in corners(len(found.factors)):
            said = ", ".join(f"{one.name} {one.level(which)}" for one, which in zip(found.factors, cell, strict=True))
            means = [float(found.paired(outcome, where)[cell].mean()) for where in places]
            table.add_row(Text(said), *(f"{mean:.3f}" for mean in means))
        table.add_section()
        for name in found.of(outcome, places[0]):
            shown = [found.of(outcome, where)[name] for where in places]
            table.add_row(
                Text(f"effect of {name}"),
                *(
                    Text(f"{one.estimate:+.3f}" + ("*" if one.sure else ""), "bold" if one.sure else "")
                    for one in shown
                ),
            )
        table.add_row(Text("items", "dim"), *(str(len(found.paired(outcome, where))) for where in places), style="dim")
        console.print(table)
    console.print("* the 95 % t interval over items leaves 0 out; each by itself.", style="dim", highlight=False)
