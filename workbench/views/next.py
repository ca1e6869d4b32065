"""Payloads of the next-token view: the candidates for a token's own place and for the place after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.inspection.predictions import Predictions, predictions
from workbench.views.arrays import number

if TYPE_CHECKING:
    from workbench.inspection import Inspection


def pack(inspection: Inspection, run: str = "") -> dict[str, Any]:
    """What `next.js` needs before a token is chosen."""
    tokens = [str(piece) for piece in inspection.tokens]
    return {"run": run, "model": inspection.model["name"], "length": len(tokens), "tokens": tokens}


def pack_at(inspection: Inspection, token: int) -> dict[str, Any]:
    """Candidates before and after token ``token``; a side is None where nothing was captured. Log-probabilities and
    entropies in nats."""
    said = predictions(inspection)
    return {
        "before": _side(inspection, said, token),
        "after": _side(inspection, said, token + 1),
        "note": "Probabilities are the model’s own, before temperature and other sampling settings.",
    }


def sides(inspection: Inspection, most: int | None = None) -> dict[int, dict[str, Any]]:
    """Every captured side by the index of the token it predicts, or the last ``most`` of them; the run's length stands
    for what would come next."""
    said = predictions(inspection)
    chosen = sorted(said.top)
    found = {index: _side(inspection, said, index) for index in (chosen if most is None else chosen[-most:])}
    return {index: side for index, side in found.items() if side is not None}


def _side(inspection: Inspection, said: Predictions, index: int) -> dict[str, Any] | None:
    """Candidates for token ``index``, which was predicted at position ``index - 1``."""
    if index not in said.top:
        return None
    actual = None
    if index < len(inspection.ids) and said.rank[index] > 0:
        chosen = int(inspection.ids[index])
        actual = {
            "piece": inspection.piece(chosen),
            "id": chosen,
            "logprob": number(said.logprob[index]),
            "rank": int(said.rank[index]),
        }
    return {
        "position": index - 1,
        "top": [[piece, token_id, number(logprob)] for piece, token_id, logprob in said.top[index]],
        "actual": actual,
        "entropy": number(said.entropy[index]),
    }
