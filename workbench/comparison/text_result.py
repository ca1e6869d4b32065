"""What two models expected of the same texts: by text, together, by position, and where they differ most.

Intervals are 95 % t intervals over texts: each text gives one mean, so a long text counts as much as a short one, and
the difference between the models is taken within each text before it is averaged (paired). The texts are a sample; the
tokens of one text are not independent of each other and are not treated as if they were.
"""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from workbench.comparison.effects import Interval, interval
from workbench.comparison.factorial_result import ranges
from workbench.errors import ComparisonError
from workbench.models.given import path_given
from workbench.results import Result

COLUMNS = ("text", "position", "token_id", "piece", "logprob_a", "logprob_b", "difference", "kl_ab", "kl_ba")
MEASURES = ("loss_a", "loss_b", "difference", "kl_ab", "kl_ba")
BEFORE = 10
"""Tokens shown before one that stands out."""
_ROWS = 40


@dataclass(frozen=True, eq=False)
class TextComparison(Result):
    """``tokens`` has a row for each predicted token: text, position (tokens before it), token_id, piece, logprob_a and
    logprob_b (nats, of this token), difference (logprob_b - logprob_a), kl_ab = KL(a || b) and kl_ba of the
    distributions that predict it (nats). ``planned`` texts were asked for. ``by`` names the models."""

    by: tuple[str, str]
    tokens: pd.DataFrame
    planned: int
    edges: tuple[int, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def finished(self) -> bool:
        """Whether every text was read."""
        return len(self._by_text) == self.planned

    @cached_property
    def _by_text(self) -> pd.DataFrame:
        return _means(self.tokens)

    def table(self) -> pd.DataFrame:
        """A row for each text: tokens, loss_a and loss_b (nats a token), difference (loss_b - loss_a: above 0, b finds
        the text less likely), kl_ab, kl_ba (mean nats a token)."""
        return self._by_text.copy()

    @cached_property
    def together(self) -> dict[str, Interval]:
        """loss_a, loss_b, difference, kl_ab and kl_ba over texts: mean, 95 % t interval and n, each text counting
        once."""
        return {name: interval(self._by_text[name].to_numpy(float)) for name in MEASURES}

    @cached_property
    def pooled(self) -> dict[str, float]:
        """The same means over all tokens, a long text counting more; without an interval."""
        means = _means(self.tokens.assign(text="all"))
        return {name: float(means[name].iloc[0]) if len(means) else float("nan") for name in MEASURES}

    @cached_property
    def positions(self) -> pd.DataFrame:
        """By range of tokens read before: tokens, loss_a, loss_b, difference with its 95 % t interval over the texts
        that reach there (low, high, n), and kl_ab, each text counting once."""
        rows = []
        for name, low, high in ranges(self.edges) or [("all", 0.0, float("inf"))]:
            part = self.tokens[(self.tokens["position"] > low) & (self.tokens["position"] <= high)]
            means = _means(part)
            if not len(means):
                continue
            found = interval(means["difference"].to_numpy(float))
            own = [float(means[one].mean()) for one in ("loss_a", "loss_b")]
            rows.append((name, len(part), *own, *found, float(means["kl_ab"].mean())))
        names = ["read before", "tokens", "loss_a", "loss_b", "difference", "low", "high", "n", "kl_ab"]
        return pd.DataFrame(rows, columns=names).set_index("read before")

    def largest(self, count: int = 20) -> pd.DataFrame:
        """The ``count`` tokens whose log-probability differs most, either way, with the tokens ``before`` them."""
        if not isinstance(count, int) or count < 1:
            raise ComparisonError(f"The count is {count!r}", expected="a whole number of at least 1")
        order = self.tokens["difference"].abs().sort_values(ascending=False, kind="stable").index[:count]
        chosen = self.tokens.loc[order]
        pieces, texts = self.tokens["piece"].tolist(), self.tokens["text"].tolist()
        before = ["".join(p for p, t in zip(pieces[max(0, i - BEFORE) : i], texts[max(0, i - BEFORE) : i], strict=True)
                          if t == texts[i]) for i in order]  # fmt: skip
        return chosen.assign(before=[_plain(one) for one in before]).reset_index(drop=True)

    @cached_property
    def sentence(self) -> str:
        """Which model finds the texts more likely, as far as the interval tells."""
        n = len(self._by_text)
        if not n:
            return "No text was read."
        begin = "" if self.finished else f"Unfinished: {n} of {self.planned} texts were read. "
        one = self.together["difference"]
        losses = [self.together[name].estimate for name in ("loss_a", "loss_b")]
        said = (
            f"{begin}Over {n} {'text' if n == 1 else 'texts'} and {len(self.tokens):,} tokens the loss is "
            f"{losses[0]:.3f} nats a token in {self.by[0]} and {losses[1]:.3f} in {self.by[1]}: "
        )
        apart = [self.together[name].estimate for name in ("kl_ab", "kl_ba")]
        kl = f" Mean KL is {apart[0]:.3g} (a || b) and {apart[1]:.3g} nats."
        if n == 1:
            return f"{said}{one.estimate:+.3f}; one text tells no interval.{kl}"
        bounds = f"{one.estimate:+.3f}, 95 % {one.low:+.3f} to {one.high:+.3f}"
        if one.sure:
            return f"{said}{self.by[0 if one.estimate > 0 else 1]} finds them more likely ({bounds}).{kl}"
        return f"{said}the difference cannot be told from chance ({bounds}).{kl}"

    def to_csv(self, path: str | Path, tokens: bool = False) -> Path:
        """Write the table of texts, or with ``tokens`` that of every token."""
        target = path_given(path)
        (self.tokens.set_index("text") if tokens else self.table()).to_csv(target)
        return target

    def figure(self) -> Any:
        """A plotly figure: the difference of each text, and by position, with intervals. Raises ComparisonError where
        plotly is not installed."""
        return importlib.import_module("workbench.figures.texts").figure(self)

    def as_json(self, tokens: int = _ROWS) -> dict[str, Any]:
        """Sentence, tables, the ``tokens`` that differ most and provenance as JSON-able data; NaN as None."""
        tables = {"texts": self.table(), "positions": self.positions}
        together = [{"measure": name, **one._asdict()} for name, one in self.together.items()]
        return {
            "by": list(self.by), "sentence": self.sentence, "planned": self.planned, "edges": list(self.edges),
            "together": json.loads(pd.DataFrame(together).to_json(orient="records")),
            **{name: json.loads(one.reset_index().to_json(orient="records")) for name, one in tables.items()},
            "largest": json.loads(self.largest(tokens).to_json(orient="records")) if len(self.tokens) else [],
            "provenance": self.provenance,
        }  # fmt: skip

    def to_dataframe(self, tokens: bool = False) -> pd.DataFrame:
        """`table` as a flat one, a row a text; with ``tokens`` a row a token. Nats."""
        return self.tokens.copy() if tokens else self.table().reset_index()

    def tables(self) -> list[tuple[str, pd.DataFrame]]:
        """Texts, positions, and the tokens that differ most."""
        names = ["text", "position", "before", "piece", "logprob_a", "logprob_b", "difference"]
        return [("Each text (loss in nats a token; difference: b less a)", self.table()),
                ("By tokens read before (95 % t interval over texts)", self.positions),
                ("Tokens whose log-probability differs most (b less a)",
                 self.largest(_ROWS)[names] if len(self.tokens) else self.tokens)]  # fmt: skip

    def __repr__(self) -> str:
        one, n = self.together["difference"], len(self._by_text)
        texts = f"{n} texts" if self.finished else f"unfinished, {n} of {self.planned} texts"
        return (
            f"TextComparison({self.by[0]} | {self.by[1]}: {texts}, {len(self.tokens)} tokens, loss difference "
            f"{one.estimate:+.3f} [{one.low:+.3f}, {one.high:+.3f}] nats)"
        )


def _means(tokens: pd.DataFrame) -> pd.DataFrame:
    """By text, in their order: tokens, and the means of `MEASURES`."""
    groups = tokens.groupby("text", sort=False)
    means = groups[["logprob_a", "logprob_b", "kl_ab", "kl_ba"]].agg(_mean)
    found = {
        "tokens": groups.size(), "loss_a": -means["logprob_a"], "loss_b": -means["logprob_b"],
        "difference": means["logprob_a"] - means["logprob_b"], "kl_ab": means["kl_ab"], "kl_ba": means["kl_ba"],
    }  # fmt: skip
    return pd.DataFrame(found)


def _mean(values: pd.Series) -> float:
    return float(np.mean(values.to_numpy(float)))


def _plain(pieces: str) -> str:
    """Pieces as one reads them."""
    return pieces.replace("▁", " ").replace("<0x0A>", "⏎").strip()
