"""The identity cards of the models on the shelf: what they are, probed and checked as jobs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

from apps.studio.jobs import Told
from apps.studio.lengths import check_lengths
from apps.studio.parted import parted
from apps.studio.shelf import title
from apps.studio.studio import Studio
from workbench.errors import PromptError, WorkbenchError
from workbench.facts import IdentityCard, Probe, identity, probe_texts, read_other
from workbench.facts.probes import theta_steps, window_steps
from workbench.facts.tensors import own_register, reading, tensor_report
from workbench.model import Model
from workbench.models.checkpoint import open_checkpoint
from workbench.models.hub import folder_of
from workbench.models.registry import SPECS

MOST_CHARACTERS = 200_000
"""Of the texts that a visitor may probe with."""


class FactEvents:
    """Cards at once; probes and the check of every tensor take their time."""

    def __init__(self, studio: Studio) -> None:
        self._shelf, self._jobs, self._settings = studio.shelf, studio.jobs, studio.settings

    @property
    def functions(self) -> list[Callable[[Any], dict[str, Any]]]:
        return [self.fact_cards, self.fact_probe, self.fact_tensors]

    def fact_cards(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"cards": [card of each model], "texts": how many texts come with the workbench, "others": names that tensors
        can be compared with}"""
        return {
            "cards": [_card(identity(model), name) for name, model in self._shelf.ready().items()],
            "texts": len(probe_texts()),
            "others": self._others(),
        }

    def fact_probe(self, request: dict[str, Any]) -> dict[str, Any]:
        """Probe theta and window of {"model"} on {"text"}: texts parted by lines of ---, or "" for those that come with
        the workbench. {"job": id}; its result: {"card", "probes": [{switch, said, agrees, stated, rows}]}"""
        model = self._model(request)
        own = _own(request.get("text"))
        texts = own or list(probe_texts())

        def work(stop: threading.Event) -> Generator[Told, None, Any]:
            check_lengths(self._jobs.admission, [model], own, "workbench facts")
            probes: list[Probe] = []
            for switch, steps in (("theta", theta_steps), ("window", window_steps)):
                asked = steps(model, texts, stop=stop)
                while True:
                    try:
                        done, all_of_them = next(asked)
                    except StopIteration as end:
                        probes.append(end.value)
                        break
                    share = (len(probes) + done / all_of_them) / 2
                    yield {"share": share, "said": f"{switch}: {done} of {all_of_them} readings"}
            card = identity(model, probes=probes)
            return {"card": _card(card, str(request["model"])), "probes": [_probe(one) for one in probes]}

        return {"job": self._jobs.start(str(request.get("tab")), work, "workbench facts")}

    def fact_tensors(self, request: dict[str, Any]) -> dict[str, Any]:
        """Read every tensor of {"model"} and compare with {"against"}: a name offered by `fact_cards`, or "" for the
        register beside the weights. {"job": id}; its result: {"card", "said", "same", "oddities", "rows"}"""
        model, against = self._model(request), request.get("against") or ""
        if against and against not in self._others(all_of_them=self._settings.name_models):
            raise WorkbenchError("This model is not offered here", expected="one of the list")

        def work(stop: threading.Event) -> Generator[Told, None, Any]:
            folder = folder_of(model.spec, model.revision)
            checkpoint, records = open_checkpoint(folder), []
            for record in reading(checkpoint, stop):
                records.append(record)
                count = f"{len(records)} of {len(checkpoint.shapes)} tensors"
                yield {"share": len(records) / len(checkpoint.shapes), "said": count}
            other = None
            if against:
                found = read_other(against)
                other = replace(found, name=title(found.name))  # a visitor needs no path
            known, source = own_register(folder) if other is None else (other.tensors, other.name)
            report = tensor_report(tuple(records), known, source if known is not None else "")
            rows = report.table().reset_index().astype({"numbers": int}).to_dict("records")
            card = identity(model, against=other, tensors=report)
            return {
                "card": _card(card, str(request["model"])), "said": str(report), "same": report.same,
                "oddities": list(report.oddities), "rows": [_finite(row) for row in rows],
            }  # fmt: skip

        return {"job": self._jobs.start(str(request.get("tab")), work, "workbench facts")}

    def _others(self, all_of_them: bool = False) -> list[str]:
        """Models that tensors can be compared with: those here, and the shipped twins; else ``all_of_them`` known."""
        return list(
            dict.fromkeys([*self._shelf.names, *(n for n, s in SPECS.items() if all_of_them or s.kind == "twin")])
        )

    def _model(self, request: dict[str, Any]) -> Model:
        name = request.get("model")
        if name not in self._shelf.names:
            raise WorkbenchError("This model is not on the page", expected="one of those above")
        return self._shelf.get(str(name))


def _card(card: IdentityCard, name: str) -> dict[str, Any]:
    facts = [
        {"fact": f.name, "stated": f.stated, "loaded": f.loaded, "probed": f.probed, "mark": f.mark} for f in card.facts
    ]
    return {"model": name, "title": title(name), "facts": facts, "conflicts": [f.name for f in card.conflicts]}


def _probe(probe: Probe) -> dict[str, Any]:
    rows = probe.table().reset_index(names="value").to_dict("records")
    stated = next(row["value"] for row in rows if row["difference"] == 0)
    return {"switch": probe.switch, "said": str(probe), "agrees": probe.agrees, "stated": stated, "rows": rows}


def _finite(row: dict[Any, Any]) -> dict[Any, Any]:
    """NaN as nothing: JSON has no word for it."""
    return {name: None if value != value else value for name, value in row.items()}


def _own(text: Any) -> list[Any]:
    """The visitor's texts; none where those that come along are asked for."""
    if not isinstance(text, str) or not text.strip():
        return []
    if len(text) > MOST_CHARACTERS:
        raise PromptError(f"The texts have {len(text):,} characters", expected=f"at most {MOST_CHARACTERS:,}")
    return parted(text)
