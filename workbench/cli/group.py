"""The top-level group of the command line: errors become sentences; some commands are found when they are called."""

from __future__ import annotations

import importlib
import sys
import traceback
from typing import Any

import typer
from typer.core import TyperGroup

from workbench.errors import WorkbenchError

# Commands that bring options of their own live beside what they do and are imported when they are called.
ELSEWHERE = {"twins": "workbench.twins.commands"}

# Wrong options and arguments: typer words and prints these itself (click's ClickException, or typer's copy of it).
USAGE: type[Exception] = typer.BadParameter.__mro__[2]

INTERRUPTED = 130  # what a shell reports for a process ended by Ctrl-C


class Commands(TyperGroup):
    """The top-level group: it turns errors into sentences and finds the commands named in ``ELSEWHERE``."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except WorkbenchError as error:
            code, sentence, fault = error.exit_code, str(error), error
        except KeyboardInterrupt as error:
            code, sentence, fault = INTERRUPTED, "Stopped.", error  # type: ignore[assignment]
        except (typer.Exit, typer.Abort, USAGE, BrokenPipeError):
            raise
        except OSError as error:
            code, sentence, fault = WorkbenchError.exit_code, said(error), error  # type: ignore[assignment]
        except Exception as error:
            code, fault = 1, error  # type: ignore[assignment]
            sentence = f"A fault of the workbench: {type(error).__name__}: {error} (workbench --debug shows where)."
        if ctx.params.get("debug"):
            traceback.print_exception(fault)
        print(f"workbench: {sentence}", file=sys.stderr)
        raise typer.Exit(code)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        if name in ELSEWHERE:
            command = typer.main.get_command(importlib.import_module(ELSEWHERE[name]).app)
        return name, command, rest


def said(error: OSError) -> str:
    """``error`` as a sentence: the file it names and the system's reason."""
    return f"{error.filename}: {error.strerror}." if error.filename and error.strerror else f"{error}."
