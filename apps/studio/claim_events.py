"""The claims about the pair, checked: what the Facts & claims section of Compare & facts asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workbench.facts import PUBLISHED, check_claims
from workbench.facts.scores import NOT_MEASURED


class ClaimEvents:
    """Needs no model."""

    @property
    def functions(self) -> list[Callable[[Any], dict[str, Any]]]:
        return [self.claims]

    def claims(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"claims": [{"text", "said_by", "verdict", "evidence", "check"}], "scores": [{"measure", "v01", "v02",
        "source"}], "scores_note": what they are}"""
        return {
            "claims": [
                {
                    "text": found.claim.text,
                    "said_by": found.claim.said_by,
                    "verdict": found.verdict,
                    "evidence": found.evidence,
                    "check": found.claim.name,
                }
                for found in check_claims()
            ],
            "scores": [vars(score) for score in PUBLISHED],
            "scores_note": NOT_MEASURED,
        }
