"""The architecture switches of a column as the page states them."""

from __future__ import annotations

import math
from typing import Any

import workbench as wb
from workbench.errors import SwitchError
from workbench.models.architecture import check_theta, check_window

OWN = "own"
NONE = "none"


def switches_of(model: wb.Model, window: Any, theta: Any) -> dict[str, Any]:
    """What of ``model`` is to be switched: {"window", "theta"}, only what differs from it.

    ``window`` is "own", "none" or a number, ``theta`` "own" or a number; numbers may come as text. SwitchError else.
    """
    found: dict[str, Any] = {}
    if window != OWN:
        found["window"] = None if window == NONE else check_window(_number(window, "window", whole=True))
    if theta != OWN:
        found["theta"] = check_theta(_number(theta, "theta", whole=False))
    own = {"window": model.window, "theta": model.theta}
    return {name: value for name, value in found.items() if value != own[name]}


def _number(value: Any, name: str, whole: bool) -> Any:
    """A number as the page sends it, which may be text; the library's own check follows."""
    try:
        number = (
            float(str(value).strip().replace("\u2009", "").replace(" ", "")) if not isinstance(value, bool) else None
        )
    except ValueError:
        number = None
    if number is None or not math.isfinite(number):
        raise SwitchError(f"The {name} is {str(value)[:20]!r}", expected="a number")
    return int(number) if whole and number.is_integer() else number
