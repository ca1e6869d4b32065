"""The table that load.py prints: what the clients met, beside what it has to be."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

from met import Tally

CLICK = 0.5
"""Seconds of the 95th percentile of clicks."""


def alone(tallies: list[Tally]) -> tuple[int, int, list[str]]:
    """Every question again, one after another, by the library: how many tokens the server must have written at least
    and at most (of a reply that was not seen to its end, the rest may have been written), and each that differs."""
    import workbench as wb

    models: dict[str, Any] = {}
    known: dict[str, Any] = {}
    least, most, wrong = 0, 0, []
    for one in [one for tally in tallies for one in tally.asked]:
        if one.model not in models:
            models[one.model] = wb.load(one.model)
        key = repr((one.model, one.messages, sorted(one.sampling.items())))
        if key not in known:
            run = models[one.model].generate(one.messages, wb.Sampling(**one.sampling), wb.Capture.nothing())
            ids = [step.token_id for step in run]
            known[key] = (ids, run.text, list(models[one.model].encode(one.messages).ids))
        ids, text, prompt = known[key]
        if one.way == "inspect":
            same = one.got == prompt
        else:
            least += len(ids) if one.whole else len(one.got)
            most += len(ids)
            same = (
                one.got == text if isinstance(one.got, str) else one.got == (ids if one.whole else ids[: len(one.got)])
            )
        if not same:
            wrong.append(f"{one.way}, {one.model}, {one.messages}, {one.sampling}: {one.got}, alone {ids} {text!r}")
    return least, most, wrong


def share(found: list[float], part: float) -> float:
    """The smallest that ``part`` of all do not exceed; 0 of none."""
    return sorted(found)[max(0, -int(-part * len(found) // 1) - 1)] if found else 0.0


class Table:
    """Lines of the report: what was measured, its value, what it has to be, and whether it is."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str, str]] = []
        self.met = True

    def add(self, what: str, value: Any, goal: str = "", met: bool | None = None) -> None:
        self.lines.append((what, str(value), goal, "" if met is None else "yes" if met else "no"))
        self.met = self.met and met is not False

    def __str__(self) -> str:
        head = ["| measured | value | goal | met |", "|---|---|---|---|"]
        return "\n".join(head + [f"| {' | '.join(line)} |" for line in self.lines])


def agreement(table: Table, tallies: list[Tally], least: int, most: int, told: dict[str, float]) -> None:
    """What /metrics says beside what the clients counted."""
    refused = sum((tally.refused for tally in tallies), Counter[str]())
    own: dict[str, tuple[int, int]] = {
        'requests_total{kind="reply"}': (turns := sum(tally.turns for tally in tallies), turns),
        'requests_total{kind="call"}': (calls := sum(tally.calls for tally in tallies), calls),
        "tokens_total": (least, most),
    }
    reasons = {name for name in told if name.startswith("refusals_total")}
    for name in sorted(reasons | {f'refusals_total{{reason="{why}"}}' for why in refused}):
        own[name] = (count := refused[name.split('"')[1]], count)
    for name, (low, high) in own.items():
        counted = f"{low}" if low == high else f"{low} to {high}"
        value = round(told.get(name, 0))
        table.add(
            f"/metrics {name.replace(chr(34), '')}", value, f"{counted}, as the clients counted", low <= value <= high
        )


def figures(table: Table, tally: Tally, seconds: float, tokens: float, quick: bool) -> None:
    """What the clients met under load."""
    for name, found, goal in (("click into a capture", tally.clicks, CLICK), ("opening a new run", tally.opened, None)):
        table.add(f"{name}, {len(found)} times: p50", f"{1e3 * share(found, 0.5):.0f} ms")
        judged = None if goal is None or quick else share(found, 0.95) < goal
        table.add(
            f"{name}: p95", f"{1e3 * share(found, 0.95):.0f} ms", f"under {1e3 * goal:.0f} ms" if goal else "", judged
        )
    table.add("of which the clients' own delay: p95", f"{1e3 * share(tally.late, 0.95):.0f} ms")
    table.add("requests for a reply let in", tally.turns)
    table.add("tokens a second, all together", f"{tokens / seconds:.1f}")
    table.add(
        "places in line that were told: median, last", f"{share(tally.places, 0.5):.0f}, {max(tally.places, default=0)}"
    )
    for name, count in sorted(tally.did.items()):
        table.add(name, count)
    table.add(
        "refusals, each in a stated sentence", ", ".join(f"{n} {why}" for why, n in sorted(tally.refused.items())) or 0
    )


def finished(table: Table, tallies: list[Tally], told: dict[str, float], errors: list[str]) -> Table:
    """Adds what the models say alone, and prints what is wrong."""
    least, most, wrong = alone(tallies)
    count = sum(len(tally.asked) for tally in tallies)
    table.add("replies with the tokens of the same request alone", f"{count - len(wrong)} of {count}", "all",
              not wrong and count > 0)  # fmt: skip
    agreement(table, tallies, least, most, told)
    for sentence in (errors + wrong)[:20]:
        print(sentence, file=sys.stderr)
    return table
