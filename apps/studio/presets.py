"""Sampling presets: a name for a choice of temperature, top-p, top-k and repetition penalty."""

from __future__ import annotations

import workbench as wb

CUSTOM = "Custom"
PRESETS: dict[str, tuple[float, float, int, float]] = {
    "Greedy": (0.0, 1.0, 0, 1.0),
    "Balanced": (0.7, 0.9, 0, 1.0),
    "Creative": (1.1, 0.98, 0, 1.0),
}
"""(temperature, top-p, top-k, repetition penalty); top-k 0 and penalty 1 are off."""


def preset_of(sampling: wb.Sampling) -> str:
    """The preset that ``sampling`` is, or CUSTOM. Greedy decoding looks at neither top-p nor top-k."""
    if sampling.temperature == 0:
        return "Greedy" if sampling.repetition_penalty == 1 else CUSTOM
    now = (sampling.temperature, sampling.top_p, sampling.top_k, sampling.repetition_penalty)
    return next((name for name, values in PRESETS.items() if values == now), CUSTOM)
