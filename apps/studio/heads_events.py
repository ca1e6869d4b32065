"""Retrieval heads: which heads look the needle up, and what is left of the answers without them, as a job."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Any

from apps.studio.asked_grid import AskedGrid, read, whole
from apps.studio.grid_shown import rows
from apps.studio.jobs import Told
from apps.studio.named_models import Named, Offered
from apps.studio.studio import Studio
from workbench.context.ablation import Ablation, ablation
from workbench.context.plan import Plan
from workbench.context.retrieval_heads import HeadSearch, RetrievalHeads
from workbench.errors import WorkbenchError
from workbench.views.questions import plain

MOST_ITEMS = 200
"""Questions that are looked at, and asked again of each silenced model."""
MOST_HEADS = 64
MOST_CONTROLS = 8
DEPTHS = [0.2, 0.5, 0.8]
LOW = 0.1
"""Controls are drawn from heads with a score under this, and never from found ones."""


class HeadsEvents:
    """Heads are found on questions of one seed and silenced on those of the next."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._offered = studio, Offered(studio.shelf)

    @property
    def functions(self) -> list[Callable[[Any], dict[str, Any]]]:
        return [self.heads_known, self.heads_start]

    def heads_known(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"models": offered ones, "context": tokens of the shortest one's}"""
        contexts = [one.context for one in self._studio.shelf.ready().values()]
        return {"models": [one.as_json() for one in self._offered.named()], "context": min(contexts)}

    def heads_start(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"job"} for {"model": id, "task", "lengths", "cases", "seed", "least": score of a found head, "silence": most
        heads that are silenced, "controls": draws}: `shown` as it grows."""
        form = {**request, "models": [request.get("model")], "tasks": [request.get("task")], "depths": DEPTHS}
        asked = read({**form, "form": "chat", "haystack": "", "own": ""}, self._offered.named())
        if asked.tasks == ("own",):
            raise WorkbenchError("A task of your own cannot be looked at here", remedy="Use workbench heads")
        self._studio.admission.check_prompt(max(asked.lengths), "workbench heads")
        count = len(asked.lengths) * len(DEPTHS) * asked.cases
        if count > MOST_ITEMS:
            raise WorkbenchError(f"These are {count} questions", expected=f"at most {MOST_ITEMS} here")
        silence, draws = whole(request, "silence", 0, MOST_HEADS), whole(request, "controls", 0, MOST_CONTROLS)
        least = request.get("least")
        if isinstance(least, bool) or not isinstance(least, int | float) or not 0 < least <= 1:
            raise WorkbenchError("The least score is no share", expected="a number above 0, at most 1")
        named = asked.models[0]

        def work(stop: threading.Event) -> Generator[Told, None, Any]:
            yield {"share": 0.0, "said": "loading the model"}
            model = self._offered.model(named)
            plan = Plan((model,), tuple(asked.made(None)), asked.lengths, asked.depths, asked.cases, asked.seed)
            search = HeadSearch(model, plan.items(), stop)
            for looked in search:
                partial = shown(search.found, named, asked, float(least), None)
                said = f"looking: {looked.done} of {looked.of} questions"
                yield {"share": looked.done / looked.of / 2, "said": said, "partial": partial}
            if stop.is_set():
                return None
            found = search.found
            heads = found.top(float(least), silence)
            if not heads:
                return shown(found, named, asked, float(least), None)
            first, below = min(layer for layer, _ in heads), min(LOW, float(least))
            drawn = dict.fromkeys(
                tuple(found.control(len(heads), asked.seed + i, below, at))
                for at in _layers(found, len(heads), below, first) for i in range(draws)
            )  # fmt: skip
            study = ablation(model, heads, drawn, lengths=asked.lengths, depths=asked.depths, cases=asked.cases,
                             tasks=asked.tasks, seed=asked.seed + 1, stop=stop)  # fmt: skip
            partial = shown(found, named, asked, float(least), None)
            for told in study:
                if told.done % len(study.plan.lengths) == 0:
                    partial = shown(found, named, asked, float(least), study.found)
                said = f"silenced: {told.done} of {told.of} questions"
                yield {"share": 0.5 + told.done / told.of / 2, "said": said, "partial": partial}
            return shown(found, named, asked, float(least), study.found)

        return {"job": self._studio.jobs.start(str(request.get("tab", "")), work, "workbench heads")}


def _layers(found: RetrievalHeads, count: int, below: float, first: int) -> list[int]:
    """Where controls are drawn from: any layer, and from the first found head's layer on; those that have enough."""
    good = []
    for at in sorted({0, first}):
        try:
            found.control(count, 0, below, at)
            good.append(at)
        except WorkbenchError:
            continue
    return good


def shown(found: RetrievalHeads, named: Named, asked: AskedGrid, least: float, cut: Ablation | None) -> dict[str, Any]:
    """score and needle_mass [layer][head], the best heads, by_length, the ablation's table and sentence, code."""
    table = found.table
    grids = {name: plain(table.pivot(index="layer", columns="head", values=name).to_numpy())
             for name in ("score", "needle_mass")}  # fmt: skip
    top = found.top(least)
    code = ["import workbench as wb", "", f"model = {named.code}",
            f"asked = dict(lengths={list(asked.lengths)}, depths={DEPTHS}, cases={asked.cases}, "
            f"tasks={list(asked.tasks)})",
            f"found = wb.retrieval_heads(model, wb.needle(model, seed={asked.seed}, **asked).plan.items())",
            f"heads = found.top({least})",
            f"study = wb.ablation(model, heads, [found.control(len(heads))], seed={asked.seed + 1}, **asked)",
            "for told in study:", "    pass", "print(study.found.sentence)"]  # fmt: skip
    answered = cut is not None and len(cut.grid.trials) > 0
    return {
        **grids, "title": named.title, "items": len(found.mechanisms), "found": len(top), "heads": rows(table.head(12)),
        "by_length": rows(found.by_length), "said": f"{named.title}: {len(top)} of {len(table)} heads have a score of "
        f"at least {least:g}, over {len(found.mechanisms)} questions.",
        "ablation": rows(cut.table()) if cut is not None and answered else [],
        "sentence": cut.sentence if cut is not None and answered else "", "code": "\n".join(code) + "\n",
    }  # fmt: skip
