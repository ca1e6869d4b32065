"""`workbench opinions`: what visitors of a served page voted and said."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli import files

EXPORT_EXAMPLES = """Examples: `workbench opinions export kept votes.csv` · `workbench opinions votes kept`"""

app = typer.Typer(
    name="opinions", help="Votes and feedback that `workbench app --opinions FOLDER` kept.", no_args_is_help=True
)
Folder = Annotated[Path, typer.Argument(help="The folder of `workbench app --opinions`.", show_default=False)]


@app.callback()
def opinions() -> None:
    """Votes and feedback that `workbench app --opinions FOLDER` kept."""


@app.command(epilog=EXPORT_EXAMPLES)
def export(
    folder: Folder,
    out: Annotated[Path, typer.Argument(help="A file that ends in .csv, .jsonl or .parquet.", show_default=False)],
) -> None:
    """Write all votes and feedback to a file."""
    files.writable(out)
    from apps.server.opinion_results import write
    from workbench.cli import summary

    with files.whole(out) as name:
        count = write(folder, name)
    told = f"Written {out} ({count} {'row' if count == 1 else 'rows'})"
    summary.console().print(told, markup=False, highlight=False)


@app.command()
def votes(
    folder: Folder,
    csv: Annotated[Path | None, typer.Option(help="Write the table as CSV.", show_default=False)] = None,
) -> None:
    """Count the votes: win rates with intervals for each pair of models, blind votes apart from those with names."""
    files.writable(csv)
    from rich.table import Table

    from apps.server.opinion_results import wins
    from apps.server.opinions import read_rows
    from workbench.behaviour import preference
    from workbench.cli import summary

    found, console = wins(read_rows(folder)), summary.console()
    if not found:
        console.print("No votes yet.")
    for one in found:
        table = Table("model", "votes", "items", "won", "tied", "lost", "win rate", "of the decided", "Wilson 95 %")
        for row in one.tallies:
            name = f"{row.model}, {row.category}"
            decided = ("–", "–") if row.decided != row.decided else (
                f"{row.decided:.0%}", f"{row.decided_low:.0%} to {row.decided_high:.0%}")  # fmt: skip
            table.add_row(summary.visible(name), *(str(n) for n in (row.votes, row.items, row.wins, row.ties,
                          row.losses)), f"{row.win_rate:.0%}", *decided)  # fmt: skip
        console.print(table)
        console.print(summary.visible(one.sentence), soft_wrap=True)
    if csv is not None:
        with files.whole(csv) as half:
            preference.table([row for one in found for row in one.tallies]).to_csv(half)
        console.print(f"Written {csv}", markup=False, highlight=False)
