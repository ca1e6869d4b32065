"""From nothing to the pair: v0.1, then v0.2 continued from it, in one folder."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.errors import CheckpointError

from .export import export
from .filtering import PairSet
from .recipe import RECIPES
from .training import RecipeError, Run

VERSIONS = ("v0.1", "v0.2")


def train_pair(
    output: Path,
    version: str = "both",
    recipe: str = "muon",
    seed: int = 0,
    *,
    start: Path | None = None,
    mixed_precision: str = "no",
    prior: bool | None = None,
    vocabulary: str | None = None,
    compiled: bool = True,
    export_to: Path | None = None,
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Train one version or both under `output`/<version>; yields (version, line of the log).

    v0.2 starts from `start`, by default from the v0.1 in `output` where the recipe branches off; the classical recipe
    needs a `start` for either.
    A version whose `final/` exists is not trained again; an interrupted one goes on at its last checkpoint.
    """
    if recipe not in RECIPES:
        raise RecipeError(f"Unknown recipe {recipe!r}", expected=f"one of {', '.join(RECIPES)}")
    if version not in (*VERSIONS, "both"):
        raise RecipeError(f"Unknown version {version!r}", expected=f"one of {', '.join(VERSIONS)}, both")
    chosen = RECIPES[recipe]
    if prior is not None:
        chosen = replace(chosen, prior=prior)
    if vocabulary is not None:
        if vocabulary not in ("compact", "full"):
            raise RecipeError(f"Unknown vocabulary {vocabulary!r}", expected="compact or full")
        chosen = replace(chosen, vocabulary=vocabulary)
    for name in VERSIONS if version == "both" else (version,):
        folder = output / name
        if not (folder / "final" / "model.safetensors").exists():
            origin = start
            if name == "v0.2" and origin is None:
                origin = output / "v0.1" / ("branch" if chosen.branch else "final")
            if origin is None and chosen.pairs:
                raise RecipeError(
                    f"The {recipe} recipe tunes a model that was trained before", remedy="Name it with --start FOLDER"
                )
            if origin is not None and not (origin / "model.safetensors").exists():
                raise CheckpointError(
                    f"{origin} holds no checkpoint to start from", remedy="Train v0.1 first, or name one with --start"
                )
            run = Run(folder, name, chosen, seed, origin, compiled, mixed_precision)
            if chosen.pairs:
                pairs = PairSet.build(run.model, chosen, chosen.phases[name][0].mix, seed)
                (folder / "pairs.json").write_text(json.dumps(pairs.counts, indent=2) + "\n")
                run.batches = lambda phase, step, process, pairs=pairs: pairs.batch(chosen, phase, seed, step, process)  # type: ignore[misc]
            for line in run.steps():
                if run.accelerator.is_main_process:
                    yield name, line
            if run.stopped:
                return
            if not run.accelerator.is_main_process:
                continue
            if origin is not None and (origin / "training.json").exists():
                facts_file = folder / "final" / "training.json"
                facts = json.loads(facts_file.read_text())
                before = json.loads((origin / "training.json").read_text())
                facts |= {
                    "start_tokens": before["tokens"],
                    "start_minutes": before["minutes"],
                    "prior": before["prior"],
                }
                facts_file.write_text(json.dumps(facts, indent=2) + "\n")
        if export_to is not None:
            export(folder / "final", export_to / name)
