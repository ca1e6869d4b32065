"""Which factor is responsible, in a sentence computed from effects and their intervals."""

from __future__ import annotations

import math

import numpy as np

from workbench.comparison.design import Factor
from workbench.comparison.effects import ROUNDING, TIMES, Interval

ALONE = 2.0
"""A main effect this many times as large as every other effect is called responsible."""
NOTABLE = 0.5
"""An interaction this large beside the leading effect is told."""


def introduction(measured: int, planned: int) -> str:
    """What is to be known before the sentences."""
    if not measured:
        return "Nothing was measured."
    return f"Unfinished: {measured} of {planned} items were measured." if measured < planned else ""


def conclusion(
    title: str, unit: str, where: str, factors: tuple[Factor, ...], means: np.ndarray, found: dict[str, Interval]
) -> str:
    """The sentence on one outcome: ``means`` (cell,), in the order of `effects.corners`, and its effects ``found``."""
    place = {"all": ""}.get(where, f" {where} tokens")
    items = next(iter(found.values())).n
    if not items:
        return f"{_begin(title)}{place}: no item was measured in every cell, so no effect is known."
    levels = {one.name: f"{one.a} → {one.b}" for one in factors}
    change = f"{means[0]:.3f} in a and {means[-1]:.3f} in b ({unit}; {items} {'item' if items == 1 else 'items'})"
    begin = f"{_begin(title)}{place}, {change}: "
    if items == 1:
        return begin + "one item tells no interval, so nothing is told from chance."
    mains = {name: one for name, one in found.items() if TIMES not in name}
    sure = {name: one for name, one in mains.items() if one.sure}
    crossed = {name: one for name, one in found.items() if TIMES in name and one.sure}
    if not sure:
        largest = max(mains, key=lambda name: abs(mains[name].estimate))
        said = f"no main effect is told from 0; the largest is {_named(largest, levels)} {_sized(mains[largest])}"
        return begin + said + _crossed(crossed, 0.0, found, factors) + "."
    lead = max(sure, key=lambda name: abs(sure[name].estimate))
    size = abs(sure[lead].estimate)
    others = [abs(one.estimate) for name, one in found.items() if name != lead]
    alone = all(size >= ALONE * other for other in others)
    verdict = "is responsible" if alone else "counts most, but not alone" if others else "is responsible"
    said = f"{_named(lead, levels)} {verdict}, {_sized(sure[lead])}"
    rest = [f"{name} {_sized(one)}" for name, one in sure.items() if name != lead]
    unsure = [name for name in mains if name not in sure]
    said += f"; also {' and '.join(rest)}" if rest else ""
    said += f"; {' and '.join(unsure)} {'is' if len(unsure) == 1 else 'are'} not told from 0" if unsure else ""
    return begin + said + _crossed(crossed, NOTABLE * size, found, factors) + "."


def _crossed(
    crossed: dict[str, Interval], least: float, found: dict[str, Interval], factors: tuple[Factor, ...]
) -> str:  # fmt: skip
    """The interactions whose interval leaves 0 out and which are at least so large."""
    told = [
        f"{name} {_sized(one)}{_apart(name, found, factors)}"
        for name, one in crossed.items()
        if abs(one.estimate) >= least
    ]
    return f"; effects depend on each other: {', '.join(told)}" if told else ""


def _apart(name: str, found: dict[str, Interval], factors: tuple[Factor, ...]) -> str:
    """What an interaction of two factors means: the effect of the larger at each level of the other, which is its main
    effect less and plus the interaction. " (window +0.036 with theta 1e4, +0.964 with theta 1e6)"."""
    pair = sorted(name.split(TIMES), key=lambda one: -abs(found[one].estimate))
    if len(pair) != 2:
        return ""
    main, other = found[pair[0]].estimate, next(one for one in factors if one.name == pair[1])
    each = (main - found[name].estimate, main + found[name].estimate)
    said = [f"{size:+.3f} with {other.name} {other.level(side)}" for size, side in zip(each, "ab", strict=True)]
    return f" ({pair[0]} {', '.join(said)})"


def _named(name: str, levels: dict[str, str]) -> str:
    return f"{name} ({levels[name]})"


def _sized(one: Interval) -> str:
    """ "+0.412 [+0.380, +0.444]"."""
    if math.isnan(one.low):
        return f"{one.estimate:+.3f}"
    if one.high - one.low <= ROUNDING:
        return f"{one.estimate:+.3f} (all {one.n} items alike)"
    return f"{one.estimate:+.3f} [{one.low:+.3f}, {one.high:+.3f}]"


def _begin(title: str) -> str:
    return title[0].upper() + title[1:]
