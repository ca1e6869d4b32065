"""A page of sections: each is a module pair, ``<name>_events.py`` answers and ``<name>.js`` draws (`sections.js`)."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Protocol

from apps.server.faults import kind_of
from apps.studio.jobs import NOBODY
from apps.studio.page_parts import drawn
from apps.studio.studio import Studio
from workbench.errors import WorkbenchError

Answer = dict[str, Any]


class Section(Protocol):
    """What a section's events offer to the page's scripts."""

    @property
    def functions(self) -> list[Callable[[Any], Answer]]: ...


def sections_page(studio: Studio, name: str, sections: Sequence[Section]) -> None:
    """Lay out the page that `<name>.js` draws; its sections ask the server by functions of their own."""
    jobs = studio.jobs
    asked = [function for section in sections for function in section.functions]

    def page_models(request: Any) -> Answer:
        """{"models": [what is known of each on the shelf]}"""
        return {"models": [studio.shelf.describe(name) for name in studio.shelf.names]}

    def job_status(request: Any) -> Answer:
        """How far the job {"tab", "job"} is."""
        return jobs.status(tab_of(request), request.get("job") if isinstance(request, dict) else None)

    def job_halt(request: Any) -> Answer:
        """Stop the job {"tab", "job"}."""
        jobs.halt(tab_of(request), request.get("job") if isinstance(request, dict) else None)
        return {}

    functions = [*(sentences(one, studio.sessions.touch) for one in asked), page_models, job_status, job_halt]
    drawn(f"{name}.{name}(element, server, upload)", f"wb-{name}", functions=functions, faults=studio.admission.faults)


def sentences(function: Callable[[Any], Answer], seen: Callable[[str], None] | None = None) -> Callable[[Any], Answer]:
    """``function``, answering {"error": sentence} where a WorkbenchError is raised for what was asked (what broke
    beneath it, a full disk, is left to who counts that); ``seen`` hears whose tab asks."""

    @wraps(function)
    def answered(request: Any) -> Answer:
        try:
            if not isinstance(request, dict):
                raise WorkbenchError("The page sent something else than a request", remedy="Reload the page")
            tab = tab_of(request)
            if seen is not None and tab:
                seen(tab)
            # who has no key is somebody else each time: nothing is kept where others without one could find it
            return function({**request, "tab": tab or NOBODY + secrets.token_urlsafe(24)})
        except WorkbenchError as error:
            if kind_of(error) is not None:
                raise
            return {"error": str(error)}

    return answered


def tab_of(request: Any) -> str:
    """The visitor's key; "" (nobody's) for anything else."""
    tab = request.get("tab") if isinstance(request, dict) else None
    return tab if isinstance(tab, str) and 20 <= len(tab) <= 64 else ""
