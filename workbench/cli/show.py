"""`workbench show`: a saved inspection, without a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli import files
from workbench.errors import FileFormatError

EXAMPLES = """Example: `workbench show run.inspection --html report.html`"""


def show(
    file: Annotated[Path, typer.Argument(help="A file that `workbench inspect --out` or `Inspection.save` wrote.")],
    position: Annotated[
        int | None, typer.Option(help="The position to look inside; negative counts from the end.", show_default=False)
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write a report that opens in any browser.", show_default=False)
    ] = None,
) -> None:
    """Print a saved inspection, without a model."""
    files.writable(html)
    if not file.is_file():
        raise FileFormatError(
            f"there is no file {file}", expected="a saved inspection", remedy="Write one with workbench inspect --out"
        )
    import workbench as wb
    from workbench.cli import summary

    found = wb.open(file)
    console = summary.console()
    if found.reply:
        summary.heading(console, "Answer")
        console.print(summary.visible(found.reply.strip()), soft_wrap=True)
    summary.write(console, found, position)
    files.write(console, found, html, None)
