"""Finished trials on disk: written as they end, read as one table, shared by processes, never written twice.

A folder with ``study.json`` (what all trials have in common) and parts. Every process appends one line of JSON a trial
to a journal of its own, and turns a full journal into a parquet part; both are read. A line that was cut off by a kill
or a full disk is left out and its trial done again.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from workbench.errors import FileFormatError
from workbench.models.given import path_given

SETTINGS = "study.json"
FULL = 256
"""Lines of a journal that become a parquet part."""
MOST_BYTES = 4 * 2**30


class TrialStore:
    """The trials of one folder. ``settings`` must be those that the folder was begun with."""

    def __init__(self, folder: str | Path, settings: Mapping[str, Any]) -> None:
        """Opens or begins the folder. Raises FileFormatError for a folder with other settings, or one that cannot be
        written."""
        self.folder = path_given(folder, "folder")
        wanted = json.loads(json.dumps(dict(settings)))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not (self.folder / SETTINGS).exists():
                written(self.folder / SETTINGS, json.dumps(wanted, indent=1) + "\n")
        except OSError as error:
            raise FileFormatError(
                f"The folder {self.folder} cannot be written ({error.strerror})", remedy="Name another folder"
            ) from None
        known = read_settings(self.folder)
        for name, value in wanted.items():
            if known.get(name) != value:
                raise FileFormatError(
                    f"{self.folder} holds a study with {name} {_short(known.get(name))}, not {_short(value)}",
                    expected="the same settings as before", remedy="Name another folder",
                )  # fmt: skip
        self._journal = self.folder / f"part-{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(4)}.jsonl"
        self._lines = 0

    def known(self) -> set[str]:
        """The keys of all finished trials, and their recipes (`Group.recipe`) where they were written down."""
        table = read_trials(self.folder)
        found = set(table["key"]) if len(table) else set()
        return found | (set(table["recipe"].dropna()) if "recipe" in table else set())

    def add(self, trial: Mapping[str, Any]) -> None:
        """Keep one finished trial: on disk when this returns. Raises FileFormatError where that fails; the trials
        before it stay."""
        line = json.dumps(dict(trial), ensure_ascii=False) + "\n"
        end = self._journal.stat().st_size if self._journal.exists() else 0
        try:
            with open(self._journal, "a", encoding="utf-8") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):  # a cut line would take the next one with it
                os.truncate(self._journal, end)
            raise FileFormatError(
                f"A trial could not be written to {self.folder} ({error.strerror})",
                remedy="Make room and run the same again: finished trials are kept",
            ) from None
        self._lines += 1
        if self._lines >= FULL:
            self.seal()

    def seal(self) -> None:
        """Turn this process's journal into a parquet part."""
        if not self._lines:
            return
        table = pd.DataFrame(_journal(self._journal))
        part = self._journal.with_name(f"{self._journal.stem}-{secrets.token_hex(4)}.parquet")
        half = part.with_suffix(".half")
        try:
            table.to_parquet(half, index=False)
            os.replace(half, part)
            self._journal.unlink()
            self._lines = 0
        except OSError:  # a full disk: the journal holds everything and stays
            half.unlink(missing_ok=True)


def read_settings(folder: str | Path) -> dict[str, Any]:
    """What a study's folder was begun with. Raises FileFormatError for a folder without one."""
    path = path_given(folder, "folder") / SETTINGS
    try:
        if path.stat().st_size > 2**24:
            raise ValueError
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise FileFormatError(
            f"{folder} is no study", expected=f"a folder with a readable {SETTINGS}", remedy="Run the study first"
        ) from None
    if not isinstance(found, dict):
        raise FileFormatError(f"{path} is no study's", expected="an object of settings")
    return found


def read_trials(folder: str | Path) -> pd.DataFrame:
    """All finished trials, each once, in the order of their keys. Raises FileFormatError for a damaged part."""
    folder = path_given(folder, "folder")
    parts: list[pd.DataFrame] = []
    held = 0
    for path in _parts(folder):
        try:
            held += path.stat().st_size
            if held > MOST_BYTES:
                raise FileFormatError(f"{folder} is too large to read", expected=f"at most {MOST_BYTES // 2**30} GiB")
            if path.suffix == ".parquet":
                parts.append(pd.read_parquet(path))
            elif path.suffix == ".jsonl":
                parts.append(pd.DataFrame(_journal(path)))
        except FileNotFoundError:
            continue  # its process has just sealed it: the next listing has the part it became
        except FileFormatError:
            raise
        except Exception as error:  # pyarrow raises many kinds
            raise FileFormatError(
                f"{path.name} is damaged ({type(error).__name__})", remedy="Delete it and run again: it is redone"
            ) from None
    parts = [part for part in parts if len(part)]
    if not parts:
        return pd.DataFrame({"key": pd.Series(dtype=str)})
    table = pd.concat(parts, ignore_index=True)
    if "key" not in table:
        raise FileFormatError(f"The parts of {folder} hold no trials", expected="a study's folder")
    return table.drop_duplicates("key").sort_values("key", ignore_index=True)


def _parts(folder: Path) -> Iterator[Path]:
    """Every part, each once, and after them those that came while they were read: a journal that is sealed meanwhile
    stands in the next listing as its parquet part."""
    given: set[Path] = set()
    while fresh := sorted(set(folder.glob("part-*")) - given):
        given.update(fresh)
        yield from fresh


def _journal(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a journal."""
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):  # U+2028 is no end of a line
        try:
            row = json.loads(line)
        except ValueError:
            continue  # cut off while it was written
        if isinstance(row, dict) and isinstance(row.get("key"), str):
            found.append(row)
    return found


def written(path: Path, text: str, over: bool = False) -> None:
    """Write a file whole or not at all; one that appeared meanwhile stays, unless it is to be written ``over``."""
    half = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    half.write_text(text, encoding="utf-8")
    try:
        if over:
            os.replace(half, path)
            return
        os.link(half, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        os.replace(half, path)
        return
    half.unlink(missing_ok=True)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 60 else f"{text[:57]}..."
