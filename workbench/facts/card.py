"""An identity card: what was found about a model, row by row."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from workbench.facts.against import Contrast
from workbench.facts.tensors import TensorReport
from workbench.results import Result


@dataclass(frozen=True)
class Fact:
    """One row: what the files state, what is loaded, what was probed ("" where not), and whether they agree (None:
    nothing to compare)."""

    name: str
    stated: str
    loaded: str
    probed: str = ""
    agrees: bool | None = None

    @property
    def mark(self) -> str:
        """ "agree", "DIFFER", or nothing to compare."""
        return "" if self.agrees is None else "agree" if self.agrees else "DIFFER"


@dataclass(frozen=True)
class IdentityCard(Result):
    """All facts of one model; ``conflicts`` are those whose sources contradict each other. ``tensors``: the check of
    every tensor, None where it was not run. ``contrast``: the fields of config and tokenizer that differ from another
    checkpoint's, None where none was named."""

    model: str
    facts: tuple[Fact, ...]
    tensors: TensorReport | None = None
    contrast: Contrast | None = None

    @property
    def conflicts(self) -> tuple[Fact, ...]:
        return tuple(fact for fact in self.facts if fact.agrees is False)

    def table(self) -> pd.DataFrame:
        """By fact: stated, loaded, probed, agrees."""
        rows = [(f.name, f.stated, f.loaded, f.probed, f.agrees) for f in self.facts]
        return pd.DataFrame(rows, columns=["fact", "stated", "loaded", "probed", "agrees"]).set_index("fact")

    def __getitem__(self, name: str) -> Fact:
        return next(fact for fact in self.facts if fact.name == name)

    def to_dataframe(self) -> pd.DataFrame:
        """`table` as a flat one: a row a fact."""
        return self.table().reset_index()

    def tables(self) -> list[tuple[str, pd.DataFrame]]:
        """The facts, and the contrast where there is one."""
        rows = [(f.name, f.stated, f.loaded, f.probed, f.mark) for f in self.facts]
        found = [("Facts", pd.DataFrame(rows, columns=["fact", "stated", "loaded", "probed", "agrees"]))]
        if self.contrast is not None:
            found.append((f"Where it differs from {self.contrast.other}", self.contrast.table()))
        return found

    def __repr__(self) -> str:
        wrong = ", ".join(fact.name for fact in self.conflicts)
        found = f"in conflict: {wrong}" if wrong else "no conflict"
        return f"IdentityCard({self.model}: {len(self.facts)} facts, {found})"
