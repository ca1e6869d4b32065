"""What every page of one served app shares: models, runs, tabs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import workbench as wb
from apps.studio.jobs import Jobs
from apps.studio.opening import Opening
from apps.studio.pairs import Pairs
from apps.studio.recorded import Recorded
from apps.studio.runs import RunStore
from apps.studio.shelf import Shelf, title
from apps.studio.tabs import Sessions

BOTH = "both"


@dataclass(frozen=True)
class Studio:
    """The ``shelf`` of models, the store of ``runs``, the ``opening`` of a tab, the open ``sessions``, and what is
    known of ``pairs`` of runs, and the long ``jobs`` that pages start."""

    shelf: Shelf
    runs: RunStore
    opening: Opening
    sessions: Sessions
    pairs: Pairs
    jobs: Jobs

    @classmethod
    def of(cls, models: Sequence[str | wb.Model], recorded: Recorded | Sequence[Recorded] | None = None) -> Studio:
        """Nothing is loaded yet. A tab opens with the first of the ``recorded`` exchanges."""
        shelf, runs = Shelf(models), RunStore()
        opening = Opening(shelf, runs, recorded)
        return cls(shelf, runs, opening, Sessions(opening.session), Pairs(runs, shelf), Jobs())

    @property
    def choices(self) -> dict[str, list[str]]:
        """The models that can be shown, by the label of the switch; all of them last."""
        found = {title(name).removeprefix("twin-"): [name] for name in self.shelf.names}
        return found | ({BOTH: list(self.shelf.names)} if len(self.shelf.names) > 1 else {})
