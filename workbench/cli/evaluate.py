"""`workbench evaluate`: standard benchmarks by lm-eval, an extra, through a loaded model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli import files
from workbench.cli.options import DeviceMap, Dtype, LocalOnly, Quantization, Revision, loaded

EXAMPLES = """Examples: `workbench evaluate --tasks arc_easy --limit 100 --model v0.2` ·
`workbench evaluate --tasks my_task.yaml`"""


def evaluate(
    tasks: Annotated[str, typer.Option(help="lm-eval's task names, or YAML files of tasks, with commas between.")],
    model: Annotated[str, typer.Option("--model", "-m", help="A model's name, a hub id or a folder.")] = "twin-v0.2",
    shots: Annotated[
        int | None, typer.Option(min=0, help="Worked examples before a question. Default: the task's.",
                                 show_default=False)
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="The first so many documents of each task.", show_default=False)
    ] = None,
    chat: Annotated[bool, typer.Option("--chat", help="Ask each question as a chat message.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of lm-eval's draws.")] = 1234,
    csv: Annotated[Path | None, typer.Option(help="Write the table as CSV.", show_default=False)] = None,
    revision: Revision = None,
    dtype: Dtype = "auto",
    device_map: DeviceMap = None,
    quantization: Quantization = None,
    local_files_only: LocalOnly = False,
) -> None:  # fmt: skip
    """Run benchmarks of lm-eval (the extra `evaluation`). Tasks that you name download their data sets."""
    files.writable(csv)
    from workbench.behaviour import harness

    harness.require("lm_eval")  # before any weights are read
    from rich.table import Table

    from workbench.cli import summary

    chosen = loaded(model, revision, dtype, device_map, quantization, local_files_only)
    wanted = [name.strip() for name in tasks.split(",") if name.strip()]
    found = harness.evaluate(chosen, wanted, shots=shots, limit=limit, chat=chat, seed=seed)
    console = summary.console()
    table = Table("task", "metric", "filter", "value", "standard error", "n")
    for row in found.rows:
        error = "–" if row["stderr"] is None else f"{row['stderr']:.4f}"
        table.add_row(*(summary.visible(str(row[key])) for key in ("task", "metric", "filter")),
                      f"{row['value']:.4f}", error, str(row["n"]))  # fmt: skip
    console.print(table)
    if csv is not None:
        with files.whole(csv) as name:
            found.to_csv(name)
        console.print(f"Written {csv}", markup=False, highlight=False)
