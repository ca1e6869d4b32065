"""Two inspections side by side: tokens aligned, where the answers part, and every captured part compared."""

from __future__ import annotations

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
from workbench.results import Result
from workbench.results.markup import flat


@dataclass(frozen=True, eq=False)
class Comparison(Result):
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

    @property
    def sentence(self) -> str:
        """Where and how the two answers part."""
        return self.parting.sentence

    def to_dataframe(self, part: str = "tokens") -> pd.DataFrame:
        """ "tokens": `table`, a row a token of either text, nats. "statistics": what each captured head does in both
        runs (`AttentionComparison.statistics`), flat. "cache": bytes and tokens by layer. "lens": a row a layer and
        aligned token. Raises CaptureError or ComparisonError for what was not captured in both runs."""
        if part == "tokens":
            return self.table.copy()
        if part == "statistics":
            return flat(self.attention.statistics())
        if part == "cache":
            return flat(self.kv_cache)
        if part == "lens":
            return self.lens.to_dataframe().reset_index()
        raise ComparisonError(f"There is no part {part[:40]!r}", expected="tokens, statistics, cache or lens")

    def to_xarray(self, part: str = "lens", layer: int | None = None) -> xr.Dataset | xr.DataArray:
        """ "lens": `lens`, a Dataset over (layer, place) with token coordinates. "attention": b less a of the pooled
        maps (layer, head, query_block, key_block), or of one ``layer``. Raises CaptureError or ComparisonError for what
        was not captured in both runs."""
        if part == "lens":
            return self.lens
        if part == "attention":
            return self.attention.map(layer)
        raise ComparisonError(f"There is no part {part[:40]!r}", expected="lens or attention")

    def figure(self, part: str = "tokens") -> Any:
        """A plotly figure of the "tokens", the one part that is drawn here: over the places of the reply the
        log-probability of each token in both runs (nats), and below it KL where it was measured. Raises ComparisonError
        for another part (`Inspection.figure` draws those of one run), WorkbenchError without plotly."""
        if part != "tokens":
            raise ComparisonError(
                f"There is no figure of {repr(part)[:40]}", expected='"tokens"',
                remedy="Ask one of the two runs for the others: found.a.figure(part)",
            )  # fmt: skip
        return importlib.import_module("workbench.figures.runs").comparison_figure(self)

    def tables(self) -> list[tuple[str, pd.DataFrame]]:
        """The tokens of the reply, or of the text where nothing was generated."""
        reply = self.table[self.table["reply"]]
        names = [name for name in self.table.columns if name not in ("reply", "alike")]
        return [("Tokens (log-probabilities and KL in nats)", (reply if len(reply) else self.table)[names])]

    def contradiction(self) -> str | None:
        """An alignment or a divergence that does not fit the two texts."""
        lengths, pairs = (len(self.a.ids), len(self.b.ids)), self.alignment.pairs
        if self.alignment.lengths != lengths or not 0 <= self.alignment.common <= min(lengths):
            return "the alignment is not of these texts"
        if pairs.ndim != 2 or pairs.shape[1] != 2 or (pairs < self.alignment.common).any() or (pairs >= lengths).any():
            return "pairs of the alignment lie outside the texts"
        for measured, length in zip(self.measured or (), lengths, strict=False):
            arrays = [one for one in vars(measured).values() if isinstance(one, np.ndarray)]
            places = measured.positions
            if {len(one) for one in arrays} != {len(places)} or ((places < 0) | (places >= length)).any():
                return "the divergence is not of these texts"
        return None

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


_COLUMNS = ("position_a", "position_b", "piece", "reply", "alike", "logprob_a", "logprob_b", "difference", "kl_ab",
            "kl_ba")  # fmt: skip
