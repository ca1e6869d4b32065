"""How a tab begins: with the recorded exchange, or empty."""

from __future__ import annotations

import workbench as wb
from apps.studio.recorded import Recorded
from apps.studio.runs import RunStore
from apps.studio.session import Column, Session
from apps.studio.shelf import Shelf
from apps.studio.strip import Strip
from workbench.views import tokens


class Opening:
    """How a tab begins: with the recorded exchange, or empty."""

    def __init__(self, shelf: Shelf, runs: RunStore, recorded: Recorded | None) -> None:
        self.shelf = shelf
        self.recorded = recorded if recorded and set(shelf.names) <= set(recorded.runs) else None
        self.strips: dict[str, Strip] = {}
        if self.recorded:
            for name in shelf.names:
                runs.pin(f"recorded-{name}", self.recorded.runs[name])
                self.strips[name] = Strip.of(tokens.pack(self.recorded.runs[name], f"recorded-{name}"))

    def session(self, owner: str) -> Session:
        session = Session(owner, {name: Column(name) for name in self.shelf.names}, list(self.shelf.names))
        if self.recorded:
            session.recorded = (
                f"Recorded from the shipped twins: “{self.recorded.title}”. Ask anything to begin your own."
            )
            for name, column in session.columns.items():
                found = self.recorded.runs[name]
                reply = {"role": "assistant", "content": found.reply}
                column.conversation = wb.Conversation.of([*self.recorded.messages, reply])
                column.run, column.strip, column.facts = f"recorded-{name}", self.strips[name], found.model
                column.used = len(found.ids)
                column.footers = {len(self.recorded.messages): f"recorded · {len(found.steps)} tokens, greedy"}
            self.select(session)
        return session

    def clear(self, session: Session) -> None:
        """An empty tab in place of what was said."""
        session.recorded, session.selection = "", {}
        session.columns = {name: Column(name) for name in self.shelf.names}

    def select(self, session: Session) -> None:
        """Preselect the first token of the first shown reply."""
        column = session.columns[session.shown[0]]
        if column.run and column.strip:
            session.select(column.run, min(column.strip.prompt_length, column.used - 1))
