"""Heads named by what they read, from the statistics of one inspection."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

NARROW = ("induction", "retrieval", "previous")
KINDS = (*NARROW, "sink", "local")
_SOURCE = {"induction": "induction", "retrieval": "copying", "previous": "previous", "sink": "sink", "local": "recent"}


def head_scores(statistics: xr.Dataset, tokens: int, least: float = 0.4) -> pd.DataFrame:
    """A row for every head, indexed by (layer, head): a score of 0 to 1 for each of KINDS, and a ``name``, "" when
    no score is at least ``least``. ``tokens`` were read.

    induction: mass on the key after the last occurrence of the query's token, over queries that have one (Olsson et
    al., 2022). retrieval: mass on the last key that holds the token which comes next, over queries that have one (after
    Wu et al., 2024). previous: mass on the key before. sink: mass on the first keys. local: mass on the most recent
    keys. The two last say nothing of a text that hardly reaches beyond those keys: NaN then. Scores are about one text.
    A previous-token head is local too, so the narrow kinds (the first three, the largest score of them) come before
    sink, and sink before local.
    """
    block = int(statistics.attrs["block"])
    starts = statistics["query_block"].values
    filled = np.minimum(starts + block, tokens) - starts
    scores: dict[str, np.ndarray] = {}
    for kind in KINDS:
        total = (statistics[_SOURCE[kind]].values * filled).sum(-1)
        share = f"{_SOURCE[kind]}_share"
        count = (statistics[share].values * filled).sum() if share in statistics else float(filled.sum())
        scores[kind] = total / count if count > 0 else np.full(total.shape, np.nan)
    for kind, width in (("sink", statistics.attrs["sink_tokens"]), ("local", statistics.attrs["recent"])):
        if tokens < 4 * width:
            scores[kind] = np.full_like(scores[kind], np.nan)
    index = pd.MultiIndex.from_product(
        [statistics["layer"].values.tolist(), statistics["head"].values.tolist()], names=["layer", "head"]
    )
    table = pd.DataFrame({kind: values.reshape(-1) for kind, values in scores.items()}, index=index)
    known = table.fillna(-1.0)
    narrow = known[list(NARROW)].to_numpy()
    choices = [narrow.max(1) >= least, known["sink"] >= least, known["local"] >= least]
    table["name"] = np.select(choices, [np.array(NARROW)[narrow.argmax(1)], "sink", "local"], "")
    return table
