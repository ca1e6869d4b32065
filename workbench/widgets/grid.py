"""A retrieval grid in a notebook: it fills while its study runs, and a cell opens on its questions, and on why."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import traitlets

from workbench.context.apart import plain
from workbench.context.grid import Grid
from workbench.context.mechanism import Mechanism
from workbench.context.study import Progress, RetrievalStudy
from workbench.context.tasks import TASKS
from workbench.errors import WorkbenchError
from workbench.model import Model
from workbench.views import questions
from workbench.widgets.base import FOLDER, WITHOUT, View
from workbench.widgets.cells import MEASURES, Cells, Place, short

TICK = 0.25  # seconds between two pictures of a study that runs
OURS = "Something failed inside the workbench; the kernel's log has the details."


class RetrievalGrid(View):
    """The grid of a study (`wb.needle`) or of its result. ``run()`` starts the study in a worker thread, ``wait()``
    waits for it, ``stop()`` stops it before its next question; or iterate the widget as you would the study.

    ``selection`` {"task", "length", "depth", "model"} is the cell that is open, {} none; model is None for the
    difference. ``task``, ``measure`` ("right" or "logprob") and ``models_shown`` (one or two names) say what is drawn.
    ``progress`` {"done", "of", "seconds_left"}. All can be observed. `questions` and `explain` give of a cell what the
    page shows: prompts with answers, and the mechanism; ``mechanisms`` holds those that were worked out.
    """

    DRAWN_BY = "gridbox"
    _css: Any = "".join((FOLDER / name).read_text(encoding="utf-8") for name in ("widget.css", "chat.css"))

    names: Any = traitlets.List().tag(sync=True)
    models_shown: Any = traitlets.List().tag(sync=True)
    tasks: Any = traitlets.List().tag(sync=True)  # [{"name", "title"}]
    task = traitlets.Unicode().tag(sync=True)
    measure = traitlets.Enum(tuple(MEASURES), default_value="right").tag(sync=True)
    progress = traitlets.Dict().tag(sync=True)
    runs_here = traitlets.Bool(False).tag(sync=True)  # there is a study that can be run
    busy = traitlets.Bool(False, read_only=True).tag(sync=True)
    note = traitlets.Unicode("").tag(sync=True)

    def __init__(self, found: RetrievalStudy | Grid, models: Sequence[Model] | Model = ()) -> None:
        """``models``: of a `Grid`, those that can be asked about its questions; a study has its own. Raises
        WorkbenchError for something else, and for a grid without a trial."""
        study = self._study = found if isinstance(found, RetrievalStudy) else None
        if study is None and (not isinstance(found, Grid) or not len(found)):
            raise WorkbenchError(
                "An empty retrieval grid" if isinstance(found, Grid) else f"A grid of {type(found).__name__}",
                expected="a study of wb.needle(...), or a Grid with trials",
            )  # fmt: skip
        given = study.plan.models if study else [models] if isinstance(models, Model) else models
        self._last: Progress | None = None
        self._cells = Cells(found, given)
        self._over = threading.Event()
        self._over.set()
        super().__init__()
        self.names = [trial.name for trial in study.plan.models] if study else list(self.grid.models)
        self.models_shown, self.runs_here = self.names[:2], study is not None
        self.tasks = [{"name": name, "title": _title(name)} for name in self._cells.places]
        self.task = self.tasks[0]["name"]
        done = len(self.grid)
        self.progress = {"done": done, "of": study.count if study else done, "seconds_left": None}

    def __iter__(self) -> Iterator[Progress]:
        """Run the study, showing what it finds, and yield its `Progress` a trial."""
        if self._study is None:
            raise WorkbenchError("This grid is a result: nothing is left to run", expected="a study of wb.needle(...)")
        last = 0.0
        try:
            for told in self._study:
                if time.monotonic() - last >= TICK:
                    last = time.monotonic()
                    self._grown(told)
                self._last = told
                yield told
        finally:
            if self._last is not None:
                self._grown(self._last)

    def run(self) -> None:
        """Run the study in a worker thread; what is done already is not done again."""
        if self._study is None:
            raise WorkbenchError("This grid is a result: nothing is left to run", expected="a study of wb.needle(...)")
        if not self._over.is_set():
            raise WorkbenchError("The study is running", remedy="Wait for its end, or stop it")
        self._over.clear()
        self._study.stop.clear()
        self.note = ""
        self.set_trait("busy", True)
        threading.Thread(target=self._work, name="workbench study", daemon=True).start()

    def _work(self) -> None:
        said = ""
        try:
            for _ in self:
                pass
        except WorkbenchError as error:
            said = str(error)
        except Exception:
            logging.getLogger("workbench").exception("A study was broken off")
            said = OURS
        finally:
            self.note = said
            self._over.set()
            self.set_trait("busy", False)

    def stop(self) -> None:
        """Stop the study before its next question; what it found stays."""
        if self._study is not None:
            self._study.stop.set()

    def wait(self) -> Grid:
        """Wait for the study's end; an interrupt stops it."""
        try:
            while not self._over.wait(0.2):
                pass
        except KeyboardInterrupt:
            self.stop()
            raise
        return self.grid

    def close(self) -> None:
        self.stop()
        super().close()

    def _grown(self, told: Progress) -> None:
        left = None if told.seconds_left is None else round(told.seconds_left, 1)
        self.progress = {"done": told.done, "of": told.of, "seconds_left": left}
        self.send({"grid": "grown", **self.picture()})  # a busy kernel could not answer

    @traitlets.validate("task")
    def _known(self, proposal: Any) -> str:
        if proposal["value"] not in self._cells.places:
            raise WorkbenchError(
                f"The grid has no task {proposal['value'][:40]!r}", expected=", ".join(self._cells.places)
            )
        return str(proposal["value"])

    @traitlets.validate("models_shown")
    def _two(self, proposal: Any) -> list[str]:
        found = list(dict.fromkeys(proposal["value"]))
        if not 1 <= len(found) <= 2 or not set(found) <= set(self.names):
            raise WorkbenchError(f"{len(found)} models", expected=f"one or two of {', '.join(self.names)}")
        return found

    def check_selection(self, wanted: Any) -> dict[str, Any]:
        if not wanted:
            return {}
        known = {"task": self.task, "model": self.models_shown[0]} | dict(wanted)
        at, model = self._cells.place(known), known["model"]
        if model is not None and model not in self.names:
            by_short = {short(name): name for name in self.names}
            if model not in by_short:
                raise WorkbenchError(f"The grid has no model {str(model)[:40]!r}", expected=" or ".join(self.names))
            model = by_short[model]
        return {"task": at[0], "length": at[1], "depth": at[2], "model": model}

    def picture(self) -> dict[str, Any]:
        """The payload of `grid.js` for task, measure and models: {"task", "measure", "payload"}."""
        payload = self._cells.picture(self.task, self.measure, self.models_shown)
        return {"task": self.task, "measure": self.measure, "payload": payload}

    def questions(self, cell: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """`views.questions.question` of every case that was asked in ``cell`` (the selection, without one)."""
        return self._cells.questions(self._open(cell))

    def explain(self, case: int = 0, model: str | None = None, cell: Mapping[str, Any] | None = None) -> Mechanism:
        """Why ``model`` (the selection's) answered question ``case`` of ``cell`` as it did: one forward over its text.
        Raises WorkbenchError for a question that was not asked, or a model that is not here."""
        at = self._open(cell)
        return self._cells.explain(at, case, model or self.selection.get("model") or self.models_shown[0])

    @property
    def mechanisms(self) -> dict[tuple[str, int, float, int, str], Mechanism]:
        """Those that were worked out, by task, length, depth, case and model."""
        return self._cells.mechanisms

    @property
    def grid(self) -> Grid:
        """The results so far."""
        return self._cells.grid

    def _open(self, cell: Mapping[str, Any] | None) -> Place:
        if not (cell or self.selection):
            remedy = 'Click one, or set selection = {"length": ..., "depth": ...}'
            raise WorkbenchError("No cell is open", remedy=remedy)
        return self._cells.place({"task": self.task} | dict(cell or self.selection))

    def answer(self, request: Any) -> dict[str, Any]:
        """ "picture"; "questions" {task, length, depth}; "why" {..., "case", "model"}, told by a message later:
        {"grid": "why", "case", "model", "found" or "error"}; "run" and "stop"."""
        kind = request.get("kind") if isinstance(request, dict) else None
        if kind == "picture":
            return self.picture()
        if kind in ("run", "stop"):
            getattr(self, kind)()
        elif kind == "questions":
            at = self._cells.place(request)
            known = [
                {"case": key[3], "model": key[4], "found": questions.mechanism(found, short(key[4]))}
                for key, found in self.mechanisms.items()
                if key[:3] == at
            ]
            return {"questions": self._cells.questions(at), "known": known}
        elif kind == "why":
            threading.Thread(target=self._why, args=(dict(request),), name="workbench why", daemon=True).start()
        else:
            return super().answer(request)
        return {}

    def _why(self, request: dict[str, Any]) -> None:
        """Work a mechanism out, away from the kernel's own thread."""
        case, model = request.get("case"), request.get("model")
        told: dict[str, Any] = {"grid": "why", "case": case, "model": model}
        try:
            found = self.explain(case if isinstance(case, int) else -1, str(model), request)
            self.send(told | {"found": questions.mechanism(found, short(str(model)))})
        except WorkbenchError as error:
            self.send(told | {"error": str(error)})
        except Exception:
            logging.getLogger("workbench").exception("A mechanism could not be worked out")
            self.send(told | {"error": OURS})

    def static(self) -> str:
        found = self.grid
        return str(found._repr_mimebundle_()["text/html"]) if len(found) else "<p>Nothing was answered yet.</p>"

    def __repr__(self) -> str:
        return f"{self.grid!r} as a widget. {WITHOUT}"


def _title(name: str) -> str:
    """A task's title, with what tells it from others of its name."""
    kind = plain(name)
    return TASKS[kind].title + name.removeprefix(kind) if kind in TASKS else name
