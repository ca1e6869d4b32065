"""`workbench cache`: what a key-value cache that keeps less costs and loses, policy by policy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli import files, named, options
from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    from rich.console import Console

    from workbench.cache_lab.result import CacheFindings
    from workbench.cache_lab.study import CacheStudy
    from workbench.model import Model

EXAMPLES = """Examples:

`workbench cache --policy rolling=256 --policy sinks=4+252 --policy snapkv=256`

`workbench cache twin-v0.1 --policy received=25% --policy 4bit --task passkey --length 1024 --csv cache.csv`

`workbench cache v0.2 --policy snapkv=1024 --policy 4bit --text book.txt --length 16384 --dtype bfloat16`"""


def cache(
    model: Annotated[str, typer.Argument(help="A name, a hub id or a folder; with @window=none, that switch.")] = (
        "twin-v0.2"
    ),
    policy: Annotated[
        list[str] | None,
        typer.Option(
            "--policy", "-p", show_default=False,
            help="rolling=256, sinks=4+252, received=256, norm=256, snapkv=256 (tokens, or a share such as 25%), 8bit, "
            "4bit; quanto=4 or hqq=8 where that package is. Give several. Default: each of ours, with a quarter of the "
            "tokens. The full cache is always measured.",
        ),
    ] = None,
    text: Annotated[
        list[Path] | None,
        typer.Option(
            help="A text in UTF-8 (.jsonl: one in each line); give several. Default: texts of the twins' language.",
            show_default=False,
        ),
    ] = None,
    task: Annotated[str, typer.Option(help="Questions: a task's name, a JSONL file, or none.")] = "needle",
    length: Annotated[
        int | None,
        typer.Option(
            help="Tokens of each question, its answer's included, and of each --text's prompt. Default: 1024, and all "
            "of a text but what follows.", show_default=False,
        ),
    ] = None,
    cases: Annotated[int, typer.Option(min=1, max=10_000, help="Questions, at depths from first to last.")] = 8,
    follow: Annotated[int, typer.Option(help="Tokens read on behind the prompt of a text.")] = 128,
    seed: Annotated[int, typer.Option(help="Of questions and filler.")] = 0,
    csv: Annotated[Path | None, typer.Option(help="Write the table as CSV.", show_default=False)] = None,
    kept: Annotated[
        Path | None, typer.Option(help="Write which tokens each policy kept as JSON.", show_default=False)
    ] = None,
    policies: Annotated[bool, typer.Option("--policies", help="List the policies and end.")] = False,
    dtype: options.Dtype = "auto",
    device_map: options.DeviceMap = None,
    quantization: options.Quantization = None,
    local_files_only: options.LocalOnly = False,
) -> None:  # fmt: skip
    """Let caches drop or round what they hold, and measure bytes, loss of the text that follows, and retrieval.

    Ctrl-C ends it and shows what is measured.
    """
    for path in (csv, kept):
        files.writable(path)
    texts = [one for path in text for one in files.prompts(path)] if text else None

    from workbench.cache_lab.policies import EXAMPLES as SAID
    from workbench.cache_lab.policies import OPTIONAL, POLICIES
    from workbench.cache_lab.policies import policy as read
    from workbench.cache_lab.study import DEFAULT, cache_study
    from workbench.cli import summary

    console = summary.console()
    if policies:
        for name, one in POLICIES.items():
            console.print(f"{SAID[name]:14} {one.title}", highlight=False)
        for name, other in OPTIONAL.items():
            lacking = "" if other.installed() else ", which is not installed"
            console.print(f"{SAID[name]:14} {other.title}{lacking}", highlight=False)
        return
    wanted = [read(one) for one in policy or DEFAULT]
    (loaded,) = named.loaded([model], dtype, device_map, quantization, local_files_only)
    items = _items(loaded, task, min(length or 1024, loaded.context) if length is None else length, cases, seed)
    if texts is None:
        study = cache_study(loaded, wanted, texts=_shipped(loaded, follow), items=items, follow=follow)
    else:
        study = cache_study(loaded, wanted, texts=texts, items=items, length=length, follow=follow)
    summary.heading(console, f"{loaded.name}: {_counted(study)}")
    interrupted = run(study, console)
    found = study.result
    show(found, console)
    if csv is not None:
        with files.whole(csv) as target:
            found.save_csv(target)
        console.print(f"Written {csv}", markup=False, highlight=False)
    if kept is not None:
        with files.whole(kept) as target:
            target.write_text(json.dumps(_kept(found)), encoding="utf-8")
        console.print(f"Written {kept}", markup=False, highlight=False)
    if interrupted:
        raise typer.Exit(130)


def run(study: CacheStudy, console: Console) -> bool:
    """All of it, with a bar at a terminal; True when it was interrupted."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        line = bar.add_task("", total=study.count)
        try:
            for told in study:
                left = "" if told.seconds_left is None else f", {told.seconds_left:.0f} s left"
                bar.update(line, completed=told.done, description=told.said + left)
        except KeyboardInterrupt:
            return True
    return False


def show(found: CacheFindings, console: Console) -> None:
    """Bytes, loss and retrieval by policy."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = found.table
    if table.empty:
        console.print("Nothing was measured yet.")
        return
    shown = Table("policy", show_edge=False, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for title in ("tokens", "KiB", "of full", "loss", "more", "KL", "right", "95 %", "answer"):
        shown.add_column(title, justify="right", no_wrap=True)
    for row in table.reset_index().to_dict("records"):
        sure = "*" if row["low"] > 0 or row["high"] < 0 else ""
        read, asked = ("–",) * 3, ("–",) * 3
        if row["texts"]:
            read = (f"{row['loss']:.3f}", f"{row['loss_more']:+.3f}{sure}", f"{row['kl']:.4f}")
        if n := row["questions"]:
            between = f"{row['right_low']:.2f}-{row['right_high']:.2f}"
            asked = (f"{row['right'] * n:.0f} of {n}", between, f"{row['logprob']:.3f}")
        stored = (f"{row['tokens']:.0f}", f"{row['bytes'] / 1024:,.0f}", f"{100 * row['of_full']:.0f} %")
        shown.add_row(Text(str(row["policy"])), *stored, *read, *asked)
    console.print(shown)
    agree = "agree" if bool((table["bytes"] == table["predicted"]).all()) else "DIFFER"
    console.print(
        "tokens: stored in each layer and key-value head behind the prompt. loss and KL: nats a token of the text that "
        "follows; more: than under the full cache, * where the 95 % interval over texts leaves 0 out. answer: "
        f"log-probability of the expected one, nats a token. Bytes foretold and stored {agree}.",
        style="dim", highlight=False,
    )  # fmt: skip


def _items(model: Model, task: str, length: int, cases: int, seed: int) -> list[Any]:
    """Questions at depths from the beginning to the end."""
    from workbench.context.spacing import depths
    from workbench.context.tasks import task as named_task

    if task == "none":
        return []
    made = named_task(task)
    return [made.make(model.tokenizer, length, depth, case, seed) for case, depth in enumerate(depths(cases))]


def _shipped(model: Model, follow: int) -> list[Any]:
    """Four of the shipped texts, cut where they are longer than the model has room for."""
    from workbench.context.loss import shipped_texts

    found = [one for one in shipped_texts() if len(model.encode(one).ids) > follow + 1][:4]
    if not found:
        raise WorkbenchError(f"No shipped text has more than {follow} tokens to follow", expected="fewer, or a --text")
    return found


def _counted(study: CacheStudy) -> str:
    texts, asked = study.texts, study.questions
    return " and ".join(f"{n} {one if n == 1 else one + 's'}" for n, one in ((texts, "text"), (asked, "question")) if n)


def _kept(found: CacheFindings) -> dict[str, Any]:
    return {
        "provenance": dict(found.provenance),
        "prompts": {name: {"ids": list(one.ids), "pieces": list(one.pieces)} for name, one in found.prompts.items()},
        "kept": [
            {"policy": policy, "prompt": prompt, "layers": [rows.tolist() for rows in one.positions]}
            for (policy, prompt), one in found.kept.items()
        ],
    }
