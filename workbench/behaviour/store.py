"""Answers on disk: a folder with the suite, the settings, and one file a model that only grows.

``study.json`` says what all answers have in common (suite, sampling, safe prompt, models and their weights, versions),
``suite.jsonl`` holds the items, and ``answers-<model>.jsonl`` a line for every answered item, on the disk before the
next begins.
A line that a kill or a full disk cut off is dropped when the file is next opened for writing, and its item done again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from workbench.behaviour.suite import Suite, read_suite
from workbench.errors import FileFormatError
from workbench.models.given import path_given

STUDY, ITEMS = "study.json", "suite.jsonl"
SCHEMA, VERSION = "workbench.answers", 1
MOST_BYTES = 2 * 2**30


class AnswerStore:
    """The folder of one suite with one set of settings. Models may join later."""

    def __init__(self, folder: str | Path, suite: Suite, settings: Mapping[str, Any]) -> None:
        """Begins the folder, or opens it where suite and settings are those it was begun with. ``settings`` are
        JSON-able. Raises FileFormatError for others, and for a folder that cannot be written."""
        self.folder = path_given(folder, "folder")
        wanted = json.loads(json.dumps(dict(settings)))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self.alone():
                if not (self.folder / STUDY).exists():
                    whole(self.folder / ITEMS, suite.to_jsonl())
                    about = {"name": suite.name, "sha256": suite.sha256, "items": len(suite)}
                    study = {"schema": SCHEMA, "version": VERSION, "suite": about, **wanted, "models": {}}
                    whole(self.folder / STUDY, json.dumps(study, indent=1) + "\n")
        except OSError as error:
            raise FileFormatError(
                f"The folder {self.folder} cannot be written ({error.strerror})", remedy="Name another folder"
            ) from None
        study = read_study(self.folder)
        if study["suite"].get("sha256") != suite.sha256:
            raise FileFormatError(
                f"{self.folder} holds answers to another suite ({str(study['suite'].get('name'))[:60]}, or its items "
                "have changed since)",
                remedy="Name another folder",
            )
        for name, value in wanted.items():
            if name != "versions" and study.get(name) != value:
                raise FileFormatError(
                    f"{self.folder} was begun with {differing(name, study.get(name), value)}",
                    expected="the same settings as before", remedy="Name another folder",
                )  # fmt: skip

    def join(self, label: str, about: Mapping[str, Any]) -> None:
        """Note the model ``label``: ``about["identity"]`` must be what it was before. Raises FileFormatError."""
        study = read_study(self.folder)
        known = study["models"].get(label)
        if known is None:
            study["models"][label] = dict(about)
            with self.writing():
                whole(self.folder / STUDY, json.dumps(study, indent=1) + "\n")
        elif known.get("identity") != json.loads(json.dumps(about["identity"])):
            raise FileFormatError(
                f"{self.folder} holds answers of another {label}: "
                f"{differing('', known.get('identity'), about['identity']).strip()}",
                remedy="Name another folder",
            )

    def path(self, label: str) -> Path:
        """The file of one model's answers."""
        plain = re.sub(r"[^A-Za-z0-9.-]+", "-", label).strip("-.")[-60:] or "model"
        return self.folder / f"answers-{plain}-{hashlib.sha256(label.encode()).hexdigest()[:8]}.jsonl"

    def keys(self) -> set[str]:
        """The keys of everything answered."""
        return {row["key"] for row in read_rows(self.folder)}

    def add(self, label: str, row: Mapping[str, Any]) -> None:
        """Keep one answered item: on the disk when this returns. Raises FileFormatError where that fails; the items
        before it stay."""
        line = json.dumps(dict(row), ensure_ascii=False).encode() + b"\n"
        path = self.path(label)
        with self.writing(), path.open("ab") as file:
            end = mend(path)
            try:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                with contextlib.suppress(OSError):
                    os.truncate(path, end)
                raise

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """What the system refuses becomes a sentence."""
        try:
            yield
        except OSError as error:
            raise FileFormatError(
                f"An answer could not be written to {self.folder} ({error.strerror})",
                remedy="Make room and run the same again: what is answered is kept",
            ) from None

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else runs a suite in this folder meanwhile; a killed process leaves no lock behind. Raises
        FileFormatError when somebody does."""
        try:
            import fcntl
        except ImportError:  # no such locks on Windows: there, the reader's eyes are on their own
            yield
            return
        with (self.folder / ".lock").open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise FileFormatError(
                    f"Another run is writing to {self.folder}", remedy="Wait for its end, or name another folder"
                ) from None
            yield


def read_study(folder: str | Path) -> dict[str, Any]:
    """What a folder of answers was begun with. Raises FileFormatError for a folder without it."""
    path = path_given(folder, "folder") / STUDY
    try:
        if path.stat().st_size > 2**24:
            raise ValueError
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise FileFormatError(
            f"{folder} holds no answers", expected=f"a folder with a readable {STUDY}", remedy="Run a suite first"
        )
    if found.get("version") != VERSION or not all(isinstance(found.get(k), dict) for k in ("suite", "models")):
        raise FileFormatError(f"{path} is of version {found.get('version')!r}", expected=str(VERSION))
    return found


def read_items(folder: str | Path) -> Suite:
    """The suite of a folder of answers. Raises FileFormatError."""
    study = read_study(folder)
    found = Suite(str(study["suite"].get("name")), read_suite(Path(folder) / ITEMS).items)
    if found.sha256 != study["suite"].get("sha256"):
        raise FileFormatError(f"{Path(folder) / ITEMS} was changed", expected="the suite that was answered")
    return found


def read_rows(folder: str | Path) -> list[dict[str, Any]]:
    """Every answered item once, file by file; lines that were cut off are left out. Raises FileFormatError."""
    found: dict[str, dict[str, Any]] = {}
    held = 0
    for path in sorted(Path(folder).glob("answers-*.jsonl")):
        try:
            held += path.stat().st_size
            if held > MOST_BYTES:
                raise FileFormatError(f"{folder} is too large to read", expected=f"at most {MOST_BYTES >> 30} GiB")
            data = path.read_bytes()
        except OSError as error:
            raise FileFormatError(f"{path} cannot be read ({error.strerror})") from None
        for line in data.split(b"\n")[:-1]:  # what stands behind the last newline was cut off
            if (row := _row(line)) is not None:
                found.setdefault(row["key"], row)
    return list(found.values())


def mend(path: Path) -> int:
    """Drop what stands behind the last newline of a file; its size then, in bytes."""
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        at = end
        while at > 0:
            start = max(0, at - 2**16)
            file.seek(start)
            place = file.read(at - start).rfind(b"\n")
            if place >= 0:
                at = start + place + 1
                break
            at = start
        if at < end:
            file.truncate(at)
        return at


def whole(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    half = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        half.write_text(text, encoding="utf-8")
        os.replace(half, path)
    finally:
        half.unlink(missing_ok=True)


def differing(name: str, before: Any, now: Any) -> str:
    """Where two settings differ: "sampling max_new_tokens 32, not 64"."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in {**before, **now}:
            if before.get(key) != now.get(key):
                return differing(f"{name} {key}".strip(), before.get(key), now.get(key))
    return f"{name} {json.dumps(before)[:80]}, not {json.dumps(now)[:80]}"


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or not all(isinstance(row.get(k), str) for k in ("key", "item", "model")):
        return None
    answers = row.get("answers")
    return row if isinstance(answers, list) and all(isinstance(one, str) for one in answers) else None
