"""Payload of the token strip: every id of a run with its piece, part, probability, rank and entropy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.inspection.predictions import predictions
from workbench.views.arrays import number

if TYPE_CHECKING:
    from workbench.inspection import Inspection


def pack(inspection: Inspection, run: str = "") -> dict[str, Any]:
    """What `tokens.js` draws: lists by token position; None where no probability was captured; log-probabilities and
    entropies in nats; the likeliest tokens at its place, with their ids: five for a token of the reply, else three."""
    said = predictions(inspection)
    length, first = len(inspection.ids), int(inspection.prompt_length)
    return {
        "run": run,
        "model": inspection.model["name"],
        "prompt_length": int(inspection.prompt_length),
        "given": int(inspection.record.given),
        "tokens": [str(piece) for piece in inspection.tokens],
        "ids": [int(token) for token in inspection.ids],
        "roles": [str(role) for role in inspection.roles],
        "logprob": [number(value) for value in said.logprob],
        "rank": [int(rank) or None for rank in said.rank],
        "entropy": [number(value) for value in said.entropy[:length]],
        "alternatives": [
            [[piece, number(p), token] for piece, token, p in said.top.get(i, [])[: 5 if i >= first else 3]] or None
            for i in range(length)
        ],
    }
