"""`workbench` as a process of its own, forked from one that has imported what most commands and notebooks import, and
has loaded a twin (warmed.py): it begins in a tenth of a second instead of several. Tests of the start itself start
Python anew."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable, Mapping
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from pathlib import Path

IMPORTED = ("workbench.model", "workbench.capture.observer", "workbench.generation.prefix", "workbench.report",
            "transformers.models.mistral.modeling_mistral", "workbench.behaviour.run", "workbench.context.study",
            "workbench.twins.training", "ipykernel.zmqshell", "plotly.express", "workbench.widgets",
            "tests.warmed")  # fmt: skip


def forking() -> ForkServerContext:
    """How to start a process from the one that has imported."""
    context = get_context("forkserver")
    context.set_forkserver_preload(list(IMPORTED))
    return context


def _run(words: list[str], environment: dict[str, str], files: tuple[str, str]) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.update(environment)
    for number, file in enumerate(files, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.argv = ["workbench", *words]
    from workbench.cli import main

    main()


class Forked:
    """``workbench`` with ``words``, already running; what it says goes to files in ``folder``."""

    def __init__(self, words: Iterable[object], folder: Path, environment: Mapping[str, str] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._files = (folder / "stdout.txt", folder / "stderr.txt")
        for file in self._files:
            file.touch()
        files = tuple(map(str, self._files))
        self._process = forking().Process(
            target=_run, args=([*map(str, words)], dict(environment or {}), files), daemon=True
        )
        self._process.start()

    @property
    def said(self) -> str:
        """Its standard output so far."""
        return self._files[0].read_text(encoding="utf-8")

    @property
    def complaint(self) -> str:
        """Its standard error so far."""
        return self._files[1].read_text(encoding="utf-8")

    def running(self) -> bool:
        return self._process.is_alive()

    def send(self, number: signal.Signals) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def wait(self, seconds: float = 120) -> int:
        """Its exit code; that of a signal is negative."""
        self._process.join(seconds)
        if self._process.exitcode is None:
            self._process.kill()
            raise AssertionError(f"it did not end: {self.said}{self.complaint}")
        return self._process.exitcode
