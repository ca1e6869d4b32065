"""`workbench suite vote`, `votes` and `judge`: who is preferred in a folder of answers."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli import files, options

if TYPE_CHECKING:
    from workbench.behaviour.votes import Ballot

VOTE_EXAMPLES = """Keys: 1 left, 2 right, 3 both good, 0 both bad, s skip, q end. Each vote is kept at once; names stay
hidden until you ask with --result or `workbench suite votes FOLDER`."""
Folder = Annotated[Path, typer.Argument(help="A folder of `workbench suite run`.", show_default=False)]
Pair = Annotated[
    list[str] | None,
    typer.Option("--model", "-m", help="Two of its models. Default: the first two.", show_default=False),
]
KEYS = {"1": "left", "2": "right", "3": "both good", "0": "both bad"}
MEANING = "1: the first is better, 2: the second, 3: both good, 0: both bad, s: skip, q: end"


def vote(
    folder: Folder,
    model: Pair = None,
    voter: Annotated[str, typer.Option(help="Whose votes these are.")] = "me",
    seed: Annotated[int, typer.Option(min=0, help="Draws which model stands left.")] = 0,
    result: Annotated[bool, typer.Option("--result", help="Show names and result at the end.")] = False,
) -> None:
    """Vote blindly: two answers to each question, names hidden. Goes on where the voter stopped."""
    from workbench.behaviour.votes import Poll, Votes
    from workbench.cli import summary

    poll, console = Poll(folder, model, voter=voter, seed=seed), summary.console()
    waiting = poll.open()
    if poll.same:
        console.print(f"{poll.same} pairs are the same to the letter and are not asked.", highlight=False)
    if waiting:
        console.print(MEANING, style="dim", highlight=False)
    for count, ballot in enumerate(waiting, 1):
        _show(ballot, f"{count} of {len(waiting)}")
        while True:
            try:
                key = console.input("1, 2, 3, 0, s or q: ").strip().lower()
            except EOFError:
                key = "q"
            if key in (*KEYS, "s", "q"):
                break
            console.print(MEANING, style="dim", highlight=False)
        if key == "q":
            break
        if key in KEYS:
            poll.vote(ballot, KEYS[key])
    console.print(f"{len(poll.votes())} of {len(poll.ballots)} pairs are voted on.", highlight=False)
    if result:
        console.print(summary.visible(Votes.read(folder, model, voter).sentence), soft_wrap=True)
    else:
        named = [word for name in model or () for word in ("--model", name)]
        command = shlex.join(["workbench", "suite", "votes", str(folder), *named])
        console.print(summary.visible(f"Names and result: {command}"), soft_wrap=True)


def votes(
    folder: Folder,
    model: Pair = None,
    voter: Annotated[str | None, typer.Option(help="Of this voter only.", show_default=False)] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the table as CSV.", show_default=False)] = None,
) -> None:
    """Show who won: votes by category with intervals, and what judges said."""
    files.writable(csv)
    from rich.table import Table

    from workbench.behaviour.judge import Verdicts
    from workbench.behaviour.votes import Votes
    from workbench.cli import summary

    found, console = Votes.read(folder, model, voter), summary.console()
    table = Table("model", "category", "won", "tied", "lost", "win rate", "bootstrap 95 %", "sign test p")
    for row in found.tallies:
        table.add_row(summary.visible(row.model), summary.visible(row.category), str(row.wins), str(row.ties),
                      str(row.losses), *(("–",) * 3 if not row.items else (f"{row.win_rate:.0%}",
                      "–" if row.low != row.low else f"{row.low:.0%} to {row.high:.0%}", f"{row.p:.2g}")))  # fmt: skip
    console.print(table)
    for sentence in (found.sentence, *(one.sentence for one in Verdicts.read(folder, model))):
        console.print(summary.visible(sentence), soft_wrap=True)
    if csv is not None:
        with files.whole(csv) as name:
            found.to_csv(name)
        console.print(f"Written {csv}", markup=False, highlight=False)


def judge(
    folder: Folder,
    judge: Annotated[str, typer.Option(help="The model that judges: a name, a hub id or a folder.")],
    model: Pair = None,
    dtype: options.Dtype = "auto",
    device_map: options.DeviceMap = None,
    quantization: options.Quantization = None,
    local_files_only: options.LocalOnly = False,
) -> None:
    """Let a model judge the answers, each pair in both orders. Small models judge poorly; bias for a place is shown.

    Ctrl-C ends it; the same command goes on where it was."""
    from workbench.behaviour.answers import Answers
    from workbench.behaviour.judge import Verdicts, judge_suite
    from workbench.cli import summary

    Answers.read(folder)
    chosen = options.loaded(judge, None, dtype, device_map, quantization, local_files_only)
    console, step = summary.console(), None
    with console.status("judging", spinner="line") as shown:
        for step in judge_suite(chosen, folder, model):
            shown.update(summary.visible(f"{step.done} of {step.of} {step.item}"))
    for one in Verdicts.read(folder, model):
        if one.weights == chosen.weights_hash:
            console.print(summary.visible(one.sentence), soft_wrap=True)
    if step is not None:
        console.print(f"{step.done} of {step.of} verdicts are kept in {folder}", markup=False, highlight=False)


def _show(ballot: Ballot, count: str) -> None:
    from rich.text import Text

    from workbench.cli import summary

    console, item = summary.console(), ballot.pair.item
    summary.heading(console, f"{count}: {summary.piece(item.id)}")
    for turn, prompt in enumerate(item.turns):
        console.print(Text("Question", "bold"))
        console.print(summary.visible(prompt), soft_wrap=True)
        for name, answers in (("1", ballot.left), ("2", ballot.right)):
            console.print(Text(f"\nAnswer {name}", "bold"))
            console.print(summary.visible(answers[turn] if turn < len(answers) else "(none)"), soft_wrap=True)
