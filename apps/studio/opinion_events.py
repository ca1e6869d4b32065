"""Votes on the two replies in sight, ratings of a reply, and notes: what a tab may say, and what is kept with it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from apps.server.door import CLIENT
from apps.server.opinions import NOTE, RATING, VOTE, Opinion, OpinionError, Opinions, digest
from apps.studio.sections import tab_of
from apps.studio.session import Column, Session
from apps.studio.shelf import title
from apps.studio.studio import Studio

KEPT = "Kept. Thank you."
CHANGED = "The replies have changed meanwhile: look at them again"


class OpinionEvents:
    """The chat's votes and feedback. The page shows model names, so no vote given here is blind."""

    def __init__(self, studio: Studio, opinions: Opinions) -> None:
        self._studio, self._opinions = studio, opinions

    @property
    def functions(self) -> list[Callable[[Any], dict[str, Any]]]:
        return [self.opinion]

    def opinion(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"kept": a sentence} for {"kind", "choice", "comment", "runs": of the replies meant, "text": whether the
        conversation's text is kept with it}. Raises WorkbenchError."""
        kind, choice, comment = (request.get(name) for name in ("kind", "choice", "comment"))
        if not all(isinstance(one, str) for one in (kind, choice, comment)):
            raise OpinionError("The page sent something else than an opinion", remedy="Reload the page")
        made = Opinion(str(kind), str(choice), comment=str(comment))
        made.check()
        runs, tab = request.get("runs"), tab_of(request)
        if kind != NOTE:
            if not self._studio.sessions.knows(tab):  # a tab that has asked nothing is not made for this
                raise OpinionError(CHANGED)
            session = self._studio.sessions.of(tab, client=CLIENT.get())
            with session.lock:
                made = self._about(session, made, runs if isinstance(runs, list) else [], request.get("text") is True)
        self._opinions.keep(made, tab, CLIENT.get())
        return {"kept": KEPT}

    def _about(self, session: Session, made: Opinion, runs: list[Any], with_text: bool) -> Opinion:
        """``made`` with the replies of ``runs``: two for a vote, left and right, and one for a rating."""
        columns = [session.columns[name] for name in session.shown]
        found = [(column, at[0]) for run in runs for column in columns if (at := column.talk.find(str(run)))]
        if len(found) != len(runs) or len(found) != {VOTE: 2, RATING: 1}[made.kind]:
            raise OpinionError(CHANGED)
        asked = [_questions(column, index) for column, index in found]
        if len(found) == 2 and (asked[0] != asked[1] or found[0][0] is found[1][0]):
            raise OpinionError("These replies do not answer the same question", remedy="Ask both models")
        sides = [self._side(session, column, str(run)) for run, (column, _) in zip(runs, found, strict=True)]
        said = {side: _text(column, index) for side, (column, index) in zip(("left", "right"), found, strict=False)}
        return Opinion(
            made.kind, made.choice, item=digest(*asked[0]), comment=made.comment, left=sides[0],
            right=sides[1] if len(sides) == 2 else None, said=said if with_text else None,
        )  # fmt: skip

    def _side(self, session: Session, column: Column, run: str) -> dict[str, Any]:
        """How a reply came about; raises CaptureError where its run is no longer kept."""
        inspection = self._studio.runs.get(run, session.owner)
        place = column.talk.find(run)
        reply = column.talk.made[place[0]][place[1]] if place else None
        assert reply is not None
        known = inspection.provenance
        return {
            "model": public_name(reply.model, known),
            "weights": known.get("weights", ""), "switched": reply.switched, "origin": reply.origin or "chat",
            "sampling": asdict(reply.sampling), "tokens": reply.tokens, "finish": reply.finish,
            "prompt_sha256": known.get("prompt_sha256", ""),
            "ids_sha256": hashlib.sha256(",".join(map(str, inspection.ids.tolist())).encode()).hexdigest(),
        }  # fmt: skip


def public_name(name: str, provenance: Mapping[str, Any]) -> str:
    """A model's name without the path of a folder of this machine."""
    return title(name) if provenance.get("location") == "local folder" else name


def _questions(column: Column, index: int) -> list[str]:
    return [one.content for one in column.talk.said.messages[:index] if one.role == "user"]


def _text(column: Column, index: int) -> list[dict[str, str]]:
    return [{"role": one.role, "content": one.content} for one in column.talk.said.messages[: index + 1]]
