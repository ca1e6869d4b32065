"""The questions of a study as a file that others can recompute: ids, answers and models, without this package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.context.answering import expected_ids
from workbench.context.plan import Plan
from workbench.inspection.provenance import provenance

if TYPE_CHECKING:
    from workbench.model import Model

_MODEL = ("model", "location", "revision", "weights", "switches", "switched_from", "quantization", "dtype")


def save_items(plan: Plan, path: str | Path) -> Path:
    """Write every item of ``plan`` as a line of JSON; models with other tokenizers get lines of their own.

    A line has `Item.as_json` (``ids`` are the prompt's, ``needles`` ranges of them, ``budget`` the tokens of a greedy
    answer, ``judge`` the rule that its text and the ``references`` are held to), ``expected_ids`` (whose
    log-probability behind ``ids`` is a trial's ``logprob``), the ``models`` asked with revision, weights and config,
    and the ``versions`` of the packages.
    """
    with open(path, "w", encoding="utf-8") as file:
        for models in _by_tokenizer(plan.models):
            said = {
                "models": [_described(model) for model in models],
                "versions": provenance(models[0].loaded, (), {})["versions"],
            }
            for group in plan.groups():
                if group.model is not models[0]:
                    continue
                for trial in group.trials():
                    line = trial.item.as_json() | {"expected_ids": list(expected_ids(models[0], trial.item))} | said
                    file.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")
    return Path(path)


def _by_tokenizer(models: tuple[Model, ...]) -> list[list[Model]]:
    found: dict[str, list[Model]] = {}
    for model in models:
        found.setdefault(model.tokenizer.sha256, []).append(model)
    return list(found.values())


def _described(model: Model) -> dict[str, Any]:
    told = provenance(model.loaded, (), {})
    return {name: told[name] for name in _MODEL} | {"config": model.module.config.to_diff_dict()}
