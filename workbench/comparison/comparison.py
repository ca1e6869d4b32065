"""Two inspections side by side: tokens aligned, where the answers part, and every captured part compared."""

from __future__ import annotations

import html
import importlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from workbench.comparison.alignment import Alignment, align_runs
from workbench.comparison.attention import AttentionComparison
from workbench.comparison.changes import Changes
from workbench.comparison.divergence import Divergence
from workbench.comparison.kv_cache import compared_cache
from workbench.comparison.lens import compared_lens
from workbench.comparison.parting import Parting, names, part
from workbench.errors import ComparisonError
from workbench.inspection.inspection import Inspection
from workbench.inspection.predictions import Predictions, predictions


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two runs ``a`` and ``b``, most often of one question by two models. Differences are b less a.

    ``measured`` holds the exact next-token distributions of both models on the text of a and on that of b; None where
    nobody measured them, and then no divergence is shown: it is not approximated from the candidates a run keeps.
    ``changes`` says what differs between the two models, weights left out; None where they were not at hand.
    """

    a: Inspection
    b: Inspection
    alignment: Alignment
    measured: tuple[Divergence, Divergence] | None = None
    changes: Changes | None = None

    @classmethod
    def of(
        cls, a: Inspection, b: Inspection, measured: tuple[Divergence, Divergence] | None = None,
        alignment: Alignment | None = None, changes: Changes | None = None,
    ) -> Comparison:  # fmt: skip
        """What can be told from two inspections at hand. Raises ComparisonError where their ids mean different
        tokens."""
        for one in (a, b):
            if not isinstance(one, Inspection):
                raise ComparisonError(f"A {type(one).__name__} cannot be compared", expected="two inspections")
        hashes = [one.provenance.get("tokenizer") for one in (a, b)]
        if hashes[0] != hashes[1]:
            raise ComparisonError(
                f"{a.model['name']} and {b.model['name']} read text with different tokenizers",
                expected="two runs with the same tokenizer", remedy="Compare runs of models that share one",
            )  # fmt: skip
        return cls(a, b, alignment or align_runs(a, b), measured, changes)

    @cached_property
    def said(self) -> tuple[Predictions, Predictions]:
        """What each output layer said before each token, as far as its run kept it."""
        return predictions(self.a), predictions(self.b)

    @cached_property
    def parting(self) -> Parting:
        """Where and how the two answers part; ``parting.sentence`` says it."""
        return part(self.a, self.b, self.said, self.measured)

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row for each token of either text, aligned ones in one row: position_a, position_b (NA where the text has
        no counterpart), piece, reply, alike (both had read the same before it), logprob_a and logprob_b (nats, of the
        model that wrote that text), difference (logprob_b - logprob_a), kl_ab and kl_ba: KL(a || b) and KL(b || a) of
        the distributions that predict it, in nats, on the text of a, or of b where a has no such token. NaN: not
        captured, or not measured."""
        rows = [self._line(i, j) for i, j in self._order()]
        frame = pd.DataFrame(rows, columns=list(_COLUMNS))
        return frame.astype({"position_a": "Int64", "position_b": "Int64"})

    @cached_property
    def attention(self) -> AttentionComparison:
        """Rows, maps and head statistics as differences."""
        return AttentionComparison(self.a, self.b, self.alignment.common)

    @cached_property
    def lens(self) -> xr.Dataset:
        """Rank and log-probability of the same next token by layer in both; see `compared_lens`."""
        return compared_lens(self.a, self.b, self.alignment)

    @cached_property
    def kv_cache(self) -> pd.DataFrame:
        """Bytes and tokens stored by layer in both; see `compared_cache`."""
        return compared_cache(self.a, self.b)

    @property
    def provenance(self) -> dict[str, Any]:
        """Where both runs come from, and whether the divergence was measured."""
        return {"a": self.a.provenance, "b": self.b.provenance, "measured": self.measured is not None}

    def to_html(self, path: str | Path, title: str | None = None) -> Path:
        """Write one self-contained HTML page with both runs and their difference."""
        return importlib.import_module("workbench.report").write_html([self.a, self.b], path, title, comparison=self)

    def widget(self, **selection: Any) -> Any:
        """Both runs and their difference in a notebook; see `Inspection.widget`. ``selection`` may name the run."""
        return importlib.import_module("workbench.widgets").widget(self, **selection)

    def _order(self) -> list[tuple[int | None, int | None]]:
        """Every token of either text once, in an order that keeps both."""
        order: list[tuple[int | None, int | None]] = [(i, i) for i in range(self.alignment.common)]
        lengths = self.alignment.lengths
        i = j = self.alignment.common
        for a, b in [*self.alignment.pairs.tolist(), lengths]:
            order += [(k, None) for k in range(i, a)] + [(None, k) for k in range(j, b)]
            if (a, b) != lengths:
                order.append((a, b))
            i, j = a + 1, b + 1
        return order

    def _line(self, i: int | None, j: int | None) -> tuple[Any, ...]:
        run, place = (self.a, i) if i is not None else (self.b, j)
        assert place is not None
        logprobs = [
            np.nan if at is None else float(said.logprob[at]) for at, said in zip((i, j), self.said, strict=True)
        ]
        kl = (np.nan, np.nan)
        if self.measured is not None:
            measured = self.measured[0 if i is not None else 1]
            if (at := measured.place(place)) is not None:
                kl = (float(measured.kl_ab[at]), float(measured.kl_ba[at]))
        # A pair that is matched by order stands behind different words, also where one of its places is the first.
        alike = place <= self.alignment.common and (i is None or j is None or i == j)
        reply = place >= run.prompt_length
        return (i, j, run.tokens[place], reply, alike, *logprobs, logprobs[1] - logprobs[0], *kl)

    def __repr__(self) -> str:
        called = names(self.a, self.b)
        tokens = "same text" if self.alignment.same else f"{self.alignment.common} tokens alike"
        if self.measured is None:
            return f"Comparison({called[0]} | {called[1]}: {tokens}, divergence not measured)"
        mean = [float(np.mean(values)) for values in (self.measured[0].kl_ab, self.measured[0].kl_ba)]
        return (
            f"Comparison({called[0]} | {called[1]}: {tokens}, mean KL {mean[0]:.3g} / {mean[1]:.3g} nats "
            f"over {len(self.measured[0].positions)} positions)"
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Plain text, and the sentence with a small table of the replies that needs no script; text is escaped."""
        shown = self.table[self.table["reply"]].head(40)
        cells = "".join(
            f"<tr><td>{a}</td><td>{b}</td><td><code>{html.escape(piece)}</code></td>"
            f"<td>{np.exp(logprob_a):.3f}</td><td>{np.exp(logprob_b):.3f}</td><td>{kl:.3f}</td></tr>"
            for a, b, piece, logprob_a, logprob_b, kl in shown[list(_SHOWN)].itertuples(index=False)
        )
        heads = ("in a", "in b", "token", "p in a", "p in b", "KL(a || b), nats")
        head = "".join(f"<th>{name}</th>" for name in heads)
        table = f"<table><tr>{head}</tr>{cells}</table>" if cells else ""
        said = html.escape(self.parting.sentence)
        return {"text/plain": repr(self), "text/html": f"<p>{html.escape(repr(self))}</p><p>{said}</p>{table}"}


_SHOWN = ("position_a", "position_b", "piece", "logprob_a", "logprob_b", "kl_ab")
_COLUMNS = ("position_a", "position_b", "piece", "reply", "alike", "logprob_a", "logprob_b", "difference", "kl_ab",
            "kl_ba")  # fmt: skip
