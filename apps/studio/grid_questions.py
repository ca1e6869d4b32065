"""The questions behind one cell of a retrieval grid: the prompt, cut, with its needles; each answer, and why."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import workbench as wb
from apps.studio.asked_grid import WITHOUT, AskedGrid, deep
from apps.studio.named_models import Named
from workbench.context.item import Item
from workbench.context.mechanism import Mechanism
from workbench.errors import WorkbenchError

ENDS, AROUND = 220, 110
"""Characters of a prompt that are shown: at its ends, and on both sides of a needle."""


def questions(
    grid: wb.Grid, asked: AskedGrid, folder: Path | None, model: wb.Model, task: str, length: int, depth: float
) -> list[dict[str, Any]]:
    """By case: item, case, expected, references, parts of the prompt ({"kind": "text", "needle" or "cut", "text"}) and
    answers {model: {text, right, share, logprob (nats a token), first_logprob, tokens, ended}}. ``model`` gives the
    tokenizer."""
    found = []
    table = _at(grid, task, length, depth)
    for case, part in table.groupby("case", sort=True):
        item = asked.item(model.tokenizer, folder, task, length, depth, int(case))  # type: ignore[call-overload]
        answers = {
            str(row["model"]): {
                "text": row["answer"], "right": bool(row["right"]), "share": float(row["share"]),
                "logprob": float(row["logprob"]) / int(row["expected_tokens"]), "tokens": int(row["tokens"]),
                "first_logprob": float(row["first_logprob"]), "ended": bool(row["ended"]),
            }
            for row in part.to_dict("records")
        }  # fmt: skip
        found.append({
            "case": item.case, "item": item.key, "expected": item.expected, "references": list(item.references),
            "tokens": len(item.prompt.ids), "parts": cut(item), "answers": answers,
            "same": item.key in set(part["item"]),
        })  # fmt: skip
    return found


def _at(grid: wb.Grid, task: str, length: int, depth: float) -> Any:
    table = grid.trials
    if not len(table):
        return table
    here = table["depth"].isna() | np.isclose(table["depth"].to_numpy(float), depth, atol=1e-5)
    return table[(table["task"] == task) & (table["length"] == length) & here]


def cut(item: Item) -> list[dict[str, str]]:
    """The prompt's text in parts: its ends and what stands around the needles; what is left out is a "cut" of so many
    characters."""
    text = item.prompt.text
    needles = [place for span in item.needles if (place := _characters(item, span))]
    keep = np.zeros(len(text), bool)
    mark = np.zeros(len(text), bool)
    keep[:ENDS] = True
    keep[max(0, len(text) - ENDS) :] = True
    for start, stop in needles:
        keep[max(0, start - AROUND) : stop + AROUND] = True
        mark[start:stop] = True
    kinds = np.where(mark, 2, np.where(keep, 1, 0))
    edges = [0, *(np.flatnonzero(np.diff(kinds)) + 1).tolist(), len(text)]
    found = []
    for start, stop in itertools.pairwise(edges):
        kind = ("cut", "text", "needle")[int(kinds[start])] if stop > start else "text"
        found.append({"kind": kind, "text": f"{stop - start:,}" if kind == "cut" else text[start:stop]})
    return found


def _characters(item: Item, span: tuple[int, int]) -> tuple[int, int] | None:
    """The characters that tokens [start, stop) of the prompt cover."""
    known = [place for place in item.prompt.spans[span[0] : span[1]] if place]
    return (known[0][0], known[-1][1]) if known else None


def why(found: Mechanism, named: Named, asked: AskedGrid) -> dict[str, Any]:
    """A `Mechanism` as the page draws it: needle_mass and copied [layer][head] over the told tokens, rank and logprob
    [layer][answer], pieces, told, settles, the best heads, a sentence, code."""
    seen = found.told if found.told.any() else ~found.told
    item = found.item
    depth = 0.5 if item.depth is None else item.depth
    heads = found.heads().query("needle_mass > 0.001").head(8)
    return {
        "model": named.name, "title": named.title, "said": sentence(found, named.title),
        "pieces": list(found.pieces), "told": found.told.tolist(),
        "needle_mass": plain(found.needle_mass.values[..., seen].mean(-1)), "copied": plain(found.copied.values),
        "rank": found.rank.values.tolist(), "logprob": plain(found.logprob.values), "settles": found.settles,
        "heads": [{name: _number(row[name]) for name in heads} for row in heads.to_dict("records")],
        "code": "\n".join([
            "import workbench as wb",
            "from workbench.context.tasks import task", "", f"model = {named.code}",
            f"item = task({'yours.jsonl' if item.task == 'own' else item.task!r}).make(model.tokenizer, {item.length}, "
            f"{depth}, case={item.case}, seed={item.seed}, form={item.form!r})",
            "found = wb.mechanism(model, item)", "print(found)", "found.heads(), found.rank",
        ]) + "\n",
    }  # fmt: skip


def sentence(found: Mechanism, name: str) -> str:
    """What was found, in words."""
    best = found.heads().iloc[0]
    settled = (
        "the right answer is not its own guess at the last layer" if found.settles is None
        else f"from layer {found.settles} of {len(found.rank) - 1} on, the lens guesses every token of it"
    )  # fmt: skip
    if found.needle_mass.max() < 0.001:
        return f"{name}: no head sees the needle while the answer is written; {settled}."
    named = f"head {int(best['layer'])}.{int(best['head'])}"
    if not found.told.any():
        return f"{name}: no token of the answer stands in a needle as it is; {settled}."
    reads = f"puts {100 * best['needle_mass']:.0f} % of its attention on the needle while the answer is written"
    return f"{name}: {named} {reads} and looks up {100 * best['copied']:.0f} % of the answer's tokens there; {settled}."


def chosen(asked: AskedGrid, request: Mapping[str, Any]) -> tuple[str, int, float]:
    """Task, length and depth of a cell of the grid. Raises WorkbenchError for a cell that it has not."""
    task, length, depth = request.get("task"), request.get("length"), request.get("depth")
    if task not in asked.tasks or length not in asked.lengths or not isinstance(depth, int | float):
        raise WorkbenchError("This cell is not in the grid", expected="a cell of the picture")
    if not deep(str(task)):
        return str(task), int(length), WITHOUT
    near = min(asked.depths, key=lambda one: abs(one - depth))
    return str(task), int(length), float(near)


def plain(values: np.ndarray) -> list[Any]:
    """Rows of numbers as JSON, NaN as nothing."""
    return [[_number(one) for one in row] for row in values]


def _number(value: Any) -> float | int | None:
    if isinstance(value, int | np.integer):
        return int(value)
    return round(float(value), 5) if np.isfinite(value) else None
