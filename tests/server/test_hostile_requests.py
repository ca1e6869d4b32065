"""Hostile requests against a really served app: no 500, no hang, no leak, no trace in the answers, and whoever asks
honestly next is served as before. HOSTILE_REQUESTS=1000 draws as many; without it there are few, the same each time.

What people type into the page is tried in tests/browser/test_hostile.py, what nobody may see in test_walls.py.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import workbench as wb
from apps.server.memory import steady_heap
from apps.server.uploads import LASTING, swept
from tests.server import hostile
from tests.server.honest import ACTS, requests
from tests.server.served import PATIENCE, Served, tab

ALL = int(os.environ.get("HOSTILE_REQUESTS", "120"))
GROWTH = 96 * 2**20
"""Bytes of memory that all of it may leave: caches of models, of Gradio, of Python."""


def drawn(share: float) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let hypothesis draw this share of all requests; the same ones each time unless many are asked for."""
    return settings(
        max_examples=max(1, round(ALL * share)), deadline=None, derandomize=ALL < 1000, database=None,
        suppress_health_check=list(HealthCheck), print_blob=True,
    )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left(served: Served, models: list[str]) -> Iterator[None]:
    """Around all of it: the same honest answer, no thread, file or job more, tabs within their bound, memory flat."""
    steady_heap()  # as a served process begins
    before = served.score()
    honest_answers(served, models, whole=ALL >= 1000)  # what is loaded once is loaded
    served.forget()
    threads, memory, began = threading.active_count(), psutil.Process().memory_info().rss, time.monotonic()
    yield
    assert served.score() == before
    jobs = served.studio.jobs
    until = time.monotonic() + PATIENCE
    while (
        any(not job.over for job in jobs._jobs.values()) or threading.active_count() > threads + 40
    ) and time.monotonic() < until:
        time.sleep(0.05)
    assert all(job.over for job in jobs._jobs.values())
    assert threading.active_count() <= threads + 40, "Gradio keeps up to 40 threads for calls"
    swept(served.folder, time.time() + 2 * LASTING)  # Gradio leaves what it could not name
    assert [path for path in served.folder.rglob("*") if path.is_file()] == []
    limits = served.studio.settings
    assert len(served.studio.sessions) <= (limits.sessions_per_client or 0)
    assert served.studio.admission.counts("reply") == served.studio.admission.counts("study") == (0, 0)
    served.forget()
    grown = psutil.Process().memory_info().rss - memory
    print(f"{ALL} hostile requests in {time.monotonic() - began:.0f} s, memory {grown / 2**20:+.0f} MiB, "
          f"refusals {served.studio.admission.metrics.refusals()}")  # fmt: skip
    assert grown < GROWTH, f"{grown / 2**20:.0f} MiB"
    assert served.mishaps == []


@pytest.fixture(scope="module")
def inspection(served: Served, models: list[str], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An honest file."""
    run = served.studio.shelf.get(models[0]).generate("Hi", wb.Sampling(max_new_tokens=2))
    for _ in run:
        pass
    return run.inspection.save(tmp_path_factory.mktemp("honest") / "a.inspection").read_bytes()


@drawn(0.15)
@given(body=hostile.score_bodies, query=hostile.queries)
def test_score(served: Served, body: bytes, query: dict[str, str]) -> None:
    answer = served.sound(served.client.post("/score", content=body, params=query))
    assert answer.status_code in (200, 413, 422, 503), answer.text[:300]


@drawn(0.4)
@given(data=st.data())
def test_functions_of_the_pages(served: Served, models: list[str], data: st.DataObject) -> None:
    """Every one that a page's script can call, with requests that are nearly honest, or nothing like it."""
    name = data.draw(st.sampled_from(sorted({name for _, name in served.functions})))
    owner = tab()
    if data.draw(st.integers(0, 4)) == 0:
        request = data.draw(hostile.values)
    else:
        base = data.draw(st.sampled_from(ACTS)) if name == "act" else requests(*models).get(name, {})
        key = {"key": owner} if name == "act" else {"tab": owner}
        request = data.draw(hostile.changed({"model": models[0], **base, **key} if base else key))
    answer = served.sound(served.call(name, request))
    assert answer.status_code == 200
    found = answer.json()
    assert isinstance(found, dict)
    assert "failed inside" not in str(found.get("error"))
    if isinstance(found.get("job"), str):
        served.call("job_halt", {"tab": owner, "job": found["job"]})
        whose = request.get("tab") if isinstance(request, dict) else None
        served.studio.jobs.forget(str(whose))


@drawn(0.2)
@given(data=st.data())
def test_events_and_gradios_own_paths(served: Served, data: st.DataObject) -> None:
    """Any number of an event with any values, joined or called at once; and what else can be posted."""
    if data.draw(st.booleans()):
        path = data.draw(st.sampled_from(hostile.POSTS))
        body = data.draw(hostile.bodies)
        served.sound(served.post(path, body))
        return
    number = data.draw(st.sampled_from([place for place, _ in served.events]) | st.sampled_from(hostile.NUMBERS))
    honest = [tab(), "Hi", 2, 0, 1, 0, 1, 0]
    said = data.draw(st.lists(hostile.values, max_size=9) | st.just(honest) | st.just([*honest[:1], *honest[2:]]))
    order = data.draw(
        hostile.changed({"kind": "again", "text": "x", "model": "", "index": 0, "run": "x", "token": 1, "instead": 1})
    )
    if data.draw(st.booleans()):
        served.event(number, said, event_data=order, trigger_id=data.draw(hostile.scalars))
    else:
        path = data.draw(st.sampled_from(["run/predict", "run/stop", "run/restore", "call/ask", "call/generate"]))
        served.sound(
            served.post(path, {"data": said, "fn_index": number, "event_data": order, "session_hash": "hostile"})
        )


@drawn(0.15)
@given(data=st.data())
def test_files(served: Served, inspection: bytes, data: st.DataObject) -> None:
    """Sent as the Runs page sends them, and opened: a run or a sentence; nothing of it stays on the disk."""
    name, content = data.draw(st.sampled_from(hostile.NAMES)), data.draw(hostile.files(inspection))
    sent = served.client.post("/gradio_api/upload", files={"files": (name, content)})
    assert sent.status_code in (200, 400, 503), sent.text[:300]
    served.silent(sent.text)
    for path in sent.json() if sent.status_code == 200 else []:
        assert Path(path).parent.parent == served.folder.resolve()
        owner = tab()
        found = served.sound(served.call("open", {"tab": owner, "path": path})).json()
        assert {"run", "error"} & found.keys()
        assert str(served.folder) not in str(found)
        if "run" in found:
            for kind in ("open", "layer", "row", "lens", "next", "page"):
                served.sound(
                    served.call(
                        "answer",
                        {"tab": owner, **found, "kind": kind, "token": 2, "layer": 0, "head": 0, "panel": "attention"},
                    )
                )
            served.studio.runs.forget(owner)


@drawn(0.1)
@given(path=st.sampled_from(hostile.ADDRESSES) | st.sampled_from(hostile.PAGES), query=hostile.queries,
       method=st.sampled_from(["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "POST"]))  # fmt: skip
def test_addresses(served: Served, path: str, query: dict[str, str], method: str) -> None:
    """Paths that lead nowhere, and links with anything behind the question mark."""
    with served.client.stream(method, path, params=query if "?" not in path else None) as answer:
        answer.read()
    served.sound(answer)
    assert "root:" not in answer.text and "import " not in answer.text[:200]


def test_one_of_each_kind_is_refused_and_counted(served: Served) -> None:
    """What the properties above rest on: these very answers."""
    assert served.post("/score", hostile.BODIES[0]).status_code == 422
    unknown = served.post(
        "component_server", {"data": {}, "component_id": 10**6, "fn_name": "act", "session_hash": "x"}
    )
    assert (unknown.status_code, unknown.json()) == (400, {"detail": "This is no request of the page."})
    assert served.client.get("/gradio_api/file=/etc/passwd").status_code == 404
    numbers = {name: number for number, name in served.events}
    for model in (2, True, ["x"], {"x": 1}):
        asked = {"data": ["Hi", model], "fn_index": numbers["inspect_tokens"], "session_hash": "x"}
        assert "There is no model" in served.sound(served.post("run/predict", asked)).text, model
    for setting in (10**400, float("nan"), float("inf"), None):
        asked = {"data": [tab(), setting, 0, 1, 0, 1, 0], "fn_index": numbers["again"], "session_hash": "x"}
        served.sound(served.post("run/predict", asked))
    for number in (10**400, -(2**53) - 1, [[2**64]]):
        asked = {"study": "recorded", "task": "needle", "length": 128, "depth": number}
        assert "too large" in served.call("grid_questions", asked).json()["error"]
    assert served.call("page_models", 7).json().keys() >= {"models"}
    assert served.studio.admission.metrics.refusals()["unreadable"] >= 1


def honest_answers(served: Served, models: list[str], whole: bool = False) -> dict[str, Any]:
    """The answer to each honest request; what it begins is stopped, or where ``whole`` waited for."""
    found = {}
    for name, request in requests(*models).items():
        found[name] = served.call(name, {"tab": (owner := tab()), "key": owner, **request}).json()
        if "job" in found[name]:
            asked = {"tab": owner, "job": found[name]["job"]}
            if not whole:
                served.call("job_halt", asked)
            until = time.monotonic() + PATIENCE
            while whole and served.call("job_status", asked).json()["state"] in ("waiting", "running"):
                assert time.monotonic() < until, name
                time.sleep(0.02)
    return found


def test_the_honest_requests_are_honest(served: Served, models: list[str]) -> None:
    """Else what is changed from them would be refused at the first look and try nothing."""
    served.studio.jobs.stop()  # what a request without a key has begun is nobody's to halt
    until = time.monotonic() + PATIENCE
    while served.studio.admission.counts("study") != (0, 0) and time.monotonic() < until:
        time.sleep(0.05)
    told = honest_answers(served, models)
    refused = {name for name, found in told.items() if "error" in found}
    need_something = {"answer", "job_status", "difference", "remove", "export", "open", "memory_plan", "votes_ask",
    "votes_give",
                      "votes_result", "votes_judge"}  # fmt: skip
    assert refused == need_something, {name: told[name]["error"] for name in refused ^ need_something}
