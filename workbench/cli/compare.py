"""`workbench compare`: what changed between two models, and what that does to an answer or to texts they read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli import files, options
from workbench.errors import CaptureError, ComparisonError, PromptError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from rich.console import Console

    from workbench.comparison.comparison import Comparison
    from workbench.comparison.text_result import TextComparison

EXAMPLES = """Examples:

`workbench compare --prompt "What is the capital of France?" --html difference.html`

`workbench compare twin-v0.2 --theta 1e4 --text one.txt --text more.jsonl --csv texts.csv`

`workbench compare v0.1 v0.2 --weights --dtype bfloat16 --device-map auto`"""


def compare(
    a: Annotated[str, typer.Argument(help="A name, a hub id or a folder.")] = "twin-v0.1",
    b: Annotated[
        str | None,
        typer.Argument(
            help="What it is compared with. Default: twin-v0.2; with --window or --theta, A itself under them.",
            show_default=False,
        ),
    ] = None,
    prompt: Annotated[
        str | None, typer.Option("--prompt", "-p", help="A question that both answer.", show_default=False)
    ] = None,
    text: Annotated[
        list[Path] | None,
        typer.Option(help="A text that both read (.jsonl: one in each line); give several.", show_default=False),
    ] = None,
    weights: Annotated[bool, typer.Option("--weights", help="Measure the distance of every tensor.")] = False,
    max_new_tokens: Annotated[int, typer.Option(help="Tokens of an answer at most.")] = 64,
    window: options.Window = None,
    theta: options.Theta = None,
    html: Annotated[
        Path | None, typer.Option(help="Write the answers or texts as one HTML page.", show_default=False)
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(help="Write the table of the answer, of the texts, of the tensors, or else of the changes.",
                     show_default=False),
    ] = None,
    dtype: options.Dtype = "auto",
    device_map: options.DeviceMap = None,
    quantization: options.Quantization = None,
    local_files_only: options.LocalOnly = False,
) -> None:  # fmt: skip
    """Say everything that differs between two models, and compare their answers or how likely they find texts.

    --window and --theta set switches of B: a model is compared with its switched self when B is left out.
    """
    for path in (html, csv):
        files.writable(path)
    if prompt is not None and text:
        raise PromptError("A prompt and texts were given", expected="--prompt or --text", remedy="Run it twice")
    if html is not None and prompt is None and not text:
        raise PromptError("There is nothing to write into --html", expected="--prompt or --text beside it")
    if prompt is not None and not prompt.strip():
        raise PromptError("the prompt is empty", expected="some text")
    texts = [one for path in text for one in files.texts(path)] if text else None
    switches = options.switches(window, theta)

    import workbench as wb
    from workbench.cli import summary
    from workbench.comparison.changes import changing
    from workbench.comparison.texts import comparing_texts

    other = b or (a if switches else "twin-v0.2")
    models = [options.loaded(a, None, dtype, device_map, quantization, local_files_only)]
    models.append(models[0] if other == a else options.loaded(other, None, dtype, device_map, quantization,
                                                              local_files_only))  # fmt: skip
    models[1] = models[1].switched(**switches)
    if models[0] is models[1]:
        raise ComparisonError(
            f"Both are {models[0].name}", expected="two models, or switches that differ from the model's own",
            remedy="Name another model, or give --window or --theta",
        )  # fmt: skip
    console = summary.console()
    summary.heading(console, f"What differs: {models[0].name} (a) and {models[1].name} (b)")
    found = _under_a_bar(lambda: changing(models[0], models[1], weights), console)
    for sentence in found.sentences:
        console.print(summary.visible(f"• {sentence}"), soft_wrap=True)
    if not weights and models[0].weights_hash != models[1].weights_hash:
        console.print("• the weights differ by their hash; --weights measures every tensor", soft_wrap=True)
    table = found.weights if weights else found.table().set_index("name")
    if weights and len(found.tensors):
        _groups(found.grouped, console)
    if prompt is not None:
        settings = wb.Sampling(max_new_tokens=max_new_tokens)
        answer = wb.compare(models[0], models[1], [{"role": "user", "content": prompt}], sampling=settings)
        _answer(answer, console)
        table = answer.table
        _page(console, html, answer.to_html)
    elif texts is not None:
        read = _under_a_bar(lambda: comparing_texts(models[0], models[1], texts), console)
        _read(read, console)
        table = read.table()
        _page(console, html, read.to_html)
    if csv is not None:
        with files.whole(csv) as name:
            table.to_csv(name)
        console.print(f"Written {csv}", markup=False, highlight=False)


def _under_a_bar(begin: Callable[[], Generator[Any, None, Any]], console: Console) -> Any:
    """The result of a generator of progress, a bar meanwhile."""
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn
    from rich.progress import Progress as Bar

    with Bar(BarColumn(), TaskProgressColumn(), TextColumn("{task.description}", markup=False), console=console,
             transient=True) as bar:  # fmt: skip
        steps, task = begin(), bar.add_task("", total=None)
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                return end.value
            bar.update(task, completed=step.done, total=step.total, description=step.said)


def _page(console: Console, path: Path | None, write: Callable[[Path], object]) -> None:
    if path is not None:
        with files.whole(path) as name:
            write(name)
        console.print(f"Written {path} ({path.stat().st_size / 1024:,.0f} KiB)", markup=False, highlight=False)


def _groups(grouped: Any, console: Console) -> None:
    from rich.table import Table

    table = Table("layer", *grouped.columns, title="relative distance ||b - a|| / ||a||", show_edge=False)
    for layer, row in grouped.iterrows():
        table.add_row("–" if layer < 0 else str(layer), *("" if one != one else f"{one:.3g}" for one in row))
    console.print(table)


def _answer(found: Comparison, console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    from workbench.cli import summary

    summary.heading(console, "Answers")
    for side, run in (("a", found.a), ("b", found.b)):
        console.print(Text(f"{side}: ", "bold") + summary.visible(run.reply.strip()), soft_wrap=True)
    console.print(summary.visible(found.parting.sentence), soft_wrap=True)
    table = Table("in a", "in b", "token", "p in a", "p in b", "b less a (nats)", "KL(a || b)", "KL(b || a)",
                  show_edge=False)  # fmt: skip
    for row in found.table[found.table["reply"]].head(summary.TOKENS).to_dict("records"):
        places = ["" if _missing(row[one]) else str(row[one]) for one in ("position_a", "position_b")]
        numbers = [*(_p(row[one]) for one in ("logprob_a", "logprob_b")),
                   *(_n(row[one]) for one in ("difference", "kl_ab", "kl_ba"))]  # fmt: skip
        table.add_row(*places, Text(summary.piece(row["piece"])), *numbers)
    console.print(table)
    _inside(found, console)


def _inside(found: Comparison, console: Console) -> None:
    """Means over the text that both read alike, side by side and as difference."""
    from rich.table import Table

    rows: list[tuple[str, float, float]] = []
    try:
        statistics = found.attention.statistics()
        for name, words in (("distance", "attention reach, tokens back"), ("entropy", "attention entropy, nats"),
                            ("sink", "share on the first token")):  # fmt: skip
            one, other = (float(statistics[name, side].mean()) for side in "ab")
            rows.append((words, one, other))
    except (CaptureError, ComparisonError):
        pass
    try:
        lens = found.lens
        if lens.sizes["place"]:
            one, other = (float(lens[f"settled_{side}"].mean()) for side in "ab")
            rows.append(("layer at which the guess settles", one, other))
    except (CaptureError, ComparisonError):
        pass
    try:
        one, other = (float(found.kv_cache["bytes", side].sum()) for side in "ab")
        rows.append(("KV cache, bytes", one, other))
    except CaptureError:
        pass
    table = Table("mean over layers and heads", "a", "b", "b less a", show_edge=False)
    for words, one, other in rows:
        shape = ",.0f" if "bytes" in words else ".3f"
        table.add_row(words, f"{one:{shape}}", f"{other:{shape}}", f"{other - one:+{shape}}")
    console.print(table)


def _read(found: TextComparison, console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    from workbench.cli import summary

    summary.heading(console, "Texts")
    table = Table("text", "tokens", "loss in a", "loss in b", "b less a", "KL(a || b)", "KL(b || a)", show_edge=False)
    for name, row in found.table().iterrows():
        numbers = [_n(row[one]) for one in ("loss_a", "loss_b", "difference", "kl_ab", "kl_ba")]
        table.add_row(summary.visible(str(name)), f"{row.tokens:.0f}", *numbers)
    console.print(table)
    table = Table("read before", "tokens", "b less a", "95 %", "texts", show_edge=False)
    for name, row in found.positions.iterrows():
        bounds = "" if row.n < 2 else f"{_n(row.low)} to {_n(row.high)}"
        table.add_row(str(name), f"{row.tokens:.0f}", _n(row.difference), bounds, f"{row.n:.0f}")
    console.print(table)
    table = Table("text", "after", "token", "p in a", "p in b", show_edge=False)
    for one in found.largest(8).to_dict("records"):
        words = (
            summary.visible(str(one["text"])),
            summary.visible(one["before"][-36:]),
            Text(summary.piece(one["piece"])),
        )
        table.add_row(*words, _p(one["logprob_a"]), _p(one["logprob_b"]))
    console.print(table)
    console.print(summary.visible(found.sentence), soft_wrap=True)
    console.print("Intervals: t, over texts; each text counts once.", style="dim", highlight=False)


def _missing(value: Any) -> bool:
    import pandas as pd

    return bool(pd.isna(value))


def _p(logprob: float) -> str:
    from workbench.comparison.parting import probability

    return "" if logprob != logprob else probability(logprob)


def _n(value: float) -> str:
    return "" if value != value else f"{value:.3f}"
