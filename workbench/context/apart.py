"""Names in one folder that stand for several things, told apart: one model in two precisions, one task on two texts."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pandas as pd

from workbench.errors import WorkbenchError

_MODEL = ("dtype", "quantization", "weights", "switches")
_TASK = ("variant",)


def told_apart(trials: pd.DataFrame) -> pd.DataFrame:
    """``trials`` with the ``model`` and ``task`` of those names that stand for several followed by what differs, in
    brackets: "v0.2 [bfloat16]" and "v0.2 [float16]", "needle [drawn]" and "needle [book.txt 1a2b3c4d]". Columns that an
    older folder lacks tell nothing apart."""
    for name, parts in (("model", _MODEL), ("task", _TASK)):
        there = [part for part in parts if part in trials]
        if name not in trials or not there:
            continue
        said = trials[there].fillna("").astype(str)
        new = trials[name].astype(object)
        for one, group in said.groupby(trials[name], sort=False):
            differ = [part for part in there if group[part].nunique() > 1]
            if differ:
                words = [" ".join(_word(part, value) for part, value in zip(differ, row, strict=True)).strip()
                         for row in group[differ].itertuples(index=False)]  # fmt: skip
                new.loc[group.index] = [apart(str(one), word) for word in words]
        trials = trials.assign(**{name: new})
    return trials


def plain(name: str) -> str:
    """A name without what tells it apart: "needle" of "needle [noise]"."""
    return name.partition(" [")[0]


def apart(name: str, word: str) -> str:
    """ "needle [noise]" of "needle" and "noise"."""
    return f"{name} [{word or 'not said'}]"


def known(wanted: Iterable[str], names: Iterable[str]) -> None:
    """Raises WorkbenchError for a wanted model that ``names`` tell apart."""
    names = list(dict.fromkeys(names))
    for one in wanted:
        several = [name for name in names if name.startswith(f"{one} [")]
        if one not in names and several:
            raise WorkbenchError(f"{one} stands for several models here", expected=" or ".join(several))


def _word(part: str, value: str) -> str:
    if part == "weights":
        return value[:8]
    if part == "switches":
        try:
            return " ".join(f"{name}={said}" for name, said in json.loads(value).items())
        except (ValueError, AttributeError):
            return value[:40]
    return value
