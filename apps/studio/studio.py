"""What every page of one served app shares: models, runs, tabs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

import workbench as wb
from apps.server.admission import REPLY, STUDY, Admission
from apps.server.opinion_hub import opened
from apps.server.opinions import Opinions
from apps.server.settings import Settings
from apps.studio.jobs import Jobs
from apps.studio.opening import Opening
from apps.studio.pairs import Pairs
from apps.studio.recorded import Recorded
from apps.studio.runs import RunStore
from apps.studio.shelf import Shelf, title
from apps.studio.tabs import Sessions
from apps.studio.visit import Visiting

BOTH = "both"


@dataclass(frozen=True)
class Studio:
    """The ``shelf`` of models, the store of ``runs``, the ``opening`` of a tab, the open ``sessions``, and what is
    known of ``pairs`` of runs, and the long ``jobs`` that pages start; ``admission`` gives turns at the models.
    ``forgetting`` are called with the key of a tab that is forgotten; ``opinions`` keeps votes and feedback (None: they
    are not asked for)."""

    shelf: Shelf
    runs: RunStore
    opening: Opening
    sessions: Sessions
    pairs: Pairs
    jobs: Jobs
    admission: Admission
    forgetting: list[Callable[[str], None]] = field(default_factory=list)
    opinions: Opinions | None = None

    @classmethod
    def of(
        cls, models: Sequence[str | wb.Model], recorded: Recorded | Sequence[Recorded] | None = None,
        settings: Settings | None = None, visiting: Visiting | None = None,
    ) -> Studio:  # fmt: skip
        """Nothing is loaded yet. A tab opens with the first of the ``recorded`` exchanges. Replies are computed on
        visits where there is a ``visiting``."""
        known = settings or Settings()
        admission, shelf = Admission(known), Shelf(models, known.loading, visiting)
        own = None if known.session_mib is None else known.session_mib * 2**20
        runs = RunStore(known.session_runs, known.stored_mib * 2**20, own_bytes=own, links=known.links)
        opening, jobs = Opening(shelf, runs, recorded), Jobs(admission=admission)
        sessions = Sessions(
            opening.session, known.sessions, each=known.sessions_per_client, forget=known.forget_seconds,
            prefix_bytes=known.prefix_mib * 2**20, refused=admission.metrics.refused,
        )  # fmt: skip
        made = cls(shelf, runs, opening, sessions, Pairs(runs, shelf), jobs, admission, [runs.forget, jobs.forget],
                   opened(known))  # fmt: skip
        shelf.faults = admission.faults
        admission.faults.relief.append(sessions.relieve)
        made._tell_metrics()
        return made

    @property
    def settings(self) -> Settings:
        return self.admission.settings

    def sweep(self) -> None:
        """Forget everything of the tabs whose time is over, and look at the time of what is computed."""
        self.jobs.look()
        for key in self.sessions.sweep():
            for forget in self.forgetting:
                forget(key)

    def _tell_metrics(self) -> None:
        gauges = self.admission.metrics.gauges
        for kind in (REPLY, STUDY):
            gauges[f"{kind}_running"] = lambda kind=kind: self.admission.counts(kind)[0]  # type: ignore[misc]
            gauges[f"{kind}_waiting"] = lambda kind=kind: self.admission.counts(kind)[1]  # type: ignore[misc]
        gauges["sessions"] = lambda: len(self.sessions)
        gauges["runs"] = lambda: len(self.runs)
        gauges["run_bytes"] = lambda: self.runs.nbytes
        gauges["prefix_bytes"] = lambda: self.sessions.prefix_bytes
        if self.settings.mode == "gpu":
            gauges["gpu_bytes"] = torch.cuda.memory_reserved

    @property
    def choices(self) -> dict[str, list[str]]:
        """The models that can be shown, by the label of the switch; all of them last."""
        found = {title(name).removeprefix("twin-"): [name] for name in self.shelf.names}
        return found | ({BOTH: list(self.shelf.names)} if len(self.shelf.names) > 1 else {})
