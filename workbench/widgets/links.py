"""Links between widgets: a click in one moves the selection of the others."""

from __future__ import annotations

import uuid
from typing import Any

from workbench.errors import WorkbenchError
from workbench.widgets.base import View


class Link:
    """What `link` returns: ``members``, and ``unlink()`` to end it."""

    def __init__(self, members: tuple[View, ...]) -> None:
        self.members = members
        self._id = uuid.uuid4().hex[:12]
        self._busy = False
        for one in members:
            one.links = [*one.links, self._id]
            one.observe(self._follow, "selection")

    def unlink(self) -> None:
        """Let every widget go its own way; the selections stay where they are."""
        for one in self.members:
            one.links = [known for known in one.links if known != self._id]
            one.unobserve(self._follow, "selection")
        self.members = ()

    def _follow(self, change: Any) -> None:
        """Tell the others, but not what a page has already told those that it shows: the answer would come late."""
        if self._busy:
            return
        source, self._busy = change["owner"], True
        try:
            for one in self.members:
                if one is not source and not (source.hearing and one.shown):
                    one.selection = one.fit_selection(change["new"])
        finally:
            self._busy = False

    def __repr__(self) -> str:
        return f"Link({', '.join(type(one).__name__ for one in self.members) or 'ended'})"


def link(*members: View) -> Link:
    """Link the selections of two or more widgets of this package: run, token, layer and head go from the one that is
    clicked, or set from Python, to the others. In a page they go at once, without the kernel. They start where the
    first one is. Of a widget of another run the same token, layer and head are selected, where they exist.

    Raises WorkbenchError for fewer than two widgets, and for other objects.
    """
    for one in members:
        if not isinstance(one, View):
            raise WorkbenchError(f"{type(one).__name__} cannot be linked", expected="widgets of workbench.widgets")
    if len({id(one) for one in members}) < 2:
        raise WorkbenchError("There is nothing to link", expected="two or more different widgets")
    made = Link(tuple(dict.fromkeys(members)))
    for one in made.members[1:]:
        one.selection = one.fit_selection(members[0].selection)
    return made
