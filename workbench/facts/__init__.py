"""What a model is: stated by its config, loaded into its modules, found by probing; and claims about it, checked."""

from workbench.facts.claims import CLAIMS, Claim, Finding, check_claims
from workbench.facts.identity import Fact, IdentityCard, identity
from workbench.facts.probes import Probe, probe_theta, probe_window

__all__ = [
    "CLAIMS",
    "Claim",
    "Fact",
    "Finding",
    "IdentityCard",
    "Probe",
    "check_claims",
    "identity",
    "probe_theta",
    "probe_window",
]
