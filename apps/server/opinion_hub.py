"""Votes and feedback into a dataset repository of the hub, every few minutes, by huggingface_hub's CommitScheduler.

The rows also lie in the SQLite file; what the hub did not take stays here, and goes with the next commit.
"""

from __future__ import annotations

import json
import secrets
import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from apps.server.opinions import OpinionError, Opinions
from apps.server.settings import Settings

MINUTES = 5
"""Between two commits, and between two tries to reach the hub."""
IN_REPO = "opinions"


class HubMirror:
    """Rows as lines of one JSONL file a process, below ``folder``; files only grow and are never shared, so a server
    that begins anew on an empty disk overwrites nothing in ``repo``."""

    def __init__(self, folder: Path, repo: str, token: str, make: Callable[..., Any] | None = None) -> None:
        """Nothing asks the hub yet; ``make`` stands for `huggingface_hub.CommitScheduler`."""
        self.folder, self.repo = folder / "hub", repo
        self._token, self._make = token, make
        self._file = self.folder / f"opinions-{secrets.token_hex(8)}.jsonl"
        self._lock = threading.Lock()
        self._over = threading.Event()
        self.scheduler: Any = None
        self.trouble = ""
        """What keeps rows from the hub, in words; "" nothing."""

    def begin(self) -> None:
        """Reach the hub in the background, again and again until it answers: the page does not wait for it."""
        threading.Thread(target=self._reach, daemon=True).start()

    def end(self) -> None:
        self._over.set()
        if self.scheduler is not None:
            self.scheduler.stop()

    def add(self, row: dict[str, Any]) -> None:
        """One row more for the next commit. What goes wrong is told to the operator: the row itself is kept already."""
        line = json.dumps(row, ensure_ascii=True, allow_nan=False, sort_keys=True) + "\n"
        try:
            with self._lock, nullcontext() if self.scheduler is None else self.scheduler.lock:
                self.folder.mkdir(parents=True, exist_ok=True)
                with self._file.open("a", encoding="utf-8") as file:
                    file.write(line)
        except OSError as error:
            self._tell(f"a row cannot be written for the hub ({error.strerror})")

    def connect(self) -> bool:
        """Whether the hub has taken the repository and the scheduler runs."""
        try:
            from huggingface_hub import CommitScheduler

            self.scheduler = (self._make or CommitScheduler)(
                repo_id=self.repo, repo_type="dataset", folder_path=self.folder, path_in_repo=IN_REPO, every=MINUTES,
                private=True, token=self._token, allow_patterns="*.jsonl",
            )  # fmt: skip
        except Exception as error:  # of many kinds: no network, no such repository, a token that may not write
            said = str(error).split("\n")[0][:200].replace(self._token, "(token)")
            self._tell(f"the hub does not take {self.repo} ({type(error).__name__}: {said})")
            return False
        self.trouble = ""
        return True

    def _reach(self) -> None:
        while not self._over.is_set() and not self.connect():
            self._over.wait(60 * MINUTES)

    def _tell(self, sentence: str) -> None:
        self.trouble = sentence
        print(f"votes and feedback: {sentence}; they are kept in {self.folder.parent}", file=sys.stderr)


def opened(settings: Settings) -> Opinions | None:
    """The store that ``settings`` name, with its mirror; None without a folder. Raises OpinionError."""
    if settings.opinions is None:
        if settings.opinions_repo is not None:
            raise OpinionError("WORKBENCH_OPINIONS_REPO is set without a folder", expected="WORKBENCH_OPINIONS as well")
        return None
    found = Opinions(settings.opinions)
    if settings.opinions_repo is not None:
        if settings.opinions_token is None:
            raise OpinionError(
                f"There is no token to write to {settings.opinions_repo}", expected="WORKBENCH_OPINIONS_TOKEN"
            )
        mirror = HubMirror(found.folder, settings.opinions_repo, settings.opinions_token.get_secret_value())
        found.mirrors.append(mirror.add)
        mirror.begin()
    return found
