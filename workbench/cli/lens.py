"""`workbench lens train`: the translators of a tuned lens, for `workbench inspect --lens`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli import files
from workbench.cli.options import DeviceMap, Dtype, LocalOnly, Quantization, Revision, loaded
from workbench.errors import WorkbenchError
from workbench.models.registry import resolve

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from workbench.capture.tuned_lens import TunedLensRecord
    from workbench.model import Model

EXAMPLES = """Examples:

`workbench lens train --model twin-v0.2 --out lens.safetensors`

`workbench lens train --model v0.2 --text book.txt --tokens 500000 --out lens.safetensors`"""

LENGTH = 256  # tokens a sequence

app = typer.Typer(name="lens", help="Train the translators of a tuned lens.", no_args_is_help=True)


@app.callback()
def lens() -> None:
    """Train the translators of a tuned lens."""


@app.command(epilog=EXAMPLES)
def train(
    out: Annotated[Path, typer.Option(help="Where to write the lens.", show_default=False)],
    model: Annotated[str, typer.Option("--model", "-m", help="A model's name, a hub id or a folder.")] = "twin-v0.2",
    text: Annotated[
        Path | None,
        typer.Option(help="Learn on this UTF-8 text. Default: on what the model itself writes.", show_default=False),
    ] = None,
    tokens: Annotated[int, typer.Option(min=64, help="Tokens to learn on; a tenth of them is held out.")] = 32768,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the optimizer.")] = 120,
    seed: Annotated[int, typer.Option(help="Of the model's own text and of the order.")] = 0,
    revision: Revision = None,
    dtype: Dtype = "auto",
    device_map: DeviceMap = None,
    quantization: Quantization = None,
    local_files_only: LocalOnly = False,
) -> None:
    """Train a tuned lens: a translator for every layer, after which the logit lens reads early layers better.

    The file is written when the training is over; Ctrl-C ends it and writes nothing.
    """
    resolve(model)
    files.writable(out)
    words = None if text is None else files.question(None, str(text))

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from workbench.capture.tuned_training import TunedLensTraining, divided
    from workbench.cli import summary

    console = summary.console()
    chosen = loaded(model, revision, dtype, device_map, quantization, local_files_only)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        if words is None:
            sequences, source = written(chosen, tokens, seed, bar), {"kind": "the model's own samples"}
        else:
            assert text is not None
            sequences = cut(list(chosen.encode(words).ids)[:tokens])
            digest = hashlib.sha256(words.encode()).hexdigest()
            source = {"kind": "file", "name": text.name[:200], "sha256": digest}
        training = TunedLensTraining(chosen.loaded, *divided(sequences), source, steps=steps, seed=seed)
        task = bar.add_task("training", total=steps)
        for progress in training:
            mean = sum(progress.losses) / len(progress.losses)
            bar.update(task, completed=progress.step, description=f"training, KL to the last layer {mean:.3f} nats")
    assert training.lens is not None
    with files.whole(out) as name:
        training.lens.save(name)
    report(console, training.lens.record)
    console.print(f"Written {out} ({out.stat().st_size / 1024:,.0f} KiB)", markup=False, highlight=False)


def written(model: Model, tokens: int, seed: int, bar: Progress) -> list[list[int]]:
    """About ``tokens`` ids that the model writes itself, in sequences."""
    from workbench.generation.samples import samples

    length = max(2, min(LENGTH, model.context, tokens // 8))
    task = bar.add_task("writing text to learn on", total=tokens)
    sequences: list[list[int]] = []
    for part in samples(model.loaded.module, model.tokenizer.bos_id, tokens, length, seed):
        sequences += part
        bar.update(task, completed=min(tokens, len(sequences) * length))
    bar.remove_task(task)
    return sequences


def cut(ids: list[int]) -> list[list[int]]:
    """``ids``, the first of them BOS, in sequences that each begin with it; WorkbenchError when they are too few."""
    if len(ids) < 64:
        raise WorkbenchError(
            f"The text has {len(ids)} tokens", expected="at least 64, better 100,000", remedy="Give a longer text"
        )
    length = min(LENGTH, len(ids) // 8)
    return [ids[:1] + ids[start : start + length - 1] for start in range(1, len(ids), length - 1)]


def report(console: Console, record: TunedLensRecord) -> None:
    """The divergence of every layer before and after, on the text held out."""
    from workbench.cli import summary

    summary.heading(console, f"Tuned lens of {record.model}, {record.tokens:,} tokens in {record.steps} steps")
    table = summary.table_of("layers done", "plain lens", "tuned lens")
    for layer, (before, after) in enumerate(zip(record.loss_before, record.loss_after, strict=True)):
        table.add_row("embedding" if layer == 0 else str(layer), f"{before:.3f}", f"{after:.3f}")
    console.print("KL divergence of the last layer from each, in nats, on text held out.", style="dim")
    console.print(table)
