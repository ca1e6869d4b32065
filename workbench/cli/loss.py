"""`workbench loss`: loss by position, the induction curve and the reach of several models on the same tokens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli import files, named, options
from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from workbench.context.loss import LossByPosition, LossStudy
    from workbench.model import Model

EXAMPLES = """Examples:

`workbench loss --text book.txt --length 2048`

`workbench loss --model v0.1 --model v0.1@window=none --model v0.2 --text book.txt --csv loss.csv`

`workbench loss --induction 64,256,800`"""


def loss(
    model: Annotated[list[str] | None, typer.Option("--model", "-m", help=named.HELP, show_default=False)] = None,
    text: Annotated[
        list[Path] | None,
        typer.Option(
            help="A text in UTF-8 (.jsonl: one in each line); give several. Default: texts of the twins' language.",
            show_default=False,
        ),
    ] = None,
    length: Annotated[
        int | None, typer.Option(help="Read so many tokens of each. Default: all that fit.", show_default=False)
    ] = None,
    edges: Annotated[
        str | None, typer.Option(help="Ends of the ranges, with commas. Default: they double.", show_default=False)
    ] = None,
    induction: Annotated[
        str | None,
        typer.Option(help="Read random tokens twice instead, in copies of so many, with commas.", show_default=False),
    ] = None,
    reach: Annotated[bool, typer.Option("--reach", help="Measure which tokens reach the last one instead.")] = False,
    csv: Annotated[Path | None, typer.Option(help="Write the table as CSV.", show_default=False)] = None,
    figure: Annotated[
        Path | None, typer.Option(help="Write the curves as one HTML page (needs plotly).", show_default=False)
    ] = None,
    dtype: options.Dtype = "auto",
    device_map: options.DeviceMap = None,
    quantization: options.Quantization = None,
    local_files_only: options.LocalOnly = False,
) -> None:
    """Say how the loss of a token depends on its position in a text, with bands, for models and switches.

    Ctrl-C ends it and shows the texts that every model has read.
    """
    for path in (csv, figure):
        files.writable(path)
    if induction and reach:
        raise WorkbenchError("--induction and --reach are two measurements", expected="one of them")
    if figure is not None and (induction or reach):
        raise WorkbenchError(
            "--figure draws the curves of loss by position", expected="it without --induction or --reach"
        )
    periods = named.numbers(induction, "--induction") if induction else []
    ends = named.numbers(edges, "--edges") if edges else None
    texts = [one for path in text for one in files.prompts(path)] if text else None
    from workbench.cli import summary

    models = named.loaded(model or ["twin-v0.1", "twin-v0.2"], dtype, device_map, quantization, local_files_only)
    console = summary.console()
    if induction:
        table = _induction(models, periods, console)
    elif reach:
        table = _reach(models, length or 300, console)
    else:
        table = _positions(models, texts, length, ends, figure, console)
    if csv is not None:
        with files.whole(csv) as target:
            table.to_csv(target, index=False)
        console.print(f"Written {csv}", markup=False, highlight=False)


def _positions(
    models: list[Model], texts: list[Any] | None, length: int | None, ends: list[int] | None, figure: Path | None,
    console: Console,
) -> pd.DataFrame:  # fmt: skip
    from rich.table import Table
    from rich.text import Text

    from workbench.context.loss import LossStudy, shipped_texts

    study = LossStudy(models, texts or shipped_texts(), length)
    interrupted = _watched(study, console, "reading")
    found = study.found
    curve = found.curve(ends)
    table = Table("model", "positions", "loss, nats a token", "95 % band", "tokens")
    for row in curve.itertuples():
        table.add_row(Text(str(row.model)), f"{row.start} to {row.stop}", f"{row.loss:.3f}",
                      f"{row.low:.3f} to {row.high:.3f}", f"{row.tokens}")  # fmt: skip
    console.print(table)
    if len(models) == 2 and len(curve):
        apart = Table("positions", f"{models[1].name} less {models[0].name}", "95 % band")
        for row in found.difference(models[0].name, models[1].name, ends).itertuples():
            apart.add_row(f"{row.start} to {row.stop}", f"{row.loss:+.3f}", f"{row.low:+.3f} to {row.high:+.3f}")
        console.print(apart)
    if figure is not None and len(curve):
        with files.whole(figure) as target:
            _page(found, ends, target)
        console.print(f"Written {figure}", markup=False, highlight=False)
    if interrupted:
        console.print("Stopped. Only the texts that every model has read are counted.")
        raise typer.Exit(130)
    return curve


def _page(found: LossByPosition, ends: list[int] | None, target: Path) -> None:
    """The curves and their table over the ranges that were asked for; of two models their difference as well."""
    from workbench.result_page import write_page

    tables = [("Loss by position, nats a token", found.curve(ends))]
    if len(found.models) == 2:
        a, b = found.models
        tables.append((f"{b} less {a}, nats a token", found.difference(a, b, ends)))
    write_page(found, target, figures=[("", found.figure(ends))], tables=tables)


def _induction(models: list[Model], periods: list[int], console: Console) -> pd.DataFrame:
    from rich.table import Table
    from rich.text import Text

    from workbench.context.induction import induction

    *_, curve = induction(models, periods)
    table = Table("model", "tokens a copy", "first copy, nats", "second copy, nats", "gain", "95 % interval")
    for row in curve.table.itertuples():
        table.add_row(Text(str(row.model)), f"{row.period}", f"{row.first:.2f}", f"{row.second:.2f}",
                      f"{row.gain:+.2f}", f"{row.low:+.2f} to {row.high:+.2f}")  # fmt: skip
    console.print(table)
    return curve.table


def _reach(models: list[Model], tokens: int, console: Console) -> pd.DataFrame:
    import pandas as pd

    from workbench.context.induction import repeated
    from workbench.context.reach import reach

    parts = []
    for model in models:
        found = reach(model, repeated(model.vocab_size, tokens // 2, 0)[:tokens])
        parts.append(found.table().assign(model=model.name))
        console.print(
            f"{model.name}: {found.measured} of {len(found.influence)} tokens reach the last one; "
            f"L (W - 1) + 1 allows {found.expected}", markup=False, highlight=False,
        )  # fmt: skip
    return pd.concat(parts)


def _watched(study: LossStudy, console: Console, words: str) -> bool:
    """All of it, with a bar at a terminal; True when it was interrupted."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        line = bar.add_task(words, total=None)
        try:
            for told in study:
                bar.update(line, completed=told.done, total=told.of)
        except KeyboardInterrupt:
            return True
    return False
