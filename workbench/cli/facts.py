"""`workbench facts`: the identity card of a model, probes of its switches, and the claims made about the pair."""

from __future__ import annotations

from json import dumps, loads
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli import files, options

if TYPE_CHECKING:
    import pandas as pd

    from workbench.facts.against import Other
    from workbench.model import Model

EXAMPLES = (
    "Examples: `workbench facts` · `workbench facts twin-v0.1 --against twin-v0.2` · "
    "`workbench facts twin-v0.1 --probe` · `workbench facts --claims`"
)


def facts(
    model: Annotated[str, typer.Argument(help="A name, a hub id or a folder.")] = "twin-v0.2",
    claims: Annotated[
        bool,
        typer.Option("--claims", help="Check what is said about v0.1 and v0.2 instead; loads nothing."),
    ] = False,
    against: Annotated[
        str | None,
        typer.Option(
            help="Compare config, tokenizer, template and every tensor with another model: a name or a folder.",
            show_default=False,
        ),
    ] = None,
    tensors: Annotated[
        bool, typer.Option("--tensors", help="Read every tensor of a large checkpoint as well, and list all of them.")
    ] = False,
    probe: Annotated[
        bool, typer.Option("--probe", help="Probe theta and window by the loss on texts that come with the workbench.")
    ] = False,
    probe_text: Annotated[
        list[Path] | None,
        typer.Option(
            help="Probe theta and window by the loss on this text (.jsonl: one in each line); give several.",
            show_default=False,
        ),
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the table as CSV.", show_default=False)] = None,
    json: Annotated[Path | None, typer.Option(help="Write everything found as JSON.", show_default=False)] = None,
    revision: options.Revision = None,
    dtype: options.Dtype = "auto",
    device_map: options.DeviceMap = None,
    quantization: options.Quantization = None,
    local_files_only: options.LocalOnly = False,
) -> None:
    """Say what a model is: stated by its config, loaded, and probed; what disagrees or was altered is named."""
    for path in (csv, json):
        files.writable(path)
    texts: list[Any] = [one for path in probe_text or () for one in files.prompts(path)]
    if claims:
        frame, data = _claims()
    else:
        from workbench.facts import probe_texts, read_other

        other = read_other(against) if against is not None else None
        ready = options.loaded(model, revision, dtype, device_map, quantization, local_files_only)
        frame, data = _card(ready, texts + (probe_texts() if probe else []), other, tensors)
    if csv is not None:
        with files.whole(csv) as name:
            frame.to_csv(name)
    if json is not None:
        with files.whole(json) as name:
            name.write_text(dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for path in (csv, json):
        if path is not None:
            print(f"Wrote {path}")


def _claims() -> tuple[pd.DataFrame, dict[str, Any]]:
    from rich.table import Table
    from rich.text import Text

    from workbench.cli import summary
    from workbench.facts import PUBLISHED, check_claims, scores
    from workbench.facts.claims import table

    console, found = summary.console(), check_claims()
    grid = Table("claim", "said by", "verdict", "evidence")
    for one in found:
        grid.add_row(*map(Text, (one.claim.text, one.claim.said_by, one.verdict, one.evidence)))
    console.print(grid)
    summary.heading(console, f"Scores, {scores.NOT_MEASURED}")
    numbers = Table("measure", "v0.1", "v0.2", "source")
    for score in PUBLISHED:
        numbers.add_row(*map(Text, (score.measure, score.v01, score.v02, score.source)))
    console.print(numbers)
    return table(found), {"claims": _rows(table(found)), "scores": _rows(scores.table())}


def _card(
    model: Model, texts: list[Any], other: Other | None, all_tensors: bool
) -> tuple[pd.DataFrame, dict[str, Any]]:
    from rich.table import Table

    from workbench.cli import summary
    from workbench.facts import identity, probe_theta, probe_window

    console = summary.console()
    probes = [probe(model, texts) for probe in (probe_theta, probe_window)] if texts else []
    card = identity(model, probes=probes, against=other, tensors=True if all_tensors else None)
    grid = Table("", "stated", "loaded", "probed", "")
    for fact in card.facts:
        cells = (fact.name, fact.stated, fact.loaded, fact.probed, fact.mark)
        grid.add_row(*(summary.visible(cell) for cell in cells))
    for column in grid.columns:
        column.overflow = "fold"  # the name of an altered tensor is shown whole
    summary.heading(console, card.model)
    console.print(grid)
    if not probes:
        console.print("Not probed: --probe finds theta and window by the loss.", highlight=False)
    data: dict[str, Any] = {"model": card.model, "facts": _rows(card.table())}
    data["conflicts"] = [fact.name for fact in card.conflicts]
    data["probes"] = {probe.switch: _rows(probe.table()) for probe in probes}
    if card.contrast is not None:
        data["differing"] = _rows(card.contrast.table())
        if card.contrast.rows:
            summary.heading(console, f"Fields that differ, of {card.contrast.compared}")
            differing = Table("field", "here", card.contrast.other)
            for row in card.contrast.rows:
                differing.add_row(*(summary.visible(cell) for cell in row))
            console.print(differing)
    if (report := card.tensors) is not None:
        data["tensors"] = _rows(report.table())
        marked = [one for one in report.records if all_tensors or report.state(one.name) in ("altered", "added")]
        if marked and (all_tensors or len(marked) < len(report.records)):
            summary.heading(console, "Tensors")
            listed = Table("tensor", "shape", "dtype", "rms", "largest", "state")
            for one in marked:
                sizes = " x ".join(map(str, one.shape))
                words = (one.name, sizes, one.dtype, f"{one.rms:.4g}", f"{one.largest:.4g}", report.state(one.name))
                listed.add_row(*(summary.visible(word) for word in words))
            console.print(listed)
    return card.table(), data


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return list(loads(frame.reset_index().to_json(orient="records")))
