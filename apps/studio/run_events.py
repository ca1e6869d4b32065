"""What the Runs page asks of the server: the list, a file taken away, a file brought in, a run deleted."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import Any

import workbench as wb
from apps.server.admission import HOME
from apps.server.faults import OTHER, Faults, kind_of
from apps.server.metrics import Metrics
from apps.server.paths import EXPORTS
from apps.server.uploads import swept
from apps.studio.looking import looked
from apps.studio.pairs import Pairs
from apps.studio.run_facts import RunFacts
from apps.studio.runs import Kept, RunStore
from workbench.errors import ComparisonError, FileFormatError, WorkbenchError
from workbench.report import write_html
from workbench.views import snippets
from workbench.views.actions import file_name
from workbench.views.notebook import notebook

LARGEST_FILE = 512 * 2**20
"""Bytes of a file that a visitor may open."""
FORMATS = {"inspection": "inspection", "html": "html", "py": "py", "ipynb": "ipynb"}

Answer = dict[str, Any]


class RunEvents:
    """The Runs page of one served app. Every answer is JSON; what goes wrong is {"error": sentence}."""

    def __init__(
        self, runs: RunStore, folder: Path, pairs: Pairs | None = None, largest: int = LARGEST_FILE,
        faults: Faults | None = None,
    ) -> None:  # fmt: skip
        """``folder`` is where the server keeps uploads and whence it serves files; ``pairs`` knows what was measured of
        two runs; ``largest`` are the bytes of a file that may be opened, 0: none; a full disk is
        told and counted by ``faults``."""
        self._faults = faults or Faults(Metrics())
        self.runs, self.folder, self.pairs, self.largest = runs, folder.resolve(), pairs, largest

    def listed(self, request: Any) -> Answer:
        """{"runs", "gone", "next", "each", "held", "largest": bytes of a file that may be opened, 0 none} of {"tab":
        key}; see `runs.Shelved`."""
        shelf = self.runs.shelf(_tab(request))
        return {
            "runs": [kept.as_json() for kept in shelf.runs],
            "gone": [facts.as_json() for facts in shelf.gone],
            "next": shelf.next,
            "each": self.runs.each,
            "held": sum(kept.facts.bytes for kept in shelf.runs if kept.owner),
            "largest": self.largest,
        }

    def seen(self, request: Any) -> Answer:
        """The visitor knows which runs went."""
        self.runs.acknowledge(_tab(request))
        return {}

    def answer(self, request: Any) -> Answer:
        """What a view asks of a run."""
        try:
            run = _of(request, "run")
            return looked(self.runs.get(run, str(_of(request, "tab"))), str(run), request)
        except WorkbenchError as error:
            return {"error": str(error)}

    def remove(self, request: Any) -> Answer:
        try:
            self.runs.remove(_of(request, "run"), _tab(request))
            return {}
        except WorkbenchError as error:
            return {"error": str(error)}

    def export(self, request: Any) -> Answer:
        """{"path", "name"} of a file of {"run" or "runs", "format"}, which is served for a while."""
        try:
            kind, names = str(_of(request, "format")), _of(request, "runs") or [_of(request, "run")]
            if kind not in FORMATS or not isinstance(names, list) or not 1 <= len(names) <= 2:
                raise WorkbenchError(f"There is no export {kind[:20]!r}", expected=", ".join(FORMATS))
            return self._written([self.runs.kept(name, str(_of(request, "tab"))) for name in names], kind)
        except (WorkbenchError, OSError) as error:
            if isinstance(error, WorkbenchError) or kind_of(error) != OTHER:
                return {"error": self._faults.told(error)}
            return {"error": f"The file could not be written ({error.strerror}). Try again later."}

    def open(self, request: Any) -> Answer:
        """Keep the inspection in the file uploaded to {"path"}, and delete the upload; {"run"} or {"error"}."""
        try:
            path = self._uploaded(_of(request, "path"))
        except WorkbenchError as error:
            return {"error": str(error)}
        try:
            if not self.largest:
                raise FileFormatError(
                    "Files cannot be opened on this server", remedy=f"Open it on your own machine: {HOME}"
                )
            if path.stat().st_size > self.largest:
                raise FileFormatError("The file is too large", expected=f"at most {self.largest // 2**20} MiB here")
            if not (tab := _tab(request)):
                raise WorkbenchError("This tab has no key", remedy="Reload the page")
            return {"run": self.runs.add(wb.open(path), tab, "file")}
        except WorkbenchError as error:
            return {"error": str(error)}
        finally:
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                path.parent.rmdir()  # Gradio gives each upload a folder

    def _uploaded(self, given: Any) -> Path:
        """The path of an upload, which lies in a folder of its own below the server's; nothing else may be named."""
        try:
            path = Path(given).resolve() if isinstance(given, str) else None
            arrived = path is not None and path.parent.parent == self.folder and path.is_file()
        except (OSError, ValueError):  # too long, or with characters that no path can have
            path, arrived = None, False
        if path is None or not arrived:
            raise FileFormatError("No file has arrived", remedy="Choose it again")
        return path

    def _written(self, kept: list[Kept], kind: str) -> Answer:
        exports = self.folder / EXPORTS
        exports.mkdir(parents=True, exist_ok=True)
        swept(self.folder)
        inspection = kept[0].inspection
        name = file_name(inspection, "run", len(inspection.ids), FORMATS[kind]).replace("token", "tokens")
        target = Path(tempfile.mkdtemp(prefix=secrets.token_urlsafe(12), dir=exports)) / name
        try:
            if kind == "inspection":
                inspection.save(target)
            elif kind == "html":
                write_html([one.inspection for one in kept], target, comparison=self._measured(kept))
            else:
                text = notebook(inspection) if kind == "ipynb" else program(inspection)
                target.write_text(text, encoding="utf-8")
        except BaseException:
            shutil.rmtree(target.parent, ignore_errors=True)  # half a file on a full disk
            raise
        return {"path": str(target), "name": name}

    def _measured(self, kept: list[Kept]) -> wb.Comparison | None:
        """What is known of two runs as a pair; None where that is nothing."""
        if self.pairs is None or len(kept) != 2:
            return None
        try:
            return self.pairs.of(kept[0].run, kept[1].run)
        except ComparisonError:
            return None


def program(inspection: wb.Inspection) -> str:
    """A Python program that makes the run again and shows the attention of the first generated token."""
    token = min(int(inspection.prompt_length), len(inspection.ids) - 1)
    if inspection.attention is None:
        return snippets.code(inspection, "tokens", token)
    return snippets.code(inspection, "attention", token, int(inspection.model["layers"]) // 2)


def lost(gone: list[RunFacts]) -> str:
    """One sentence about runs that had to go, "" for none."""
    if not gone:
        return ""
    rest = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
    return f"The run “{gone[0].question}” ({gone[0].model}){rest} had to make room and can no longer be opened."


def _of(request: Any, name: str) -> Any:
    return request.get(name) if isinstance(request, dict) else None


def _tab(request: Any) -> str:
    """The visitor's key; "" (nobody's) for anything else."""
    tab = _of(request, "tab")
    return tab if isinstance(tab, str) and 20 <= len(tab) <= 64 else ""
