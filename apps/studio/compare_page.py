"""Compare & facts: what differs between the two models, who is responsible, what is claimed, what prompts and memory
cost, how they behave."""

from __future__ import annotations

from apps.studio.behaviour_events import BehaviourEvents
from apps.studio.claim_events import ClaimEvents
from apps.studio.difference_events import DifferenceEvents
from apps.studio.fact_events import FactEvents
from apps.studio.guardrail_events import GuardrailEvents
from apps.studio.memory_events import MemoryEvents
from apps.studio.promptlab_events import PromptLabEvents
from apps.studio.sections import sections_page
from apps.studio.studio import Studio
from apps.studio.vote_events import VoteEvents
from apps.studio.which_events import WhichEvents


def compare_page(studio: Studio) -> None:
    """Lay out the page."""
    behaviour = BehaviourEvents(studio)
    sections_page(studio, "compare", [
        DifferenceEvents(studio),
        ClaimEvents(),
        FactEvents(studio),
        PromptLabEvents(studio),
        MemoryEvents(studio),
        WhichEvents(studio),
        behaviour,
        VoteEvents(studio, behaviour),
        GuardrailEvents(studio),
    ])  # fmt: skip
