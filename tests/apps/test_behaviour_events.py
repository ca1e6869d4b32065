"""The folders behind the page's Behaviour: answers stay for the next run, and none goes while a job needs it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from apps.studio.behaviour_events import OWN, BehaviourEvents
from apps.studio.studio import Studio
from workbench.errors import WorkbenchError

TAB = "t" * 24
REQUEST = {
    "tab": TAB, "suite": "", "text": '{"prompt": "Hello"}\n{"prompt": "And you?"}', "name": "own", "limit": 2,
    "tokens": 1, "temperature": 1, "seed": 0,
}  # fmt: skip


def finished(studio: Studio, job: str) -> dict[str, Any]:
    for _ in range(12_000):
        found = studio.jobs.status(TAB, job)
        if found["state"] in ("done", "failed", "stopped"):
            assert (found["state"], found["error"]) == ("done", "")
            return dict(found["result"])
        time.sleep(0.01)
    raise AssertionError("it never ended")


def seconds(result: dict[str, Any]) -> list[float]:
    """How long each answer took: an answer that was made again took another time."""
    return [one["seconds"] for row in result["rows"] for one in row["answers"].values()]


def test_no_folder_goes_while_its_job_waits(names: list[str]) -> None:
    studio = Studio.of(names[:1])
    events = BehaviourEvents(studio)

    def start(**changed: Any) -> str:
        return str(events.behaviour_start(REQUEST | changed)["job"])

    first = finished(studio, start())
    waiting = [start(seed=seed) for seed in range(OWN + 2)]  # the first of them has its answers already
    ends = [finished(studio, job) for job in waiting]
    assert [len(end["rows"]) for end in ends] == [2] * (OWN + 2)
    assert seconds(ends[0]) == seconds(first)
    again = [finished(studio, start(seed=seed)) for seed in (OWN + 1, 0)]
    assert seconds(again[0]) == seconds(ends[-1]), "one of the last folders is kept"
    assert seconds(again[1]) != seconds(first), "the oldest is not"
    safe = finished(studio, start(seed=OWN + 1, safe_prompt=True))
    assert safe["safe_prompt"] and not again[0]["safe_prompt"]
    assert safe["provenance"]["safe_prompt"] is True
    assert events._base is not None
    assert len(list(Path(events._base.name).glob("*/*"))) == OWN


@pytest.mark.parametrize(
    "changed",
    [{"text": ""}, {"text": "x" * 1_000_001}, {"text": '{"prompt": "\ud800"}'}, {"limit": 0}, {"limit": True},
     {"tokens": 10_000}, {"temperature": "hot"}, {"temperature": -1}, {"seed": 0.5}],
)  # fmt: skip
def test_a_bad_request_is_a_sentence(names: list[str], changed: dict[str, Any]) -> None:
    with pytest.raises(WorkbenchError, match=r"\."):
        BehaviourEvents(Studio.of(names[:1])).behaviour_start(REQUEST | changed)
