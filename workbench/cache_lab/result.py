"""What a cache study found: by policy, bytes and what is lost; which tokens each kept."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from workbench.cache_lab.outcomes import Kept
from workbench.errors import CacheError
from workbench.results import Result
from workbench.statistics import bootstrap_mean, wilson


@dataclass(frozen=True)
class Prompt:
    """A prompt whose kept tokens are told: ``pieces`` are its tokens as text."""

    name: str
    ids: tuple[int, ...]
    pieces: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class CacheFindings(Result):
    """``texts``: a row for each policy and text (length, followed, bytes, predicted, fewest and most tokens stored,
    loss and kl in nats a token). ``questions``: a row for each policy and question (the same, right, share, logprob of
    the expected answer in nats, answer). ``prompts`` and ``kept[policy, prompt]``: tokens stored, for the first text
    and the first question."""

    policies: tuple[str, ...]
    texts: pd.DataFrame
    questions: pd.DataFrame
    prompts: Mapping[str, Prompt]
    kept: Mapping[tuple[str, str], Kept] = field(repr=False)
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @cached_property
    def table(self) -> pd.DataFrame:
        """By policy: ``tokens`` stored a layer and head, ``bytes`` and ``predicted`` (means over prompts), ``of_full``
        (bytes as a share of the full cache's), loss and how much more it is than the full cache's with its 95 %
        interval (low, high: bootstrap over texts, NaN for one), kl, texts; right with Wilson's interval (right_low,
        right_high), logprob (mean nats a token of the answer), questions. Policies with nothing done are left out."""
        rows = []
        first = self.policies[0] if self.policies else ""
        for name in self.policies:
            texts, asked = (part[part["policy"] == name] for part in (self.texts, self.questions))
            both = pd.concat([part[["prompt", "bytes", "predicted", "most"]] for part in (texts, asked)])
            if both.empty:
                continue
            row: dict[str, Any] = {
                "policy": name, "tokens": both["most"].mean(), "bytes": both["bytes"].mean(),
                "predicted": both["predicted"].mean(), "of_full": self._share(both, first),
            }  # fmt: skip
            more = (
                texts.set_index("prompt")["loss"]
                - self.texts[self.texts["policy"] == first].set_index("prompt")["loss"]
            )
            low, high = bootstrap_mean(more.dropna().to_numpy())
            row |= {"loss": texts["loss"].mean(), "loss_more": more.mean(), "low": low, "high": high}
            right = int(asked["right"].sum())
            at = wilson(right, len(asked)) if len(asked) else (np.nan, np.nan)
            row |= {"kl": texts["kl"].mean(), "texts": len(texts), "right": asked["right"].astype(float).mean()}
            row |= {
                "right_low": at[0],
                "right_high": at[1],
                "logprob": (asked["logprob"] / asked["expected_tokens"]).mean(),
            }
            rows.append({**row, "questions": len(asked)})
        columns = ["policy", "tokens", "bytes", "predicted", "of_full", "loss", "loss_more", "low", "high", "kl",
                   "texts", "right", "right_low", "right_high", "logprob", "questions"]  # fmt: skip
        return pd.DataFrame(rows, columns=columns).set_index("policy")

    def _share(self, both: pd.DataFrame, first: str) -> float:
        full = pd.concat([self.texts, self.questions])
        full = full[(full["policy"] == first) & full["prompt"].isin(both["prompt"])]
        return float(both["bytes"].sum() / full["bytes"].sum()) if len(full) else float("nan")

    def which(self, policy: str, prompt: str | None = None) -> Kept:
        """Which tokens ``policy`` kept of ``prompt`` (the first there is). Raises CacheError for what was not read."""
        name = next(iter(self.prompts), "") if prompt is None else prompt
        if (policy, name) not in self.kept:
            raise CacheError(
                f"Nothing is known of {policy[:40]!r} and {name[:40]!r}",
                expected=", ".join(f"{one} and {two}" for one, two in self.kept) or "a study that has begun",
            )
        return self.kept[policy, name]

    def save_csv(self, path: str | Path) -> None:
        """The table."""
        self.table.to_csv(path)

    def to_dataframe(self) -> pd.DataFrame:
        """`table` with the policy as a column."""
        return self.table.reset_index()

    def to_xarray(self, prompt: str | None = None) -> xr.DataArray:
        """(policy, layer, position): how many key-value heads of a layer store each token of ``prompt`` (the first
        there is) under each policy that read it; ``token`` spells it. Raises CacheError for what was not read."""
        name = next(iter(self.prompts), "") if prompt is None else prompt
        read = [policy for policy in self.policies if (policy, name) in self.kept]
        self.which(read[0] if read else "full", name)
        kept = [self.kept[policy, name] for policy in read]
        values = np.array([[one.heads(layer) for layer in range(len(one.positions))] for one in kept])
        coords: dict[str, Any] = {"policy": read, "layer": np.arange(values.shape[1]),
                                  "position": np.arange(values.shape[2])}  # fmt: skip
        found = xr.DataArray(values, dims=("policy", "layer", "position"), coords=coords, name="kept")
        pieces = self.prompts[name].pieces
        return found.assign_coords(token=("position", list(pieces))) if len(pieces) == values.shape[2] else found

    def figure(self) -> Any:
        """A plotly figure: what each policy loses (nats a token more than the full cache, or where no text was read the
        share of right answers) by the bytes that it keeps. Raises WorkbenchError without plotly or before anything was
        read."""
        return importlib.import_module("workbench.figures.dots").cache_figure(self.table)

    def tables(self) -> list[tuple[str, pd.DataFrame]]:
        """The policies, then every text and question."""
        parts = [("By policy (bytes; loss and kl in nats a token)", self.table), ("Texts", self.texts),
                 ("Questions", self.questions)]  # fmt: skip
        return [part for i, part in enumerate(parts) if i == 0 or len(part[1])]

    def __repr__(self) -> str:
        texts, asked = self.texts["prompt"].nunique(), self.questions["prompt"].nunique()
        return f"CacheFindings({len(self.table)} policies, {texts} texts, {asked} questions)"
