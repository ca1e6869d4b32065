"""`workbench twins`: train the embedded pair from nothing, and evaluate it."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

from workbench.errors import CheckpointError, WorkbenchError
from workbench.models.registry import assets_folder

app = typer.Typer(
    name="twins",
    help="Train and evaluate the embedded pair, two tiny Mistral models.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
)
VERSIONS = ("v0.1", "v0.2")


def default_assets() -> Path:
    """The folder of the shipped pair."""
    return assets_folder() / "twins"


def write_card(folder: Path, found: dict[str, Any]) -> None:
    """Write the model card of an evaluation beside the weights, with the comparisons recorded for the pair."""
    from .card import card

    comparisons = folder.parent / "comparisons.json"
    extra = json.loads(comparisons.read_text()) if comparisons.is_file() else {}
    (folder / "README.md").write_text(card("v0.1" if found["model"]["window"] else "v0.2", found, extra))


def _fail(error: WorkbenchError) -> typer.Exit:
    Console(stderr=True).print(str(error), style="red", highlight=False)
    return typer.Exit(error.exit_code)


@app.command()
def train(
    output: Annotated[Path, typer.Option(help="Folder for logs, checkpoints and the trained pair.")] = Path(
        "runs/twins"
    ),
    version: Annotated[str, typer.Option(help="v0.1, v0.2 (continues v0.1), or both.")] = "both",
    recipe: Annotated[
        str, typer.Option(help="muon (the pair's own), classical (AdamW, cosine) or smoke (seconds).")
    ] = "muon",
    seed: Annotated[int, typer.Option(help="Seed of weights and data.")] = 0,
    start: Annotated[
        Path | None, typer.Option(help="Checkpoint folder to continue from, for v0.2 and classical.")
    ] = None,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
    mixed_precision: Annotated[str, typer.Option(help="no, bf16 or fp16 (GPUs), as accelerate names it.")] = "no",
    vocabulary: Annotated[
        str | None,
        typer.Option(help="compact (a sampled softmax, one process) or full; the recipe's own when left out."),
    ] = None,
    prior: Annotated[
        bool | None, typer.Option("--prior/--no-prior", help="Plant the positional prior at the start.")
    ] = None,
    compiled: Annotated[
        bool, typer.Option("--compile/--no-compile", help="Compile the layers (needs a C compiler).")
    ] = True,
    export_to: Annotated[Path | None, typer.Option("--export", help="Also write the pair as it ships, here.")] = None,
) -> None:
    """Train the pair. A killed run goes on where its last checkpoint was when the same command is given again."""
    import torch

    from .pipeline import train_pair

    torch.set_num_threads(threads)
    console = Console()
    try:
        for name, line in train_pair(
            output, version, recipe, seed, start=start, mixed_precision=mixed_precision, prior=prior,
            vocabulary=vocabulary, compiled=compiled, export_to=export_to,
        ):  # fmt: skip
            accuracy = " ".join(f"{task} {share:.2f}" for task, share in line.get("accuracy", {}).items())
            console.print(
                f"[bold]{name}[/] step {line['step']} ({line['phase']}) loss {line['loss']:.3f} "
                f"{line['tokens_per_second']} tokens/s {line['minutes']} min  {accuracy}",
                highlight=False,
            )
    except WorkbenchError as error:
        raise _fail(error) from None


@app.command()
def evaluate(
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Checkpoint folders; the shipped pair when left out.")
    ] = None,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
    quick: Annotated[bool, typer.Option(help="Few cases, lengths to 512 tokens; writes no card.")] = False,
    recorded: Annotated[bool, typer.Option(help="Only print the tables of the last evaluation.")] = False,
) -> None:
    """Evaluate twins, print the tables, and write evaluation.json and README.md (the model card) beside the weights."""
    import torch

    from .card import show
    from .evaluation import Effort, evaluate_folder

    torch.set_num_threads(threads)
    console = Console()
    try:
        for folder in folders or [default_assets() / version for version in VERSIONS]:
            if not (folder / "model.safetensors").is_file():
                raise CheckpointError(
                    f"{folder} holds no checkpoint",
                    expected="a folder with config.json and model.safetensors",
                    remedy="Train one with: workbench twins train --export FOLDER",
                )
            console.rule(str(folder))
            if recorded:
                if not (folder / "evaluation.json").is_file():
                    raise CheckpointError(f"{folder} has not been evaluated", remedy="Leave out --recorded")
                found = json.loads((folder / "evaluation.json").read_text())
                show(found, console)
                continue
            effort = Effort(cases=24, needles=3, lens=8, lengths=(128, 256, 512)) if quick else Effort()
            columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
            with Bar(*columns, console=console, transient=True) as bar:
                task = bar.add_task("loading", total=1.0)
                steps = evaluate_folder(folder, effort)
                try:
                    while True:
                        what, done = next(steps)
                        bar.update(task, description=what, completed=done)
                except StopIteration as stop:
                    found = stop.value
            show(found, console)
            if not quick:
                (folder / "evaluation.json").write_text(json.dumps(found, indent=1) + "\n")
                write_card(folder, found)
                console.print(f"Wrote {folder / 'README.md'} and evaluation.json.", highlight=False)
    except WorkbenchError as error:
        raise _fail(error) from None


@app.command()
def prompts(
    output: Annotated[Path | None, typer.Option(help="Folder to write to; that of the shipped ones.")] = None,
    seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 7,
) -> None:
    """Write the held-out texts, questions and chats of `workbench factorial` and `prompt --loss`, as JSONL."""
    from .prompt_sets import write

    folder = output or assets_folder() / "prompts"
    if not folder.is_dir():
        raise _fail(CheckpointError(f"There is no folder {folder}", expected="an existing folder"))
    for path in write(folder, seed):
        Console().print(f"Wrote {path}", highlight=False)


@app.command()
def register(
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Checkpoint folders; the shipped pair when left out.")
    ] = None,
) -> None:
    """Write tensors.json beside the weights, hashes by which `workbench facts` names an altered tensor."""
    from workbench.models.checkpoint import open_checkpoint
    from workbench.models.tensor_hashes import read_tensors, write_register

    try:
        for folder in folders or [default_assets() / version for version in VERSIONS]:
            path = write_register(folder, read_tensors(open_checkpoint(folder).files))
            Console().print(f"Wrote {path}", highlight=False, soft_wrap=True)
    except WorkbenchError as error:
        raise _fail(error) from None
