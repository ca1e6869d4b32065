"""The capture nearest to the one asked for whose results fit, and how to write down what differs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from workbench.capture.cost import result_bytes

if TYPE_CHECKING:
    from workbench.capture.request import Capture

Step = Callable[["Capture"], "Capture"]


def _with(part: str, **settings: Any) -> Step:
    """A step that changes settings of one part, where the capture has it."""

    def step(capture: Capture) -> Capture:
        found = getattr(capture, part)
        return capture if found is None else replace(capture, **{part: replace(found, **settings)})

    return step


def _pool(blocks: int) -> Step:
    """At most so many blocks a side."""

    def step(capture: Capture) -> Capture:
        wanted = capture.attention
        if wanted is None or wanted.pool <= blocks:
            return capture
        return replace(capture, attention=replace(wanted, pool=blocks))

    return step


def _without(part: str) -> Step:
    nothing: dict[str, Any] = {part: False if part == "kv_cache" else None}
    return lambda capture: replace(capture, **nothing)


STEPS: tuple[Step, ...] = (
    _with("attention", rows="last"),
    _with("attribution", heads=False),
    _with("attention", maximum=False),
    _with("lens", positions="generated"),
    _with("attribution", positions="generated"),
    _pool(192),
    _pool(128),
    _with("attention", states=False),
    _with("attention", rows=[-1]),
    _pool(96),
    _pool(64),
    _with("lens", top_k=1),
    _with("attribution", positions=[-1]),
    _with("lens", positions=[-1]),
    _pool(32),
    _without("attribution"),
    _with("lens", blocks=0),
    _with("attention", statistics=False),
    _pool(16),
    _without("kv_cache"),
    _without("attention"),
    _without("lens"),
)
"""What is given up, the least valuable first: what can be had again cheaply (`Model.zoom` gives any exact row), then
what a smaller text of the same kind shows as well, then whole parts."""


def nearest_that_fits(capture: Capture, model: Any, tokens: int, new_tokens: int, most: int) -> Capture:
    """``capture`` itself where its results take at most ``most`` bytes; else with as little given up as possible, in
    the order of `STEPS`; what a later step made room for again is kept."""

    def size(one: Capture) -> int:
        return sum(result_bytes(one, model, tokens, new_tokens).values())

    taken: list[Step] = []
    found, held = capture, size(capture)
    for step in STEPS:
        if held <= most:
            break
        smaller = step(found)
        if (left := size(smaller)) < held:
            found, held = smaller, left
            taken.append(step)
    for step in reversed(taken[:-1]):
        others = [one for one in taken if one is not step]
        without = capture
        for other in others:
            without = other(without)
        if size(without) <= most:
            taken, found = others, without
    return found


def differences(asked: Capture, found: Capture) -> str:
    """What is set otherwise in ``found``, as it is written: ``AttentionCapture(rows="last", states=False)``."""
    parts = []
    for part in fields(found):
        before, after = getattr(asked, part.name), getattr(found, part.name)
        if before == after:
            continue
        if after is None or isinstance(after, bool):
            parts.append(f"{part.name}={after}")
            continue
        changed = [field.name for field in fields(after) if getattr(before, field.name) != getattr(after, field.name)]
        words = ", ".join(f"{name}={_written(getattr(after, name))}" for name in changed)
        parts.append(f"{type(after).__name__}({words})")
    return " and ".join(parts)


def _written(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)
