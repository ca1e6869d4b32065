"""The work of a study in equal shares, one for each of several processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from workbench.context.plan import Group

_PIECES = 4
"""Pieces a process, at least: so many that what is left over at the end is short."""


def shares(groups: Sequence[Group], count: int) -> list[list[Group]]:
    """``groups`` dealt to ``count`` processes so that each has about as much to read; each share in the plan's order.

    Every trial is in one share, and what a trial is does not depend on ``count``. Groups stay whole, for their texts
    begin alike, until there are fewer than four a process: then the largest are cut where their work is halved.
    """
    if count == 1:
        return [list(groups)]
    pieces = [(number, 0, group) for number, group in enumerate(groups)]  # (group, first place, places)
    while len(pieces) < _PIECES * count:
        at = max(range(len(pieces)), key=lambda i: (len(pieces[i][2]) > 1, pieces[i][2].work))
        number, first, group = pieces[at]
        if len(group) < 2:
            break
        cut = _half(group)
        pieces[at : at + 1] = [
            (number, first, replace(group, places=group.places[:cut])),
            (number, first + cut, replace(group, places=group.places[cut:])),
        ]
    dealt: list[list[tuple[int, int, Group]]] = [[] for _ in range(count)]
    filled = [0.0] * count
    for piece in sorted(pieces, key=lambda piece: -piece[2].work):  # largest first, each to the emptiest
        to = filled.index(min(filled))
        dealt[to].append(piece)
        filled[to] += piece[2].work
    return [[group for _, _, group in sorted(share, key=lambda piece: piece[:2])] for share in dealt]


def _half(group: Group) -> int:
    """How many places the first half of the work has; at the beginning of a length where there is one near."""
    places = group.places
    cuts = [i for i in range(1, len(places)) if places[i][0] != places[i - 1][0]] or range(1, len(places))

    def larger(cut: int) -> float:
        return max(replace(group, places=places[:cut]).work, replace(group, places=places[cut:]).work)

    return min(cuts, key=larger)
