"""Scores that others published for the pair. Nothing here was measured by this project."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

NOT_MEASURED = "published, not measured here"


@dataclass(frozen=True)
class Score:
    """A ``measure`` as published: ``v01`` and ``v02`` as written there, "none published" where there is none."""

    measure: str
    v01: str
    v02: str
    source: str


_NONE = "none published"
_RULER = "RULER's table of results (NVIDIA/RULER)"

PUBLISHED: tuple[Score, ...] = (
    Score("MT-Bench", "6.84 ± 0.07", "7.6", "v0.1: the Mistral 7B paper; v0.2: Mistral's announcement"),
    Score("AlpacaEval 2, length-controlled win rate", _NONE, "17.11 %", "AlpacaEval's leaderboard"),
    Score("AlpacaEval 2, win rate", _NONE, "14.72 %", "AlpacaEval's leaderboard"),
    *(
        Score(f"RULER at {length}", _NONE, value, _RULER)
        for length, value in (
            ("4k", "93.6"), ("8k", "91.2"), ("16k", "87.2"), ("32k", "75.4"), ("64k", "49.0"), ("128k", "13.8")
        )
    ),
    Score("RULER, effective length", _NONE, "16k", f"{_RULER}: the last length above 85.6"),
)  # fmt: skip


def table() -> pd.DataFrame:
    """By measure: v0.1, v0.2, source, and that none of it was measured here."""
    rows = [(s.measure, s.v01, s.v02, s.source, NOT_MEASURED) for s in PUBLISHED]
    return pd.DataFrame(rows, columns=["measure", "v0.1", "v0.2", "source", "kind"]).set_index("measure")
