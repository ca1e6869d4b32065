"""Retrieval grid: a study as a job that is kept, stopped and gone on with; the questions of a cell; files of it."""

from __future__ import annotations

import base64
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import workbench as wb
from apps.studio.asked_grid import MOST_CASES, MOST_MODELS, MOST_TRIALS, AskedGrid, read
from apps.studio.folders import MOST, Folders
from apps.studio.grid_questions import chosen, questions, why
from apps.studio.grid_shown import effective, shown, title_of
from apps.studio.jobs import Told
from apps.studio.named_models import Named, Offered
from apps.studio.pace import forecast
from apps.studio.recorded_grid import recorded_grid
from apps.studio.studio import Studio
from workbench.context.grid import THRESHOLD
from workbench.context.mechanism import mechanism
from workbench.context.study import RetrievalStudy
from workbench.context.tasks import TASKS
from workbench.errors import WorkbenchError
from workbench.inspection.provenance import provenance

RECORDED = "recorded"
EVERY = 1.5
"""Seconds between two pictures of a running study."""
FILES = ("jsonl", "parquet")


class GridEvents:
    """A visitor's trials lie in a temporary folder for each seed, form and text, so that the same, or a grid with more
    of it, goes on from there."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._offered = studio, Offered(studio.shelf)
        self._folders = Folders("grid")
        self._asked: dict[tuple[str, str], AskedGrid] = {}
        self._recorded = recorded_grid()
        studio.forgetting.append(self._forget)

    @property
    def functions(self) -> list[Callable[[Any], dict[str, Any]]]:
        return [
            self.grid_known, self.grid_shown, self.grid_estimate, self.grid_start, self.grid_effective,
            self.grid_questions, self.grid_why, self.grid_file,
        ]  # fmt: skip

    def grid_known(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"models": offered ones, "tasks", "context": tokens of the shortest one's, "threshold", "most", "study": what
        to show first, or None}"""
        offered = self._offered.named()
        contexts = [one.context for one in self._studio.shelf.ready().values()]
        mine = [key for key in self._folders.known(_tab(request)) if (_tab(request), key) in self._asked]
        return {
            "models": [one.as_json() for one in offered], "context": min(contexts), "threshold": THRESHOLD,
            "tasks": [{"name": name, "title": title_of(name)} for name in [*TASKS, "own"]],
            "most": {"trials": MOST_TRIALS, "cases": MOST_CASES, "models": MOST_MODELS},
            "study": mine[-1] if mine else RECORDED if self._recorded else None,
            "recorded": self._recorded is not None,
        }  # fmt: skip

    def grid_shown(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"grid": what `grid_shown.shown` says of {"study"}, "recorded": a sentence or ""}"""
        asked, grid, _ = self._study(request)
        study = str(request.get("study"))
        said = self._recorded[2]["said"] if study == RECORDED and self._recorded else ""
        return {"grid": shown(grid, asked, study, THRESHOLD), "recorded": said}

    def grid_estimate(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"job"} for a form: its result {"said"}, what the grid would cost, by a short reading."""
        tab, asked = _tab(request), self._read(request)

        def work(stop: threading.Event) -> Generator[Told, None, Any]:
            yield {"share": None, "said": "reading a little to see how fast it goes"}
            return {"said": forecast(self._made(asked, self._folders.of(tab, asked.key), stop), stop).sentence}

        return {"job": self._studio.jobs.start(_tab(request), work, "workbench needle")}

    def grid_start(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"job"} for a form (`asked_grid.read`): `grid_shown.shown` while it grows and at its end."""
        tab, asked = _tab(request), self._read(request)

        def work(stop: threading.Event) -> Generator[Told, None, Any]:
            yield {"share": 0.0, "said": "loading the models"}
            study = self._made(asked, self._folders.of(tab, asked.key), stop)
            self._keep(tab, asked)
            partial: dict[str, Any] | None = None
            last = 0.0
            for told in study:
                if time.monotonic() - last > EVERY:
                    partial, last = shown(asked.only(study.grid), asked, asked.key, THRESHOLD), time.monotonic()
                said = f"{told.done} of {told.of} questions{_left(told.seconds_left)}"
                yield {"share": told.done / told.of, "said": said, "partial": partial}
            return shown(asked.only(study.grid), asked, asked.key, THRESHOLD)

        return {"job": self._studio.jobs.start(tab, work, "workbench needle"), "study": asked.key}

    def grid_effective(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"rows"}: effective lengths of {"study"} for {"threshold"}."""
        threshold = request.get("threshold")
        if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
            raise WorkbenchError(f"The threshold is {str(threshold)[:20]}", expected="a share between 0 and 1")
        return {"rows": effective(self._study(request)[1], float(threshold))}

    def grid_questions(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"questions"} of the cell {"task", "length", "depth"} of {"study"}."""
        asked, grid, folder = self._study(request)
        cell = chosen(asked, request)
        return {"questions": questions(grid, asked, folder, self._offered.model(asked.models[0]), *cell)}

    def grid_why(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"job"} for {"study", "task", "length", "depth", "case", "model"}: heads and lens of one answer."""
        asked, _, folder = self._study(request)
        cell, case = chosen(asked, request), request.get("case")
        named = _model(asked, request.get("model"))
        if isinstance(case, bool) or not isinstance(case, int) or not 0 <= case < asked.cases:
            raise WorkbenchError("There is no such question", expected=f"0 to {asked.cases - 1}")

        def work(stop: threading.Event) -> Generator[Told, None, Any]:
            yield {"share": None, "said": "reading the text again, with its heads and layers watched"}
            model = self._offered.model(named)
            return why(mechanism(model, asked.item(model.tokenizer, folder, *cell, case)), named, asked)

        return {"job": self._studio.jobs.start(_tab(request), work, "workbench needle")}

    def grid_file(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"name", "type", "data": base64} of all trials of {"study"} as {"kind"}: "jsonl" or "parquet"."""
        kind = request.get("kind")
        if kind not in FILES:
            raise WorkbenchError("There is no such file", expected=" or ".join(FILES))
        grid = self._study(request)[1]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"retrieval.{kind}")
            if kind == "jsonl":
                grid.save_jsonl(path)
            else:
                grid.trials.to_parquet(path, index=False)
            data = base64.b64encode(path.read_bytes()).decode()
        return {"name": path.name, "type": "application/octet-stream", "data": data}

    def _made(self, asked: AskedGrid, folder: Path, stop: threading.Event) -> RetrievalStudy:
        models = [self._offered.model(one) for one in asked.models]
        return wb.needle(
            models, asked.lengths, asked.depths, tasks=asked.made(folder), cases=asked.cases, seed=asked.seed,
            form=asked.form, folder=folder, stop=stop,
        )  # fmt: skip

    def _read(self, request: dict[str, Any]) -> AskedGrid:
        """The form; RefusedError when its texts are longer than they may be here."""
        asked = read(request, self._offered.named())
        self._studio.admission.check_prompt(max(asked.lengths), "workbench needle")
        return asked

    def _forget(self, tab: str) -> None:
        """Drop the grids of a visitor who has gone."""
        self._folders.forget(tab)
        for place in [place for place in self._asked if place[0] == tab]:
            self._asked.pop(place, None)

    def _keep(self, tab: str, asked: AskedGrid) -> None:
        self._asked[tab, asked.key] = asked
        known = set(self._folders.known(tab))
        for place in [one for one in self._asked if one[0] == tab and one[1] not in known]:
            del self._asked[place]
        while len(self._asked) > 2 * MOST:
            del self._asked[next(iter(self._asked))]

    def _study(self, request: dict[str, Any]) -> tuple[AskedGrid, wb.Grid, Path | None]:
        """What was asked and found, and its folder. WorkbenchError for one that is not, or no longer, here."""
        study = request.get("study")
        if study == RECORDED and self._recorded:
            return *self._recorded[:2], None
        tab = _tab(request)
        asked = self._asked.get((tab, study)) if isinstance(study, str) else None
        if asked is None or study not in self._folders.known(tab):
            raise WorkbenchError("This grid is no longer here", remedy="Measure it again")
        folder = self._folders.of(tab, str(study))
        found = wb.Grid.open(folder)
        models = [self._offered.model(one) for one in asked.models]
        said = {model.name: provenance(model.loaded, (), found.provenance["settings"]) for model in models}
        return asked, asked.only(wb.Grid(found.trials, {**found.provenance, "models": said})), folder


def _tab(request: dict[str, Any]) -> str:
    return str(request.get("tab", ""))


def _model(asked: AskedGrid, name: Any) -> Named:
    found = next((one for one in asked.models if one.name == name), None)
    if found is None:
        raise WorkbenchError("This model has no part in the grid", expected="one of its models")
    return found


def _left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f", about {seconds / 60:.0f} min left" if seconds >= 90 else f", about {seconds:.0f} s left"
