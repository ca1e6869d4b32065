"""All cache policies by name, one file each."""

from __future__ import annotations

from workbench.cache_lab.policies.bits import EightBit, FourBit
from workbench.cache_lab.policies.full import Full
from workbench.cache_lab.policies.norm import Norm
from workbench.cache_lab.policies.quantized import Hqq, Quanto
from workbench.cache_lab.policies.received import Received
from workbench.cache_lab.policies.rolling import Rolling
from workbench.cache_lab.policies.sinks import Sinks
from workbench.cache_lab.policies.snapkv import SnapKV
from workbench.cache_lab.policy import Policy
from workbench.errors import CacheError

POLICIES: dict[str, type[Policy]] = {
    one.name: one for one in (Full, Rolling, Sinks, Received, Norm, SnapKV, EightBit, FourBit)
}
OPTIONAL: dict[str, type[Quanto]] = {one.name: one for one in (Quanto, Hqq)}
"""Policies that need a package besides: they are said like the others, and refused in a sentence without it."""


def policy(said: str | Policy) -> Policy:
    """A policy as it is said: "full", "rolling=256", "sinks=4+252", "received=25%", "norm=256", "snapkv=256", "8bit",
    "4bit", "quanto=4", "hqq=8". Raises CacheError."""
    if isinstance(said, Policy):
        return said
    if not isinstance(said, str):
        raise CacheError(f"A policy is a {type(said).__name__}", expected='a name such as "snapkv=256"')
    name, equals, setting = said.strip().partition("=")
    found = POLICIES.get(name.strip()) or OPTIONAL.get(name.strip())
    if found is None:
        raise CacheError(f"{name[:40]!r} is no cache policy", expected=", ".join((*POLICIES, *OPTIONAL)))
    if (equals and not setting.strip()) or (not equals and found not in (Full, EightBit, FourBit, *OPTIONAL.values())):
        raise CacheError(f"{name} has no budget", expected=f"such as {EXAMPLES[found.name]}")
    return found.said(setting.strip())


EXAMPLES = {
    "full": "full", "rolling": "rolling=256", "sinks": "sinks=4+252", "received": "received=256", "norm": "norm=256",
    "snapkv": "snapkv=256", "8bit": "8bit", "4bit": "4bit", "quanto": "quanto=4", "hqq": "hqq=8",
}  # fmt: skip
"""Each policy as it may be said."""
