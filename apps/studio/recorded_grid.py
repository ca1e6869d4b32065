"""The recorded retrieval grid that the page opens with; `python -m apps.studio.recorded_grid` measures it again.

A study's folder like any other: `wb.Grid.open` reads it, too.
"""

from __future__ import annotations

import argparse
import datetime
import json
import tempfile
from pathlib import Path
from typing import Any

import workbench as wb
from apps.studio.asked_grid import AskedGrid
from apps.studio.named_models import Named
from apps.studio.recorded import recorded_folder
from workbench.context.store import SETTINGS, read_settings, read_trials
from workbench.context.tasks import TASKS
from workbench.errors import WorkbenchError

COMMAND = "python -m apps.studio.recorded_grid"
PART = "part-recorded.parquet"
MODELS = (Named("twin-v0.1"), Named("twin-v0.2"), Named("twin-v0.1", {"window": None}))
ASKED = AskedGrid(
    MODELS, ("needle", "passkey"), (128, 256, 384, 512, 768, 1024, 1536, 2048), (0.0, 0.25, 0.5, 0.75, 1.0), 5
)


def grid_folder() -> Path:
    """Where the shipped grid lies."""
    return recorded_folder() / "grid"


def record(folder: Path, work: Path) -> Path:
    """Measure the twins, keeping trials in ``work`` and going on there, and write ``folder``: settings and one part."""
    loaded = {one.base: wb.load(one.base) for one in MODELS}
    models = [loaded[one.base].switched(**one.switches) for one in MODELS]
    study = wb.needle(
        models, ASKED.lengths, ASKED.depths, tasks=ASKED.tasks, cases=ASKED.cases, seed=ASKED.seed, folder=work
    )
    for told in study:
        print(f"\r{told.done} of {told.of}", end="", flush=True)
    grid = ASKED.only(study.grid)
    folder.mkdir(parents=True, exist_ok=True)
    grid.trials.to_parquet(folder / PART, index=False, compression="zstd")
    settings = {
        **read_settings(work), "command": COMMAND, "trials": len(grid),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "models": json.loads(json.dumps(grid.provenance["models"], default=str)),
    }  # fmt: skip
    (folder / SETTINGS).write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
    return folder


def recorded_grid(folder: Path | None = None) -> tuple[AskedGrid, wb.Grid, dict[str, Any]] | None:
    """What was asked, the results, and {"said": when, from which models and by which command}; None when nothing is
    recorded there or it cannot be read, which costs a line in the log."""
    folder = folder or grid_folder()
    if not (folder / SETTINGS).is_file():
        return None
    try:
        settings = read_settings(folder)
        grid = wb.Grid(read_trials(folder), {"settings": settings, "models": settings.get("models", {})})
        trials = grid.trials
        if not len(trials):
            return None
        places = trials[["model", "switches"]].drop_duplicates().itertuples(index=False)
        models = {str(model): _named(str(model), json.loads(switches)) for model, switches in places}
        first = [name for name in (one.name for one in MODELS) if name in models]
        ordered = tuple(models.pop(name) for name in first) + tuple(models.values())
        asked = AskedGrid(
            ordered, tuple(name for name in TASKS if (trials["task"] == name).any()),
            tuple(sorted({int(one) for one in trials["length"]})),
            tuple(sorted({float(one) for one in trials["depth"].dropna()})) or (0.5,), int(trials["case"].max()) + 1,
            int(settings["seed"]), str(settings["form"]),
        )  # fmt: skip
        day, command = str(settings.get("created", ""))[:10], str(settings.get("command", ""))[:120]
    except (WorkbenchError, KeyError, ValueError, TypeError) as error:
        print(f"No recorded grid: {error}")
        return None
    titles = ", ".join(one.title for one in ordered)
    said = f"Recorded{f' on {day}' if day else ''} from {titles}: {len(trials)} questions, measured by: {command}"
    return asked, grid, {"said": said}


def _named(name: str, switches: dict[str, Any]) -> Named:
    return Named(name.split(" (", 1)[0] if switches else name, switches)


def main() -> None:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--folder", type=Path, default=grid_folder(), help="where the recorded grid goes")
    parser.add_argument("--work", type=Path, default=None, help="keep finished trials here, and go on there")
    given = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder:
            print(f"\n{record(given.folder, given.work or Path(folder))}")
    except WorkbenchError as error:
        parser.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()
