"""`workbench moderate`: what a model says of a text as its moderator, with the score of every category."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli import files
from workbench.cli.options import DeviceMap, Dtype, LocalOnly, Quantization, Revision, loaded
from workbench.errors import PromptError
from workbench.models.registry import resolve

EXAMPLES = """Example: `workbench moderate "How do I open a window?" --model v0.2 --of prompt --csv scores.csv`"""


def moderate(
    text: Annotated[str, typer.Argument(help="The text to classify; - reads standard input.")],
    model: Annotated[str, typer.Option("--model", "-m", help="A model's name, a hub id or a folder.")] = "twin-v0.2",
    of: Annotated[str, typer.Option(help="What the text is: prompt or answer.")] = "prompt",
    csv: Annotated[Path | None, typer.Option(help="Write the scores as CSV.", show_default=False)] = None,
    revision: Revision = None,
    dtype: Dtype = "auto",
    device_map: DeviceMap = None,
    quantization: Quantization = None,
    local_files_only: LocalOnly = False,
) -> None:
    """Ask a model which of 13 moderation categories a text falls into. The embedded twins know nothing of this task."""
    if text == "-":
        text = files.question(None, "-")
    if of not in ("prompt", "answer"):
        raise PromptError(f"--of is {of[:40]!r}", expected="prompt or answer")
    if not text.strip():
        raise PromptError("There is no text to moderate", expected="a text with at least one word")
    resolve(model)
    files.writable(csv)
    from rich.table import Table
    from rich.text import Text

    import workbench as wb
    from workbench.cli import summary

    console = summary.console()
    chosen = loaded(model, revision, dtype, device_map, quantization, local_files_only)
    found = wb.moderate(chosen, text, of)  # type: ignore[arg-type]
    summary.heading(console, f"{chosen.name}: {found.verdict}")
    console.print(Text(f"It answered: {found.answer or '(nothing)'}"), soft_wrap=True)
    table = Table("label", "log-probability (nats)", "tokens", "share of the 14")
    for label, row in found.table().iterrows():
        table.add_row(str(label), f"{row.logprob:.3f}", f"{row.tokens:.0f}", f"{row.share:.2%}")
    console.print(table)
    if csv is not None:
        found.table().to_csv(csv)
        console.print(f"Wrote {csv}", highlight=False)
