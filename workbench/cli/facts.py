"""`workbench facts`: the identity card of a model, probes of its switches, and the claims made about the pair."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli import files, options
from workbench.errors import PromptError

EXAMPLES = (
    "Examples: `workbench facts` · `workbench facts twin-v0.1 --probe-text talk.txt` · `workbench facts --claims`"
)


def facts(
    model: Annotated[str, typer.Argument(help="A name, a hub id or a folder.")] = "twin-v0.2",
    claims: Annotated[
        bool, typer.Option("--claims", help="Check what is said about v0.1 and v0.2 instead; loads nothing.")
    ] = False,
    probe_text: Annotated[
        list[Path] | None,
        typer.Option(help="Probe theta and window by the loss on this text; give several.", show_default=False),
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the table as CSV.", show_default=False)] = None,
    revision: options.Revision = None,
    dtype: options.Dtype = "auto",
    device_map: options.DeviceMap = None,
    quantization: options.Quantization = None,
    local_files_only: options.LocalOnly = False,
) -> None:
    """Say what a model is: stated by its config, loaded, and probed; rows that disagree are marked."""
    files.writable(csv)
    texts = [_text(path) for path in probe_text or ()]
    from rich.table import Table
    from rich.text import Text

    from workbench.cli import summary

    console = summary.console()
    if claims:
        from workbench.facts.claims import check_claims, table

        found = check_claims()
        grid = Table("claim", "said by", "verdict", "evidence")
        for one in found:
            grid.add_row(*map(Text, (one.claim.text, one.claim.said_by, one.verdict, one.evidence)))
        frame = table(found)
    else:
        from workbench.facts import identity, probe_theta, probe_window

        ready = options.loaded(model, revision, dtype, device_map, quantization, local_files_only)
        probes = [probe(ready, texts) for probe in (probe_theta, probe_window)] if texts else []
        card = identity(ready, probes=probes)
        grid = Table("", "stated", "loaded", "probed", "")
        for fact in card.facts:
            mark = {True: "agree", False: "DIFFER", None: ""}[fact.agrees]
            grid.add_row(*map(Text, (fact.name, fact.stated, fact.loaded, fact.probed, mark)))
        summary.heading(console, card.model)
        frame = card.table()
    console.print(grid)
    if csv is not None:
        frame.to_csv(csv)
        console.print(f"Wrote {csv}", highlight=False)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise PromptError(f"{path} cannot be read", expected="a text file in UTF-8") from None
