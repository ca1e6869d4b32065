"""`workbench prompt`: the reference ids of a conversation beside the chat templates, and what each template costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.chat.conversation import MAX_FILE_BYTES, Conversation
from workbench.cli import files
from workbench.cli.options import DeviceMap, Dtype, LocalOnly, Quantization, Revision, loaded
from workbench.errors import FileFormatError, PromptError
from workbench.models.registry import resolve

if TYPE_CHECKING:
    from workbench.model import Model

EXAMPLES = """Examples:

`workbench prompt --conversation chat.json --model v0.2 --csv forms.csv`

`workbench prompt --loss --conversation chats.jsonl --model v0.2 --dtype bfloat16 --device-map auto`"""


def prompt(
    text: Annotated[str | None, typer.Option("--prompt", "-p", help="One question.", show_default=False)] = None,
    conversation: Annotated[
        Path | None,
        typer.Option(
            "--conversation",
            help="An exported conversation, or a JSON list of messages; with --loss also many in a .jsonl, "
            '{"messages": [...]} a line. With --loss alone: held-out chats of the twins\' language.',
            show_default=False,
        ),
    ] = None,
    model: Annotated[str, typer.Option("--model", "-m", help="A model's name, a hub id or a folder.")] = "twin-v0.2",
    loss: Annotated[bool, typer.Option("--loss", help="Also what each form costs the answers, in nats.")] = False,
    most: Annotated[int, typer.Option(min=0, help="At most so many of many conversations, evenly chosen; 0: all.")] = 0,
    csv: Annotated[
        Path | None, typer.Option(help="Write the forms as CSV, with --loss their costs.", show_default=False)
    ] = None,
    revision: Revision = None,
    dtype: Dtype = "auto",
    device_map: DeviceMap = None,
    quantization: Quantization = None,
    local_files_only: LocalOnly = False,
) -> None:
    """Show a conversation's reference ids beside chat templates A, B, C and the checkpoint's own, and what each costs.

    Over many conversations Ctrl-C ends it and shows what is measured.
    """
    several = conversation.suffix == ".jsonl" if conversation is not None else loss and text is None
    if several and text is None:
        if not loss:
            raise PromptError(f"{conversation} may hold many conversations", remedy="Add --loss, or give one as .json")
        files.writable(csv)
        _many(loaded(model, revision, dtype, device_map, quantization, local_files_only), conversation, csv, most)
        return
    if (text is None) == (conversation is None):
        raise PromptError("There is no conversation, or there are two", expected="either --prompt or --conversation")
    messages = read(conversation) if conversation is not None else files.question(text, None)
    resolve(model)
    files.writable(csv)
    from rich.table import Table
    from rich.text import Text

    from workbench.cli import summary
    from workbench.facts.prompt_lab import LOSS_NOTE, prompt_lab

    console = summary.console()
    chosen = loaded(model, revision, dtype, device_map, quantization, local_files_only)
    found = prompt_lab(chosen, messages, loss=loss)
    summary.heading(console, f"{chosen.name}: {len(found.forms[0].ids)} tokens as {found.forms[0].name}")
    console.print(Text(" ".join(found.forms[0].pieces)), soft_wrap=True)
    table = Table("form", "as the reference", "tokens", "first differs at", "piece there", "the reference's")
    for form in found.forms:
        agrees = {True: "yes", False: "no", None: "refused" if form.refused else "–"}[form.agrees]
        at = "" if form.first_difference is None else str(form.first_difference)
        there = [Text(repr(piece) if piece else "") for piece in form.there]
        table.add_row(Text(form.name), agrees, str(len(form.ids) or ""), at, *there)
    console.print(table)
    for sentence in dict.fromkeys(form.refused for form in found.forms if form.refused):
        who = ", ".join(form.name for form in found.forms if form.refused == sentence)
        console.print(Text(f"{who}: {sentence}"), soft_wrap=True)
    for sentence in [*found.warnings, found.note]:
        if sentence:
            console.print(Text(sentence), soft_wrap=True)
    if loss and found.loss is None:
        console.print("There is no answer in the conversation, so no loss to compare.")
    if found.loss is not None:
        costs = Table("form", "answer", "tokens", "log-probability (nats)", "against the reference")
        for row in found.loss.to_dict("records"):
            answer = row["answer"] if isinstance(row["answer"], str) else f"message {row['answer']}"
            less = "-" if found.note else f"{row['difference']:+.3f}"  # without a reference there is nothing to lose
            costs.add_row(row["form"], answer, str(row["tokens"]), f"{row['logprob']:.3f}", less)
        console.print(costs)
        console.print(LOSS_NOTE, soft_wrap=True)
    if csv is not None:
        frame = found.table()
        frame = frame if found.loss is None else frame.merge(found.loss, on="form", how="left")
        with files.whole(csv) as name:
            frame.to_csv(name, index=False)
        console.print(f"Wrote {csv}", highlight=False, markup=False)


def _many(model: Model, path: Path | None, csv: Path | None, most: int) -> None:
    """What each form costs over the conversations of a file, None for the shipped ones, under a bar; 0 is all."""
    from rich.progress import Progress as Bar
    from rich.table import Table
    from rich.text import Text

    from workbench.cli import summary
    from workbench.facts.prompt_costs import SCORED, conversations_of, prompt_costs
    from workbench.facts.template_loss import LOSS_NOTE

    read = [{"id": name, "messages": [one.as_dict() for one in found]} for name, found in conversations_of(path)]
    chosen = [read[i * len(read) // most] for i in range(most)] if 0 < most < len(read) else read
    console, run, interrupted = summary.console(), prompt_costs(model, chosen), False
    try:
        with Bar(console=console, transient=True) as bar:
            task = bar.add_task("conversations", total=None)
            for done, of in run:
                bar.update(task, completed=done, total=of)
    except KeyboardInterrupt:
        interrupted = True
    found = run.result
    summary.heading(console, f"{model.name}: nats against the reference, {found.measured} of {found.planned} chats")
    numbers, each = found.table(), found.table(by_turns=True)["nats"].to_dict()
    turns = sorted(set(found.by_conversation["turns"]))
    columns = [f"{count} turns" for count in turns] if len(turns) > 1 else []
    table = Table("form", "scored", "chats", "nats a chat", "95 % interval", *columns, show_edge=False)
    for row in numbers.reset_index().to_dict("records"):
        form, scored = str(row["form"]), str(row["scored"])
        if form != "reference":
            interval = f"{row['low']:+.3f} to {row['high']:+.3f}" if row["low"] == row["low"] else "-"
            means = [each.get((form, scored, count)) for count in turns] if columns else []
            shown = ["-" if mean is None else f"{mean:+.3f}" for mean in means]
            table.add_row(Text(form), scored, str(row["conversations"]), f"{row['nats']:+.3f}", interval, *shown)
    console.print(table)
    for name, meaning in SCORED.items():
        console.print(f"{name}: {meaning}.", style="dim", highlight=False)
    console.print(LOSS_NOTE, style="dim", soft_wrap=True, highlight=False)
    for sentence in found.left_out:
        console.print(Text(f"Left out. {sentence}"), soft_wrap=True)
    if csv is not None:
        with files.whole(csv) as whole:
            found.by_conversation.to_csv(whole, index=False)
        console.print(f"Wrote {csv}", highlight=False, markup=False)
    if interrupted:
        raise typer.Exit(130)


def read(path: Path) -> Any:
    """The messages in an exported conversation or a JSON list; FileFormatError or PromptError for anything else."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read ({error.strerror})", expected="a JSON file") from None
    if len(raw) > MAX_FILE_BYTES:
        raise FileFormatError(f"{path} is too large", expected=f"at most {MAX_FILE_BYTES} bytes")
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, list):
        return Conversation.of(document)
    return Conversation.from_json(raw)
