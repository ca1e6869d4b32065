"""How far a long prompt has been read, on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from workbench.generation.prefill import CHUNK


@contextmanager
def reading(tokens: int, console: Console | None = None) -> Iterator[Callable[[int], None] | None]:
    """A function to be told how many of ``tokens`` have been read: a bar on the terminal of stderr, which vanishes when
    all are, or when the block ends. None for a prompt that is read at once, and where nobody looks."""
    console = console or Console(stderr=True)
    if tokens <= CHUNK or not console.is_terminal:
        yield None
        return
    columns = (TextColumn("Reading"), BarColumn(), TextColumn("{task.completed:,.0f} of {task.total:,.0f} tokens"),
               TimeElapsedColumn())  # fmt: skip
    with Progress(*columns, console=console, transient=True, refresh_per_second=4) as bar:
        task = bar.add_task("", total=tokens)

        def tell(read: int) -> None:
            bar.update(task, completed=read)
            if read >= tokens:
                bar.stop()  # the answer is printed below it while the block goes on

        yield tell
