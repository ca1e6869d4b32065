"""Payload of the questions behind a cell of the retrieval grid: prompts, cut, with their needles; answers; and why."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from workbench.context.item import Item
from workbench.context.mechanism import Mechanism

ENDS, AROUND = 220, 110
"""Characters of a prompt that are shown: at its ends, and on both sides of a needle."""


def question(item: Item, trials: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What `questions.js` draws of one question: case, item, expected, references, tokens of the prompt, its parts
    (`cut`), and from ``trials`` (rows of `Grid.trials`) the answers {model: {text, right, share, logprob (nats a
    token), first_logprob, tokens, ended}}."""
    answers = {
        str(row["model"]): {
            "text": row["answer"], "right": bool(row["right"]), "share": float(row["share"]),
            "logprob": float(row["logprob"]) / int(row["expected_tokens"]), "tokens": int(row["tokens"]),
            "first_logprob": float(row["first_logprob"]), "ended": bool(row["ended"]),
        }
        for row in trials
    }  # fmt: skip
    return {
        "case": item.case, "item": item.key, "expected": item.expected, "references": list(item.references),
        "tokens": len(item.prompt.ids), "parts": cut(item), "answers": answers,
    }  # fmt: skip


def cut(item: Item) -> list[dict[str, str]]:
    """The prompt's text in parts, {"kind": "text", "needle" or "cut", "text"}: its ends and what stands around the
    needles; what is left out is a "cut" of so many characters."""
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


def mechanism(found: Mechanism, title: str) -> dict[str, Any]:
    """What `why.js` draws of a `Mechanism`: needle_mass and copied [layer][head] over the told tokens, rank and logprob
    [layer][answer], pieces, told, settles, the best heads, and a sentence about the model called ``title``."""
    seen = found.told if found.told.any() else ~found.told
    heads = found.heads().query("needle_mass > 0.001").head(8)
    return {
        "said": sentence(found, title), "pieces": list(found.pieces), "told": found.told.tolist(),
        "needle_mass": plain(found.needle_mass.values[..., seen].mean(-1)), "copied": plain(found.copied.values),
        "rank": found.rank.values.tolist(), "logprob": plain(found.logprob.values), "settles": found.settles,
        "heads": [{name: _number(row[name]) for name in heads} for row in heads.to_dict("records")],
    }  # fmt: skip


def sentence(found: Mechanism, name: str) -> str:
    """What was found, in words."""
    best = found.heads().iloc[0]
    settled = (
        "the right answer is not its own guess at the last layer" if found.settles is None
        else f"from layer {found.settles} of {len(found.rank) - 1} on, the lens guesses every token of it"
    )  # fmt: skip
    if not found.item.needles:
        return f"{name}: there is no needle to look up; {settled}."
    if found.needle_mass.max() < 0.001:
        return f"{name}: no head sees the needle while the answer is written; {settled}."
    named = f"head {int(best['layer'])}.{int(best['head'])}"
    if not found.told.any():
        return f"{name}: no token of the answer stands in a needle as it is; {settled}."
    reads = f"puts {100 * best['needle_mass']:.0f} % of its attention on the needle while the answer is written"
    return f"{name}: {named} {reads} and looks up {100 * best['copied']:.0f} % of the answer's tokens there; {settled}."


def plain(values: np.ndarray) -> list[Any]:
    """Rows of numbers as JSON, NaN as nothing."""
    return [[_number(one) for one in row] for row in values]


def _number(value: Any) -> float | int | None:
    if isinstance(value, int | np.integer):
        return int(value)
    return round(float(value), 5) if np.isfinite(value) else None
