"""`workbench suite`: a suite of prompts through one or more models, and what they answered."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli import files, options
from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    from rich.console import Console

    from workbench.behaviour.answers import Answers

RUN_EXAMPLES = """Examples:

`workbench suite run twins --out answers`

`workbench suite run mt_bench_question.jsonl --model v0.1 --model v0.2 --out answers --max-new-tokens 512`"""
SHOW_EXAMPLES = """Examples: `workbench suite show answers` · `workbench suite show answers --item "pairs 1"`"""

app = typer.Typer(name="suite", help="Run suites of prompts and look at the answers.", no_args_is_help=True)


@app.callback()
def suite() -> None:
    """Run suites of prompts and look at the answers."""


@app.command(epilog=RUN_EXAMPLES)
def run(
    suite: Annotated[str, typer.Argument(help="A JSONL file (MT-Bench's format or a plain one), behaviour or twins.")],
    out: Annotated[Path, typer.Option(help="The folder of the answers; what it holds is not done again.")],
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="A name, a hub id or a folder; give several. Default: the twins.",
                     show_default=False),
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Tokens of an answer at most.")] = 256,
    temperature: Annotated[float, typer.Option(help="0 takes the most likely token.")] = 0.0,
    top_p: Annotated[float, typer.Option(help="Sample from the most likely tokens of this share.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the sampling.")] = 0,
    samples: Annotated[int, typer.Option(min=1, help="Answers to an item, each with the next seed.")] = 1,
    system: Annotated[str, typer.Option(help="A text before every conversation.", show_default=False)] = "",
    safe_prompt: Annotated[
        bool, typer.Option("--safe-prompt", help="Mistral's safe prompt before every conversation.")
    ] = False,
    batch: Annotated[int, typer.Option(min=1, help="Items that a model answers before the next model has them.")] = 8,
    limit: Annotated[
        int | None, typer.Option(min=1, help="The first so many items only, for now.", show_default=False)
    ] = None,
    category: Annotated[
        list[str] | None, typer.Option(help="Items of this category only; give several.", show_default=False)
    ] = None,
    dtype: options.Dtype = "auto",
    device_map: options.DeviceMap = None,
    quantization: options.Quantization = None,
    local_files_only: options.LocalOnly = False,
) -> None:  # fmt: skip
    """Answer every item with every model, into a folder.

    Each answer is on the disk before the next begins. Ctrl-C ends it; the same command goes on where it was.
    """
    from workbench.behaviour.suite import read_suite

    found = read_suite(suite)
    for name in category or ():
        if name not in found.categories:
            raise WorkbenchError(
                f"{found.name} has no category {name[:60]!r}", expected=" or ".join(filter(None, found.categories))
            )
    chosen = [item.id for item in found.items if not category or item.category in category][:limit]

    import workbench as wb
    from workbench.cli import summary

    sampling = wb.Sampling(max_new_tokens, temperature, top_p, seed=seed)
    models = [
        options.loaded(name, None, dtype, device_map, quantization, local_files_only)
        for name in model or ("twin-v0.1", "twin-v0.2")
    ]
    console = summary.console()
    title = f"{found.name}: {len(chosen)} items, {' and '.join(one.name for one in models)}"
    summary.heading(console, title + (", safe prompt" if safe_prompt else ""))
    with _ctrl_c() as stop:
        steps = wb.run_suite(
            models,
            found,
            out,
            sampling=sampling,
            stop=stop,
            batch=batch,
            items=chosen,
            samples=samples,
            system=system,
            safe_prompt=safe_prompt,
        )
        done, of, already = _followed(steps, console)
    if already:
        console.print(f"{already} answers were there already", style="dim", highlight=False)
    told = wb.Answers.read(out)
    if done < of:
        console.print(
            f"Stopped: {done} of {of} answers are kept in {out}. The same command goes on from here.",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip
        raise typer.Exit(130)
    _scores(told, console)
    console.print(f"{done} answers are in {out}: workbench suite show {out}", markup=False, highlight=False)


@app.command(epilog=SHOW_EXAMPLES)
def show(
    folder: Annotated[Path, typer.Argument(help="A folder of `workbench suite run`.", show_default=False)],
    item: Annotated[
        str | None, typer.Option(help="Show the answers to this item, by its id.", show_default=False)
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write all answers as CSV.", show_default=False)] = None,
    jsonl: Annotated[Path | None, typer.Option(help="Write all answers as JSONL.", show_default=False)] = None,
) -> None:
    """Show scores and answers of a folder; no model is loaded."""
    for path in (csv, jsonl):
        files.writable(path)
    from workbench.behaviour.answers import Answers
    from workbench.cli import summary

    found, console = Answers.read(folder), summary.console()
    if item is not None:
        _item(found, item, console)
    else:
        summary.heading(console, found.suite.name + (", with the safe prompt" if found.safe_prompt else ""))
        _answers(found, console)
        _scores(found, console)
    for target, write in ((csv, found.to_csv), (jsonl, found.to_jsonl)):
        if target is not None:
            with files.whole(target) as name:
                write(name)
            console.print(f"Written {target}", markup=False, highlight=False)


@contextmanager
def _ctrl_c() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets; the second ends the process as ever."""
    stop = threading.Event()
    before = signal.getsignal(signal.SIGINT)

    def heard(number: int, frame: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    signal.signal(signal.SIGINT, heard)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def _followed(steps: Iterator[object], console: Console) -> tuple[int, int, int]:
    """Show the run as a bar; how many answers are kept, of how many, and how many there were before."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
    from rich.text import Text

    from workbench.behaviour.run import Progress as Step
    from workbench.cli import summary

    done = of = already = 0
    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[said]}", markup=False))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None, said="")
        for step in steps:
            assert isinstance(step, Step)
            done, of, already = step.done, step.of, step.already
            left = "" if step.seconds_left is None else f", {_duration(step.seconds_left)} left"
            now = f"{step.model}: {step.item}, {step.tokens} tokens" if step.item else ""
            said = summary.visible(f"{done} of {of}{left}  {now}"[:100]).plain.replace("\n", " ")
            bar.update(task, total=of, completed=done, said=Text(said).plain)
    return done, of, already


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _scores(found: Answers, console: Console) -> None:
    from rich.table import Column, Table
    from rich.text import Text

    from workbench.cli import summary

    scores = found.scores()
    if scores["n"].any():
        table = Table("passed", *(Column(summary.visible(name)) for name in found.models), show_edge=False)
        for category in scores[scores["n"] > 0].index.get_level_values("category").unique():
            cells = []
            for model in found.models:
                row = scores.loc[(model, category)]
                text = f"{row.passed:.0f} of {row.n:.0f}  {row.low:.0%} to {row.high:.0%}" if row.n else "–"
                cells.append(Text(text, "bold" if category == "all" else ""))
            table.add_row(summary.visible(str(category)), *cells)
        console.print(table)
        console.print("with Wilson's 95 % intervals", style="dim", highlight=False)
    console.print(found.sentence, markup=False, highlight=False, soft_wrap=True)


def _answers(found: Answers, console: Console) -> None:
    """Every item in a line: its id, the last prompt, and the models' last answers, cut."""
    from rich.table import Column, Table
    from rich.text import Text

    from workbench.cli import summary

    table = Table("item", "asked last", *(Column(summary.visible(name)) for name in found.models), show_edge=False)
    for one in found.side_by_side():
        cells = []
        for model in found.models:
            answer = one["answers"].get(model)
            if answer is None:
                cells.append(Text("not yet", "dim"))
                continue
            mark = {True: "✓ ", False: "✗ ", None: ""}[answer["passed"]]
            cells.append(Text(mark + _cut(answer["error"] or answer["answers"][-1]),
                              {True: "green", False: "red", None: ""}[answer["passed"]]))  # fmt: skip
        name = one["item"] + (f" / {one['sample']}" if one["sample"] else "")
        table.add_row(summary.visible(name), _cut(one["turns"][-1]), *cells)
    console.print(table)


def _cut(text: str, most: int = 90) -> str:
    """``text`` as one line that is no longer than ``most``: the end of a long one tells what is asked."""
    from workbench.cli import summary

    line = " ".join(summary.visible(text).plain.split())
    return line if len(line) <= most else f"{line[: most // 2]} … {line[-most // 2 + 3 :]}"


def _item(found: Answers, item: str, console: Console) -> None:
    """All turns and answers of one item."""
    from rich.text import Text

    from workbench.cli import summary

    rows = [one for one in found.side_by_side() if one["item"] == item]
    if not rows:
        raise WorkbenchError(f"There are no answers to {item[:60]!r} here", expected="the id of an answered item")
    for one in rows:
        for turn, prompt in enumerate(one["turns"]):
            summary.heading(
                console, f"{item}, turn {turn + 1}" + (f", sample {one['sample']}" if len(rows) > 1 else "")
            )
            console.print(summary.visible(prompt), soft_wrap=True)
            for model, answer in one["answers"].items():
                console.print(Text(f"\n{model}", "bold"))
                said = answer["answers"][turn] if turn < len(answer["answers"]) else ""
                console.print(summary.visible(said), soft_wrap=True)
        for model, answer in one["answers"].items():
            verdict = {True: "passed", False: "; ".join(answer["why"]), None: "nothing is checked"}[answer["passed"]]
            console.print(Text(f"\n{model}: {answer['error'] or verdict}", "dim"), soft_wrap=True)
