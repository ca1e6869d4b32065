"""The switches of a column as the page states them: of its architecture, and the policy of its cache."""

from __future__ import annotations

import math
from typing import Any

import workbench as wb
from workbench.cache_lab.policies import EXAMPLES, POLICIES
from workbench.cache_lab.policies import policy as read_policy
from workbench.cache_lab.policies.full import Full
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


def cache_of(said: Any) -> str:
    """The cache policy that the page states, as it is said; "" for the model's own cache. CacheError for none."""
    if said == OWN:
        return ""
    policy = read_policy(said)
    return "" if isinstance(policy, Full) else str(policy)


def policies() -> list[dict[str, Any]]:
    """Those a page offers: {"name", "title", "setting": what stands behind the =, "" for none}."""
    settings = {name: example.partition("=")[2] for name, example in EXAMPLES.items()}
    return [
        {"name": name, "title": one.title, "setting": {"": "", "4+252": "4+25%"}.get(settings[name], "25%")}
        for name, one in POLICIES.items()
        if one is not Full
    ]


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
