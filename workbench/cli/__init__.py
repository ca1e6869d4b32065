"""The command line: `workbench inspect`, `show`, `app`, `memory`, `facts`, `prompt`, `moderate` ...; one file each.

A mistake of the user ends in one sentence on stderr and exit code 2, an interruption in 130, a fault of the workbench
in one sentence and 1 (`workbench --debug ...` shows its traceback). A file is written whole or not at all. torch and
gradio are imported by the command that needs them, so that help answers at once.
"""

from __future__ import annotations

import os
from typing import Annotated

import typer

from workbench.cli import (
    cache,
    compare,
    evaluate,
    factorial,
    facts,
    heads,
    inspect,
    lens,
    loss,
    memory,
    moderate,
    needle,
    opinions,
    prompt,
    serve,
    show,
    suite,
    vote,
)
from workbench.cli.group import Commands

app = typer.Typer(cls=Commands, no_args_is_help=True, add_completion=False, rich_markup_mode="markdown")
app.command(epilog=inspect.EXAMPLES)(inspect.inspect)
app.command(epilog=show.EXAMPLES)(show.show)
app.command(name="app", epilog=serve.EXAMPLES)(serve.serve)
app.command(epilog=memory.EXAMPLES)(memory.memory)
app.command(epilog=facts.EXAMPLES)(facts.facts)
app.command(epilog=compare.EXAMPLES)(compare.compare)
app.command(epilog=factorial.EXAMPLES)(factorial.factorial)
app.command(epilog=needle.EXAMPLES)(needle.needle)
app.command(epilog=cache.EXAMPLES)(cache.cache)
app.command(epilog=heads.EXAMPLES)(heads.heads)
app.command(epilog=loss.EXAMPLES)(loss.loss)
app.command(epilog=prompt.EXAMPLES)(prompt.prompt)
app.command(epilog=moderate.EXAMPLES)(moderate.moderate)
app.command(epilog=evaluate.EXAMPLES)(evaluate.evaluate)
suite.app.command(epilog=vote.VOTE_EXAMPLES)(vote.vote)
suite.app.command()(vote.votes)
suite.app.command()(vote.judge)
app.add_typer(lens.app)
app.add_typer(suite.app)
app.add_typer(opinions.app)


def version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version as installed

        print(f"workbench {installed('mistral-workbench')}")
        raise typer.Exit


@app.callback()
def top(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error as well.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Ask Mistral-7B-Instruct v0.1 and v0.2, or their small embedded twins, and look inside every token.

    Models: **twin-v0.1**, **twin-v0.2** (embedded, ready at once), **v0.1**, **v0.2** (the 7B weights, downloaded from
    the hub when you name them), a hub id, or a folder with any Mistral-architecture checkpoint.
    """
    # Every command says itself what is going on; the loaders' own bars and advice would stand between.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


@app.command(
    name="twins", add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True}
)
def twins() -> None:
    """Train the embedded pair from nothing, or evaluate it."""
    # Only its line in the help: the group of ELSEWHERE takes over when it is called.


def main() -> None:
    app(prog_name="workbench")
