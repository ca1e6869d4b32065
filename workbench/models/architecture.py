"""The two switches that tell Mistral v0.1 from v0.2: sliding window and RoPE theta, read without silent defaults.

``MistralConfig`` gives a config file that lacks ``sliding_window`` a window of 4096, and one that lacks a theta a theta
of 10 000. Absent and null are therefore different statements, and only the raw ``config.json`` can tell them apart.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal

from workbench.errors import CheckpointError, SwitchError

ABSENT: Literal["absent"] = "absent"

# What transformers fills in when a Mistral config.json says nothing (MistralConfig's class attributes, 5.x).
DEFAULT_WINDOW = 4096
DEFAULT_THETA = 10_000.0

LONGEST_WINDOW = 2**31 - 1
SMALLEST_THETA, LARGEST_THETA = 1e-30, 1e30  # beyond, float32 frequencies overflow or vanish


def read_window(config: Any) -> int | Literal["absent"] | None:
    """The sliding window in tokens (a query sees that many keys, itself included), None for full attention.

    ``config`` is a raw config.json dictionary or a loaded config object. "absent" comes back only for a dictionary
    without the field: a config object has already had the default put in.
    """
    value = config.get("sliding_window", ABSENT) if isinstance(config, Mapping) else config.sliding_window
    if value is None or value == ABSENT:
        return value
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise CheckpointError(
            f"The config's sliding_window is {value!r}",
            expected="a number of tokens of at least 1, or null for full attention",
            remedy="Correct sliding_window in config.json.",
        )
    return value


def read_theta(config: Any) -> float | Literal["absent"]:
    """The RoPE base theta, from ``rope_parameters`` (transformers 5) or the top-level ``rope_theta`` (before).

    ``config`` is a raw config.json dictionary or a loaded config object. "absent" comes back only for a dictionary
    with neither spelling. Where both are written, they must agree.
    """
    found = {name: _number(value, name) for name, value in _theta_spellings(config).items() if value is not None}
    if not found:
        return ABSENT
    if len(set(found.values())) > 1:
        raise CheckpointError(
            f"config.json states two thetas: {theta_text(found['rope_theta'])} in rope_theta, "
            f"{theta_text(found['rope_parameters'])} in rope_parameters",
            expected="one theta",
            remedy="Remove the wrong one from config.json.",
        )
    return next(iter(found.values()))


def theta_text(theta: float | Literal["absent"]) -> str:
    """A theta as it is written everywhere: from 10 000 on and below 0.001 with a power of ten, and every digit kept.
    "1e4", "5e5", "1.25e5", "5000", "156.25"; ``float`` reads it back, so two thetas never look the same. "absent"
    stays. `thetaText` in views/data.js writes the same."""
    if theta == ABSENT:
        return ABSENT
    exact = Decimal(repr(float(theta))).normalize()
    return f"{exact:e}".replace("e+", "e") if not 1e-3 <= theta < 1e4 else f"{exact:f}"


def theta_spelling(config: Mapping[str, Any]) -> Literal["rope_parameters", "rope_theta", "both", "absent"]:
    """Where a raw config.json states its theta: the new spelling, the old one, both, or nowhere."""
    names = [name for name, value in _theta_spellings(config).items() if value is not None]
    if len(names) == 2:
        return "both"
    if not names:
        return ABSENT
    return "rope_parameters" if names[0] == "rope_parameters" else "rope_theta"


def check_window(value: Any) -> int | None:
    """``value`` as a sliding window to switch to: tokens, or None. Raises SwitchError."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if value is None or (whole and 1 <= value <= LONGEST_WINDOW):
        return None if value is None else int(value)
    raise SwitchError(
        f"The window is {repr(value)[:40]}", expected="a whole number of tokens, at least 1, or None for full attention"
    )


def check_theta(value: Any) -> float:
    """``value`` as a RoPE theta to switch to. Raises SwitchError."""
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if number and math.isfinite(value) and SMALLEST_THETA <= value <= LARGEST_THETA:
        return float(value)
    raise SwitchError(f"The theta is {repr(value)[:40]}", expected="a positive number, such as 1e4 or 1e6")


def _theta_spellings(config: Any) -> dict[str, Any]:
    """The stated theta under each spelling, None where that spelling is not used."""
    get = config.get if isinstance(config, Mapping) else lambda name: getattr(config, name, None)
    # rope_scaling is rope_parameters' name in transformers 4; there it holds no theta, but newer files may put one in.
    nested = get("rope_parameters") or get("rope_scaling") or {}
    return {
        "rope_parameters": nested.get("rope_theta") if isinstance(nested, Mapping) else None,
        "rope_theta": get("rope_theta"),
    }


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise CheckpointError(
            f"The config's theta in {name} is {value!r}", expected="a positive number", remedy="Correct config.json."
        )
    return float(value)
