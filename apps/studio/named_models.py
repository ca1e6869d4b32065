"""Models that a study can be asked for: those on the shelf, as they are and under another window or theta."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import workbench as wb
from apps.studio.shelf import Shelf, title
from workbench.errors import WorkbenchError
from workbench.models.registry import SPECS
from workbench.models.switches import describe


@dataclass(frozen=True)
class Named:
    """The model ``base`` under ``switches``; ``name`` is that of the model object, ``id`` what a page sends."""

    base: str
    switches: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return "|".join([self.base, *(f"{name}={value}" for name, value in sorted(self.switches.items()))])

    @property
    def name(self) -> str:
        return f"{self.base} ({describe(dict(self.switches))})" if self.switches else self.base

    @property
    def title(self) -> str:
        said = describe(dict(self.switches))
        return f"{title(self.base)} ({said})" if said else title(self.base)

    @property
    def code(self) -> str:
        """Python that makes it."""
        words = ", ".join(f"{name}={value!r}" for name, value in self.switches.items())
        return f"wb.load({self.base!r})" + (f".switched({words})" if words else "")

    def as_json(self) -> dict[str, Any]:
        return {"id": self.id, "name": self.name, "title": self.title, "base": self.base, "plain": not self.switches}


class Offered:
    """The models of a shelf and what one switch, or both, of the other model make of each; shipped twins besides, for
    what was recorded from them."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._twins: dict[str, Shelf] = {}

    def named(self) -> list[Named]:
        """Each model as it is, then the others. Loads them when they are not yet; one that cannot be is left out."""
        models = self._shelf.ready()
        found = [Named(name) for name in models]
        for name, model in models.items():
            windows = [None, *(one.window for one in models.values())]
            thetas = [one.theta for one in models.values()]
            for window in dict.fromkeys(one for one in windows if one != model.window):
                found.append(Named(name, {"window": window}))
            for theta in dict.fromkeys(one for one in thetas if one != model.theta):
                found.append(Named(name, {"theta": theta}))
                if model.window is not None:
                    found.append(Named(name, {"window": None, "theta": theta}))
        return found

    def model(self, wanted: Named) -> wb.Model:
        """The model, from the shelf or, for a shipped twin, from beside it. WorkbenchError for any other."""
        if wanted.base in self._shelf.names:
            return self._shelf.get(wanted.base, dict(wanted.switches) or None)
        if wanted.base not in SPECS or SPECS[wanted.base].kind != "twin":
            raise WorkbenchError(f"{title(wanted.base)} is not loaded here", expected="a model of this page")
        shelf = self._twins.setdefault(wanted.base, Shelf([wanted.base]))
        return shelf.get(wanted.base, dict(wanted.switches) or None)
