"""How a tab begins: with a recorded exchange, or empty; and the other recorded ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import workbench as wb
from apps.studio.recorded import Recorded
from apps.studio.runs import RunStore
from apps.studio.session import Column, Session
from apps.studio.shelf import Shelf, title
from apps.studio.strip import Strip
from apps.studio.talk import Reply, Talk
from workbench.views import tokens


class Opening:
    """How a tab begins: with the recorded exchange, or empty."""

    def __init__(self, shelf: Shelf, runs: RunStore, recorded: Recorded | Sequence[Recorded] | None) -> None:
        """All ``recorded`` exchanges can be opened as runs; those of every model on the shelf as conversations, the
        first of which a tab begins with."""
        self.shelf = shelf
        self.all = [recorded] if isinstance(recorded, Recorded) else list(recorded or [])
        self.exchanges = {one.id: one for one in self.all if set(shelf.names) <= set(one.runs)}
        self.recorded = next(iter(self.exchanges.values()), None)
        self._strips: dict[str, Strip] = {}
        for one in self.all:
            for name, inspection in one.runs.items():
                runs.pin(one.run_id(name), inspection)

    def session(self, owner: str) -> Session:
        session = Session(owner, {name: Column(name) for name in self.shelf.names}, list(self.shelf.names))
        if self.recorded:
            self.show(session, self.recorded)
        return session

    def show(self, session: Session, exchange: Recorded) -> None:
        """Put ``exchange`` in the place of the tab's present conversation."""
        models = " and ".join(title(str(one.model["name"])) for one in exchange.runs.values())
        session.recorded = f"Recorded from {models}: “{exchange.title}”. Ask anything to begin your own."
        for name, column in session.columns.items():
            run, found = exchange.run_id(name), exchange.runs[name]
            column.blank()
            column.talk = Talk.of(wb.Conversation.of(exchange.messages)).answer(
                found.reply, Reply.of(found, run, wb.Sampling(), "", origin="recorded")
            )
            if run not in self._strips:
                self._strips[run] = Strip.of(tokens.pack(found, run))
            column.place, column.run, column.strip = len(column.talk) - 1, run, self._strips[run]
            column.facts, column.used = found.model, len(found.ids)
        self.select(session)

    def offered(self) -> list[dict[str, Any]]:
        """What the page offers: {"id", "title", "models", "runs", "here"}; ``here`` says that it can be shown as a
        conversation of this page's models."""
        return [
            {
                "id": one.id,
                "title": one.title,
                "models": [title(str(run.model["name"])) for run in one.runs.values()],
                "runs": [one.run_id(name) for name in one.runs],
                "here": one.id in self.exchanges,
            }
            for one in self.all
        ]

    def select(self, session: Session) -> None:
        """Preselect the first token of the first shown reply."""
        for name in session.shown:
            column = session.columns[name]
            if column.run and column.strip:
                return session.select(column.run, min(column.strip.prompt_length, column.used - 1))
