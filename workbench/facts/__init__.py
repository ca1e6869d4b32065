"""What a model is: stated by its config, loaded into its modules, found by probing; and claims about it, checked."""

from workbench.chat.stated_template import StatedTemplate, stated_template
from workbench.facts.against import Contrast, read_other
from workbench.facts.card import Fact, IdentityCard
from workbench.facts.claims import CLAIMS, Claim, Finding, check_claims
from workbench.facts.identity import identity
from workbench.facts.probes import Probe, probe_texts, probe_theta, probe_window
from workbench.facts.scores import PUBLISHED, Score
from workbench.facts.tensors import TensorReport, check_tensors

__all__ = [
    "CLAIMS",
    "PUBLISHED",
    "Claim",
    "Contrast",
    "Fact",
    "Finding",
    "IdentityCard",
    "Probe",
    "Score",
    "StatedTemplate",
    "TensorReport",
    "check_claims",
    "check_tensors",
    "identity",
    "probe_texts",
    "probe_theta",
    "probe_window",
    "read_other",
    "stated_template",
]
